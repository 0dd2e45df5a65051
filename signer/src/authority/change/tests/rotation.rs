//! Owns the tests of rotations: which key signs at which moment, and which certificates make a key one that may.

use semops_objects::change::{
    Attachment, AttachmentKind, ChangeFile, Decision, Operation, Rotation,
};
use semops_pki::{certificate::Certificate, issuer::Subject};
use uuid::Uuid;

use super::world::{World, alfa, reason};
use crate::{
    clock::Timestamp,
    domain::{
        change::ChangeState,
        key::{KeyId, KeyState, Purpose},
    },
    error::Reason,
    specimen::{Certified, NOW},
};

const LEAF: Subject<'_> = Subject::Authorization {
    common_name: "authorization",
};

/// Seconds after [`NOW`].
const ACTIVATE: i64 = 100;
const RETIRE: i64 = 200;

fn at(seconds: i64) -> Timestamp {
    NOW.plus_seconds(seconds)
}

/// A key of alfa that its token makes, or another one has.
struct NewKey {
    id: KeyId,
    certificate: Certificate,
}

impl NewKey {
    async fn in_the_token(world: &World) -> Self {
        let purpose = Purpose::Authorization;
        let (institution, deadline) = (alfa(), world.ctx().deadline);
        let keys = &world.authority.tokens.keys;
        let made = keys.generate(&institution, None, Uuid::new_v4(), purpose, deadline);
        let public = made.await.unwrap();
        Self {
            id: KeyId::of(&public),
            certificate: world.signing_ca().certify("alfa", &public, LEAF, 100),
        }
    }

    fn elsewhere(world: &World) -> Self {
        Self::of(world.signing_ca().issue("alfa", LEAF, 100))
    }

    fn of(certified: Certified) -> Self {
        Self {
            id: KeyId::of(certified.key.public_key()),
            certificate: certified.certificate,
        }
    }
}

/// The rotation to it, approved by these persons.
fn rotation(world: &World, new: &NewKey, moments: [i64; 2], persons: &[usize]) -> ChangeFile {
    let seconds = |after| u64::try_from(at(after).seconds()).unwrap();
    let operation = Operation::RotateKey(Rotation {
        from: world.authorization(),
        to: new.id,
        certificate: new.certificate.sha256(),
        activate_at: seconds(moments[0]),
        retire_at: seconds(moments[1]),
    });
    let certificate = Attachment {
        kind: AttachmentKind::Certificate,
        content: new.certificate.to_pem(),
    };
    let base = world.authority.snapshot().standing(&alfa()).unwrap().base();
    world
        .board()
        .change(base, operation, vec![certificate], persons)
}

async fn execute(world: &World, new: &NewKey) {
    let file = rotation(world, new, [ACTIVATE, RETIRE], &[0]);
    world.propose(&file).await.unwrap();
    let decided = world.decide(&file, 1, Decision::Approve).await.unwrap();
    assert_eq!(decided.state, ChangeState::Executed);
    world.authority.refresh().await.unwrap();
}

/// The key that signs authorizations so many seconds later.
fn signs(world: &World, after: i64) -> KeyId {
    world.signing(at(after)).unwrap()
}

fn states(world: &World, keys: [KeyId; 2], after: i64) -> [KeyState; 2] {
    let snapshot = world.authority.snapshot();
    let keyring = snapshot.keyring(&alfa()).unwrap();
    keys.map(|key| keyring.get(key).unwrap().state(at(after)))
}

#[tokio::test]
async fn each_key_signs_in_its_time() {
    use KeyState as S;
    let world = World::new().await;
    let (old, new) = (world.authorization(), NewKey::in_the_token(&world).await);
    execute(&world, &new).await;
    assert_eq!(world.authority.adopt_keys(&alfa()).await.unwrap(), 0);
    for (after, key, expected) in [
        (0, old, [S::Active, S::PreActivation]),
        (ACTIVATE - 1, old, [S::Active, S::PreActivation]),
        (ACTIVATE, new.id, [S::Active, S::Active]),
        (RETIRE - 1, new.id, [S::Active, S::Active]),
        (RETIRE, new.id, [S::Deactivated, S::Active]),
    ] {
        assert_eq!(signs(&world, after), key, "{after}");
        assert_eq!(states(&world, [old, new.id], after), expected, "{after}");
    }
    // Whoever starts later knows the same.
    let later = world.restarted().await;
    let snapshot = later.snapshot();
    let keyring = snapshot.keyring(&alfa()).unwrap();
    assert_eq!(keyring.get(new.id).unwrap().record().chain.len(), 2);
}

#[tokio::test]
async fn a_key_that_the_token_does_not_have_is_told_and_waited_for() {
    let world = World::new().await;
    let (old, new) = (world.authorization(), NewKey::elsewhere(&world));
    execute(&world, &new).await;
    assert_eq!(world.authority.adopt_keys(&alfa()).await.unwrap(), 1);
    let moments = world.authority.key_moments();
    let missing: Vec<_> = moments.iter().filter(|key| key.missing).collect();
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].key, new.id);
    for after in [0, ACTIVATE, RETIRE - 1] {
        assert_eq!(signs(&world, after), old, "{after}");
    }
    assert_eq!(signs(&world, RETIRE), new.id);
}

#[tokio::test]
async fn a_certificate_must_be_the_keys_own_and_alfas() {
    let world = World::new().await;
    let ca = world.signing_ca();
    let other = Certified::root().issue(
        "alfa",
        Subject::InstitutionCa {
            common_name: "signing-ca",
        },
        300,
    );
    let of_another = NewKey {
        certificate: NewKey::elsewhere(&world).certificate,
        ..NewKey::elsewhere(&world)
    };
    let planned = [ACTIVATE, RETIRE];
    // Valid for half a day more.
    let short = ca.issue("alfa", LEAF, 1);
    let late = [43_200, 43_300];
    for (new, moments) in [
        (NewKey::of(other.issue("alfa", LEAF, 100)), planned),
        (NewKey::of(other), planned),
        (NewKey::of(short), late),
        (of_another, planned),
    ] {
        let file = rotation(&world, &new, moments, &[0]);
        let refused = reason(world.propose(&file).await);
        assert_eq!(refused, Reason::CertificateInvalid);
    }
}

/// Whoever writes the record cannot give a key another certificate, nor take it away unseen.
#[tokio::test]
async fn a_certificate_that_was_not_approved_is_not_used() {
    let world = World::new().await;
    let (old, new) = (world.authorization(), NewKey::in_the_token(&world).await);
    execute(&world, &new).await;
    world.authority.adopt_keys(&alfa()).await.unwrap();
    assert_eq!(signs(&world, ACTIVATE), new.id);
    let public = new.certificate.public_key();
    let again = world.signing_ca().certify("alfa", public, LEAF, 50);
    let der: String = again.der().iter().map(|o| format!("{o:02x}")).collect();
    for sql in [
        format!("UPDATE key_certificate SET der = x'{der}'"),
        "DELETE FROM key_certificate".to_owned(),
    ] {
        world.write(&sql);
        let snapshot = world.authority.refresh().await.unwrap();
        assert_eq!(signs(&world, ACTIVATE), old);
        let unapproved = snapshot.unapproved(&alfa());
        let told = unapproved
            .iter()
            .any(|one| one.why.contains(&new.id.to_string()));
        assert!(told, "{unapproved:?}");
    }
}
