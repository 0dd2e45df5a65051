//! Which key of a ring signs, and which no more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use semops_objects::change::KeyOperation;
use semops_pki::crl::Reason;

use super::*;
use crate::specimen::{Certified, NOW};

const PURPOSES: [Purpose; 4] = [
    Purpose::Authorization,
    Purpose::SigningCa,
    Purpose::DeviceCa,
    Purpose::DeviceCa,
];

fn keys() -> Vec<Arc<KeyRecord>> {
    let institution = "alfa".parse().unwrap();
    let of = |purpose| Certified::root().record(&institution, purpose);
    PURPOSES.map(of).into()
}

fn held(record: &Arc<KeyRecord>) -> Held {
    let life = KeyLife::of_ceremony(record.purpose);
    Held::new(Arc::clone(record), life)
}

fn ring(keys: &[Arc<KeyRecord>]) -> Keyring {
    Keyring::of_ceremony(keys.iter().cloned())
}

fn after(key: &Held, operation: KeyOperation) -> Held {
    let life = key.life.after(operation, unix(NOW)).unwrap();
    Held::new(Arc::clone(&key.record), life)
}

fn micro(at: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_micros(at.micros() + by)
}

#[test]
fn keys_stand_by_purpose_and_are_found_by_id() {
    let keys = keys();
    let ring = ring(&keys);
    let purposes: Vec<_> = ring.keys().iter().map(|key| key.record.purpose).collect();
    let [device, signing, authorization, ..] = Purpose::ALL;
    assert_eq!(purposes, [device, device, signing, authorization]);
    for key in &keys {
        assert!(Arc::ptr_eq(ring.get(key.id).unwrap().record(), key));
    }
    assert!(ring.get(KeyId::new([0; 32])).is_none());
    assert_eq!(ring.cas().count(), 3);
}

#[test]
fn a_key_signs_inside_its_cryptoperiod_alone() {
    let keys = keys();
    let ring = ring(&keys);
    for key in &keys[..2] {
        let (from, until) = (key.not_before, key.signs_until);
        for (now, state) in [
            (micro(from, -1), KeyState::PreActivation),
            (from, KeyState::Active),
            (micro(until, -1), KeyState::Active),
            (until, KeyState::Deactivated),
        ] {
            assert_eq!(ring.get(key.id).unwrap().state(now), state);
            let signing = ring.signing(key.purpose, now, |_| true);
            let signs = signing.is_ok_and(|signing| signing.record().id == key.id);
            assert_eq!(signs, state == KeyState::Active);
        }
    }
}

#[test]
fn what_its_custodians_decided_counts() {
    let keys = keys();
    let key = held(&keys[0]);
    let suspended = after(&key, KeyOperation::Suspend);
    let compromised = after(&key, KeyOperation::MarkCompromised);
    for (key, state) in [
        (&suspended, KeyState::Suspended),
        (&compromised, KeyState::Compromised),
    ] {
        assert_eq!(key.state(NOW), state);
        let ring = Keyring::new([key.clone()]);
        let refused = ring.signing(Purpose::Authorization, NOW, |_| true);
        assert_eq!(
            refused.err(),
            Some(NoActiveKey::Here(Purpose::Authorization))
        );
    }
    let until = keys[0].signs_until;
    assert_eq!(suspended.state(until), KeyState::Deactivated);
    assert_eq!(compromised.state(until), KeyState::Compromised);
    assert!(suspended.is_needed(NOW) && !compromised.is_needed(NOW));
}

#[test]
fn a_ca_lists_what_it_issued_also_when_it_issues_no_more() {
    let keys = keys();
    let (first, second) = (held(&keys[2]), held(&keys[3]));
    let retired = after(&first, KeyOperation::Deactivate);
    let ring = Keyring::new([retired.clone(), second]);
    let issuing = ring.issuing(Purpose::DeviceCa, NOW).unwrap();
    assert_eq!(issuing.id, keys[3].id);
    assert!(retired.is_needed(NOW) && retired.answers(NOW));
    assert!(ring.listing(&keys[2], NOW).is_ok());
    assert!(ring.listing(&keys[2], keys[2].not_after).is_err());
    for operation in [KeyOperation::Suspend, KeyOperation::MarkCompromised] {
        let ring = Keyring::new([after(&first, operation)]);
        assert!(ring.listing(&keys[2], NOW).is_err());
        // Its certificate and the lists that there are can be had all the same.
        assert!(ring.issuing(Purpose::DeviceCa, NOW).is_some());
    }
    assert!(ring.issuing(Purpose::Authorization, NOW).is_none());
}

#[test]
fn a_key_whose_ca_is_revoked_signs_nothing_more() {
    let keys = keys();
    let (first, second) = (held(&keys[2]), held(&keys[3]));
    let revoked = RevokedCa(Reason::Superseded);
    let off = first.clone().of_revoked_ca(Some(revoked));
    assert_eq!(off.state(NOW), KeyState::Deactivated);
    for kind in [Kind::DeviceCertificate, Kind::Crl] {
        assert!(first.may_sign(kind, NOW) && !off.may_sign(kind, NOW));
    }
    assert!(!off.answers(NOW) && !off.is_needed(NOW));
    let purpose = Purpose::DeviceCa;
    let ring = Keyring::new([off.clone(), second]);
    let signing = ring.signing(purpose, NOW, |_| true).unwrap();
    assert_eq!(signing.record().id, keys[3].id);

    let alone = |key| {
        let ring = Keyring::new([key]);
        ring.signing(purpose, NOW, |_| true).err()
    };
    let why = NoActiveKey::RevokedCa(purpose, revoked);
    assert_eq!(alone(off.clone()), Some(why));
    let suspended = after(&off, KeyOperation::Suspend).of_revoked_ca(Some(revoked));
    assert_eq!(alone(suspended), Some(NoActiveKey::Here(purpose)));
    let known = after(&first, KeyOperation::MarkCompromised);
    let known = known.of_revoked_ca(Some(revoked));
    assert_eq!(known.state(NOW), KeyState::Compromised);
}

#[test]
fn a_key_that_the_token_does_not_have_leaves_its_place_to_another() {
    let keys = keys();
    let ring = ring(&keys);
    let chosen = |has: &dyn Fn(KeyId) -> bool| {
        let key = ring
            .signing(Purpose::DeviceCa, NOW, |key| has(key.id))
            .unwrap();
        key.record().id
    };
    for key in &keys[2..] {
        assert_eq!(chosen(&|id| id == key.id), key.id);
    }
    assert_eq!(chosen(&|_| false), chosen(&|_| true));
}

#[test]
fn every_ca_publishes_under_a_name_of_its_own() {
    let keys = keys();
    let ring = ring(&keys);
    let [_, signing, first, second] = keys.as_slice() else {
        unreachable!("four were made")
    };
    assert_eq!(
        signing.published_as(),
        format!("alfa-signing-ca.{}", signing.id)
    );
    let name = first.published_as();
    assert!(Arc::ptr_eq(ring.publisher(&name).unwrap(), first));
    assert!(!Arc::ptr_eq(
        ring.publisher(&second.published_as()).unwrap(),
        first
    ));
    assert!(ring.publisher("alfa-device-ca").is_none());
    let founded = KeyRecord {
        first_crl: Some(Vec::new()),
        ..KeyRecord::clone(second)
    };
    let ring = Keyring::new([held(first), held(&Arc::new(founded))]);
    assert_eq!(ring.publisher("alfa-device-ca").unwrap().id, second.id);
}
