//! Owns the tests of the end of keys: destroyed when that was approved and is due, given up while nothing needs them, and by
//! nothing else.

use std::sync::atomic::Ordering;

use semops_objects::change::{
    Attachment, AttachmentKind, ChangeFile, Decision, KeyOperation, Operation, Rotation,
};
use semops_pki::certificate::Certificate;
use uuid::Uuid;

use super::world::{World, alfa, reason};
use crate::{
    authority::{KeyShown, dispensable_keys},
    clock::Timestamp,
    domain::{
        change::ChangeState,
        key::{KeyId, KeyState, Purpose},
    },
    error::{Error, Reason},
    specimen::NOW,
};

/// The window, and the seconds after it that clocks may be apart.
const WINDOW: i64 = 7 * 86_400;
const SETTLED: i64 = 5;

fn schedule() -> KeyOperation {
    let at = NOW.plus_seconds(WINDOW).seconds();
    KeyOperation::ScheduleDestruction {
        at: u64::try_from(at).unwrap(),
    }
}

/// Two of alfa's custodians have it done to a key.
async fn execute(world: &World, file: &ChangeFile) {
    world.propose(file).await.unwrap();
    let decided = world.decide(file, 1, Decision::Approve).await.unwrap();
    assert_eq!(decided.state, ChangeState::Executed);
    world.authority.refresh().await.unwrap();
}

async fn done(world: &World, operations: &[KeyOperation]) {
    for operation in operations {
        execute(world, &world.key(*operation, &[0])).await;
    }
}

/// The clock so many seconds later, for all that is done from then on.
fn later(world: &World, seconds: i64) -> Timestamp {
    let now = NOW.plus_seconds(seconds);
    world.hands.store(now.micros(), Ordering::SeqCst);
    now
}

async fn destroyed(world: &World) -> Result<u32, Error> {
    world.authority.refresh().await.unwrap();
    world.authority.destroy_keys(&alfa()).await
}

fn in_token(world: &World, key: KeyId) -> bool {
    world.authority.tokens.keys.has(&alfa(), key)
}

async fn shown(world: &World) -> Vec<KeyShown> {
    world.authority.refresh().await.unwrap();
    world.authority.list_keys(&world.ctx()).await.unwrap()
}

async fn state(world: &World, key: KeyId) -> KeyState {
    let shown = shown(world).await;
    shown.iter().find(|one| one.record.id == key).unwrap().state
}

/// What the audit tells of the end of keys.
fn told(world: &World) -> Vec<String> {
    let connection = rusqlite::Connection::open(world.file()).unwrap();
    let mut statement = connection
        .prepare("SELECT leaf FROM audit ORDER BY seq")
        .unwrap();
    let leaves = statement.query_map([], |row| row.get::<_, Vec<u8>>(0));
    let leaves = leaves.unwrap().map(|leaf| {
        let leaf: serde_json::Value = serde_json::from_slice(&leaf.unwrap()).unwrap();
        leaf["operation"].as_str().unwrap().to_owned()
    });
    leaves
        .filter(|word| word.starts_with("key.destroy"))
        .collect()
}

#[tokio::test]
async fn a_key_is_destroyed_once_its_time_has_come() {
    let world = World::new().await;
    let key = world.authorization();
    done(&world, &[KeyOperation::Deactivate, schedule()]).await;
    for seconds in [0, WINDOW - 1, WINDOW, WINDOW + SETTLED - 1] {
        later(&world, seconds);
        assert_eq!(destroyed(&world).await.unwrap(), 0, "{seconds}");
        assert!(in_token(&world, key));
        // None is said to be destroyed whose private half is in the token.
        assert_eq!(state(&world, key).await, KeyState::Deactivated);
    }
    let now = later(&world, WINDOW + SETTLED);
    assert_eq!(destroyed(&world).await.unwrap(), 1);
    assert!(!in_token(&world, key));
    assert_eq!(state(&world, key).await, KeyState::Destroyed);
    // Once, whoever comes after.
    assert_eq!(destroyed(&world).await.unwrap(), 0);
    let restarted = world.restarted().await;
    assert_eq!(restarted.destroy_keys(&alfa()).await.unwrap(), 0);
    assert_eq!(told(&world), ["key.destroying", "key.destroy"]);
    // Its certificate stays; its token need not have it.
    let held = shown(&world).await;
    let held = held.iter().find(|one| one.record.id == key).unwrap();
    assert_eq!(held.record.chain.len(), 1);
    let (store, setup) = (world.authority.store.as_ref(), world.authority.setup());
    let spared = dispensable_keys(store, setup, now).await.unwrap();
    assert_eq!(spared.into_iter().collect::<Vec<_>>(), [key]);
}

#[tokio::test]
async fn a_key_whose_destruction_was_called_off_stays() {
    let world = World::new().await;
    let key = world.authorization();
    let operations = [
        KeyOperation::Deactivate,
        schedule(),
        KeyOperation::CallOffDestruction,
    ];
    done(&world, &operations).await;
    later(&world, 2 * WINDOW);
    assert_eq!(destroyed(&world).await.unwrap(), 0);
    assert!(in_token(&world, key));
    assert_eq!(state(&world, key).await, KeyState::Deactivated);
    assert!(told(&world).is_empty());
}

#[tokio::test]
async fn what_is_due_waits_for_the_token_and_is_told_once() {
    let world = World::new().await;
    let key = world.authorization();
    done(&world, &[KeyOperation::Deactivate, schedule()]).await;
    later(&world, WINDOW + SETTLED);
    world.token().set_broken(true);
    for _ in 0..3 {
        let failed = destroyed(&world).await.unwrap_err();
        assert!(matches!(failed, Error::Unavailable { .. }), "{failed}");
        assert_eq!(state(&world, key).await, KeyState::Deactivated);
    }
    assert_eq!(told(&world), ["key.destroying"]);
    world.token().set_broken(false);
    assert_eq!(destroyed(&world).await.unwrap(), 1);
    assert_eq!(told(&world), ["key.destroying", "key.destroy"]);
    assert_eq!(state(&world, key).await, KeyState::Destroyed);
}

/// Whoever writes the record has no key destroyed.
#[tokio::test]
async fn the_record_alone_destroys_nothing() {
    let world = World::new().await;
    let new = create(&world, Uuid::from_u128(1)).await;
    let keys = [world.authorization(), new];
    later(&world, WINDOW + SETTLED);
    for sql in [
        "UPDATE key SET destruction_begun_at = 1",
        "UPDATE key SET state = 'destroyed'",
        "UPDATE key SET destroyed_at = 1",
        "UPDATE change SET bytes = x'00' WHERE state = 'EXECUTED'",
    ] {
        world.write(sql);
        let answer = destroyed(&world).await;
        assert!(matches!(answer, Ok(0) | Err(Error::Unavailable { .. })));
        assert!(keys.iter().all(|key| in_token(&world, *key)), "{sql}");
    }
}

#[tokio::test]
async fn a_ca_that_is_still_needed_is_not_to_be_destroyed() {
    let world = World::new().await;
    let ca = KeyId::of(world.signing_ca().key.public_key());
    let of_ca = |operation| {
        let base = world.authority.snapshot().standing(&alfa()).unwrap().base();
        let operation = Operation::Key { operation, key: ca };
        world.board().change(base, operation, Vec::new(), &[0])
    };
    execute(&world, &of_ca(KeyOperation::Deactivate)).await;
    let refused = world.propose(&of_ca(schedule())).await;
    assert_eq!(reason(refused), Reason::KeyNeeded);
    // Once the key that it certified signs no more, nothing needs it.
    done(&world, &[KeyOperation::Deactivate]).await;
    execute(&world, &of_ca(schedule())).await;
    later(&world, WINDOW + SETTLED);
    assert_eq!(destroyed(&world).await.unwrap(), 1);
    assert!(!in_token(&world, ca));
}

async fn ask(world: &World, request: Uuid) -> Result<KeyShown, Error> {
    world.authority.refresh().await.unwrap();
    let (ctx, purpose) = (world.ctx(), Purpose::Authorization);
    world
        .authority
        .create_key(&ctx, purpose, request, None)
        .await
}

/// A key of alfa that waits for a change.
async fn create(world: &World, request: Uuid) -> KeyId {
    ask(world, request).await.unwrap().record.id
}

async fn discard(world: &World, key: KeyId) -> Result<(), Error> {
    world.authority.refresh().await.unwrap();
    world.authority.discard_key(&world.ctx(), key).await
}

/// A rotation to the key, approved by one.
async fn rotation(world: &World, to: KeyId) -> ChangeFile {
    let shown = shown(world).await;
    let shown = shown.iter().find(|one| one.record.id == to).unwrap();
    let certificate: &Certificate = &shown.record.chain[0];
    let at = u64::try_from(NOW.plus_seconds(100).seconds()).unwrap();
    let operation = Operation::RotateKey(Rotation {
        from: world.authorization(),
        to,
        certificate: certificate.sha256(),
        activate_at: at,
        retire_at: at,
    });
    let attached = Attachment {
        kind: AttachmentKind::Certificate,
        content: certificate.to_pem(),
    };
    let base = world.authority.snapshot().standing(&alfa()).unwrap().base();
    world.board().change(base, operation, vec![attached], &[0])
}

#[tokio::test]
async fn a_new_key_that_nobody_wants_makes_room() {
    let world = World::new().await;
    let requests = [1, 2, 3].map(Uuid::from_u128);
    let keys = [
        create(&world, requests[0]).await,
        create(&world, requests[1]).await,
    ];
    let third = ask(&world, requests[2]).await.unwrap_err();
    assert!(matches!(third, Error::Precondition(Reason::TooManyNewKeys)));
    for _ in 0..2 {
        discard(&world, keys[0]).await.unwrap();
        assert!(!in_token(&world, keys[0]) && in_token(&world, keys[1]));
        assert_eq!(told(&world), ["key.destroying", "key.destroy"]);
    }
    let waiting: Vec<_> = shown(&world).await;
    assert!(waiting.iter().all(|one| one.record.id != keys[0]));
    // Its request asks for nothing any more; another one does.
    let again = ask(&world, requests[0]).await.unwrap_err();
    assert!(matches!(again, Error::Precondition(Reason::KeyDiscarded)));
    create(&world, requests[2]).await;
}

#[tokio::test]
async fn a_key_that_is_taken_up_or_named_is_not_given_up() {
    let world = World::new().await;
    let new = create(&world, Uuid::from_u128(1)).await;
    let active = discard(&world, world.authorization()).await;
    assert_eq!(reason(active), Reason::KeyInUse);
    let nobodys = discard(&world, KeyId::new([9; 32])).await;
    assert_eq!(reason(nobodys), Reason::KeyNotFound);
    let file = rotation(&world, new).await;
    world.propose(&file).await.unwrap();
    let named = discard(&world, new).await.unwrap_err().to_string();
    assert!(named.contains(&file.proposal.id().to_string()), "{named}");
    for person in [1, 2] {
        world.decide(&file, person, Decision::Reject).await.unwrap();
    }
    let second = rotation(&world, new).await;
    execute(&world, &second).await;
    let taken_up = discard(&world, new).await.unwrap_err().to_string();
    assert!(taken_up.contains("pre-activation"), "{taken_up}");
    assert!(in_token(&world, new) && told(&world).is_empty());
}

#[tokio::test]
async fn a_key_that_was_given_up_is_rotated_to_by_nothing() {
    let world = World::new().await;
    let new = create(&world, Uuid::from_u128(1)).await;
    let file = rotation(&world, new).await;
    discard(&world, new).await.unwrap();
    assert_eq!(reason(world.propose(&file).await), Reason::KeyState);
}
