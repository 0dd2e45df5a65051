//! Owns the contract of a record that was put back from a backup: the hold, and what was published after the backup.

use std::time::Duration;

use semops_pki::crl::Reason;

use super::*;
use crate::store::{LastPublished, Refusal, Restoration, Restored, RevokedCertificate};

/// When the record is restored, and until when it is held then.
const BACK: Timestamp = T0.plus_seconds(300);
const UNTIL: Timestamp = T0.plus_seconds(930);
const EXPIRED: Timestamp = T0.plus_seconds(397 * 86_400);

fn entry(serial: &[u8], at: i64, reason: Reason) -> RevokedCertificate {
    RevokedCertificate {
        serial: serial.to_vec(),
        at: T0.plus_seconds(at),
        reason,
    }
}

/// A CRL of mobilis' device CA that was made 100 s after the backup.
fn list(world: &World, number: u64, entries: Vec<RevokedCertificate>) -> LastPublished {
    LastPublished {
        institution: world.mobilis.clone(),
        issuer: key(&world.mobilis, Purpose::DeviceCa),
        number,
        this_update: T0.plus_seconds(100),
        next_update: T0.plus_seconds(86_500),
        to_be_signed: format!("crl {number}").into_bytes(),
        der: format!("signed crl {number}").into_bytes(),
        entries,
    }
}

async fn restore(world: &World, lists: Vec<LastPublished>, hold_until: Timestamp) -> Restored {
    let restoration = Restoration {
        lists,
        hold_until,
        expired_after: EXPIRED,
        origin: origin(),
    };
    world.store.restore(restoration, BACK).await.unwrap()
}

fn held(begun: &Begun) -> Duration {
    match begun {
        Begun::Refused(Refusal::Held(left)) => *left,
        other => panic!("not held: {other:?}"),
    }
}

pub(crate) async fn orders_are_held_and_nothing_else(world: World) {
    let device = world.accepted_phone().await;
    let (done, pending) = (world.order(device, T0), world.order(device, T0));
    let intent = world.record(done.clone(), T0).await;
    world.end(intent.id, signed("authorization"), T0).await;
    let intent = world.record(pending.clone(), T0).await;
    assert!(world.store.held_until().await.unwrap() <= T0);

    assert_eq!(restore(&world, vec![], UNTIL).await.hold_until, UNTIL);
    assert_eq!(world.store.held_until().await.unwrap(), UNTIL);
    // What has ended is answered; what is new, or pending, is held, and nothing of it ends.
    assert!(matches!(
        world.begin(done.clone(), BACK).await,
        Begun::Done(_)
    ));
    let other = Operation {
        content: world.octets(),
        ..done
    };
    assert!(matches!(world.begin(other, BACK).await, Begun::Conflict));
    for operation in [pending.clone(), world.order(device, BACK)] {
        let begun = world.begin(operation.clone(), BACK).await;
        assert_eq!(held(&begun), Duration::from_secs(630));
        let last = Timestamp::from_micros(UNTIL.micros() - 1);
        assert_eq!(
            held(&world.begin(operation, last).await),
            Duration::from_micros(1)
        );
    }
    let recall = world.store.recall_order(&world.alfa, [0; 32], Uuid::nil());
    assert_eq!(recall.await.unwrap().held_until, UNTIL);
    // Documents that moved meanwhile do not hide it.
    let stale = Operation {
        generation: 9,
        ..world.order(device, BACK)
    };
    held(&world.begin(stale, BACK).await);
    // Certificates and CRLs are made.
    world.record(world.enrollment(BACK), BACK).await;
    world.record(world.crl(1, 0, BACK), BACK).await;

    // At its end all goes on.
    let resumed = world.begin(pending, UNTIL).await;
    assert!(matches!(resumed, Begun::Resumed(found) if found.id == intent.id));
    world.record(world.order(device, UNTIL), UNTIL).await;
}

pub(crate) async fn a_hold_is_extended_and_never_shortened(world: World) {
    let later = UNTIL.plus_seconds(60);
    for (asked, stands) in [(UNTIL, UNTIL), (later, later), (UNTIL, later)] {
        assert_eq!(restore(&world, vec![], asked).await.hold_until, stands);
        assert_eq!(world.store.held_until().await.unwrap(), stands);
    }
}

pub(crate) async fn what_was_published_is_taken_over(world: World) {
    let issuer = key(&world.mobilis, Purpose::DeviceCa);
    let mut devices = Vec::new();
    for _ in 0..3 {
        let mut operation = world.enrollment(T0);
        let serial = device_of(&mut operation).serial.clone();
        devices.push((world.certify(operation, T0).await, serial));
    }
    let [(known, first), (lost, second), (good, _)] = &devices[..] else {
        panic!("not three devices")
    };
    let (at, superseded) = (T0.plus_seconds(7), Reason::Superseded);
    let revoke = world
        .store
        .revoke(&world.mobilis, *known, superseded, origin(), at);
    revoke.await.unwrap();
    let unknown = [9; 16];
    let entries = vec![
        entry(first, 7, Reason::Superseded),
        entry(second, 40, Reason::KeyCompromise),
        entry(&unknown, 50, Reason::CessationOfOperation),
    ];
    let restored = restore(&world, vec![list(&world, 8, entries.clone())], UNTIL).await;
    let of = &restored.issuers[0];
    assert_eq!((of.issuer, of.held, of.number), (issuer, 0, 8));
    assert_eq!(of.revoked, [*lost]);
    assert_eq!(of.remembered, [unknown.to_vec()]);

    let view = world.store.device(&world.mobilis, *lost).await.unwrap();
    let revoked = view.device.unwrap().revoked.unwrap();
    assert_eq!(
        (revoked.at, revoked.reason),
        (T0.plus_seconds(40), Reason::KeyCompromise)
    );
    let view = world.store.device(&world.mobilis, *good).await.unwrap();
    assert_eq!(view.device.unwrap().revoked, None);
    // It is what is published until the next one, which is due, is made.
    let state = world.store.crl_state(issuer).await.unwrap();
    assert_eq!((state.last_number, state.revocations), (8, 2));
    let newest = state.newest.unwrap();
    assert_eq!((newest.number, newest.revocations), (8, 0));
    assert_eq!(newest.der, b"signed crl 8");
    assert_eq!(newest.signed_at, T0.plus_seconds(100));
    assert!(matches!(
        world.begin(world.crl(8, 2, BACK), BACK).await,
        Begun::Refused(Refusal::CrlNumberTaken)
    ));
    // Every list of later says all of it, until no certificate of that time is left.
    assert_eq!(world.store.revoked(issuer, 2, BACK).await.unwrap(), entries);
    assert_eq!(
        world.store.revoked(issuer, 0, EXPIRED).await.unwrap().len(),
        1
    );
    let past = EXPIRED.plus_seconds(1);
    assert_eq!(world.store.revoked(issuer, 2, past).await.unwrap(), []);
    assert_eq!(world.results("8").await, ["BEGUN", "AUTHORIZED"]);
    let told = world.inside.leaves().await;
    let count = |operation: &str| told.iter().filter(|e| e["operation"] == operation).count();
    assert_eq!((count("revoke"), count("restore")), (3, 1));
}

pub(crate) async fn taking_over_again_changes_nothing(world: World) {
    let issuer = key(&world.mobilis, Purpose::DeviceCa);
    let device = world.phone().await;
    let intent = world.record(world.crl(9, 0, T0), T0).await;
    world.end(intent.id, signed("crl 9"), T0).await;
    let entries = vec![entry(&[9; 16], 50, Reason::KeyCompromise)];
    for (number, remembered) in [(9, 1), (9, 0), (4, 0)] {
        let list = list(&world, number, entries.clone());
        let restored = restore(&world, vec![list], UNTIL).await;
        let of = &restored.issuers[0];
        assert_eq!((of.held, of.number), (9, 9));
        assert_eq!((of.revoked.len(), of.remembered.len()), (0, remembered));
    }
    let state = world.store.crl_state(issuer).await.unwrap();
    assert_eq!(state.newest.unwrap().der, b"crl 9");
    assert_eq!(world.results("9").await, ["BEGUN", "AUTHORIZED"]);
    let view = world.store.device(&world.mobilis, device).await.unwrap();
    assert_eq!(view.device.unwrap().revoked, None);
    let keys = world.store.keys(&world.mobilis).await.unwrap().keys;
    // The certificate and the CRL.
    assert_eq!(keys.iter().map(|key| key.signatures).sum::<u64>(), 2);
}
