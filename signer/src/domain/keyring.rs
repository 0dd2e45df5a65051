//! Owns the keys of one institution at one time: which there are, where each is in its life, and which of them signs.
//!
//! Whoever holds a ring sees the same keys throughout. The time decides the rest: a key that was published before signs
//! from its activation on without anything happening then.

use std::{cmp::Reverse, sync::Arc};

use semops_objects::change::KeyLife;

use crate::{
    clock::Timestamp,
    domain::{
        key::{KeyId, KeyRecord, KeyState, Purpose, SigningKey},
        operation::Kind,
    },
};

/// No key of the purpose may sign now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {} key may sign now", .0.name())]
pub struct NoActiveKey(pub Purpose);

/// A key on the ring.
#[derive(Clone, Debug)]
pub struct Held {
    record: Arc<KeyRecord>,
    life: KeyLife,
}

impl Held {
    /// A key at this place in its life.
    pub fn new(record: Arc<KeyRecord>, life: KeyLife) -> Self {
        Self { record, life }
    }

    /// Its record.
    pub fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }

    /// Its life, as its custodians rule it.
    pub fn life(&self) -> &KeyLife {
        &self.life
    }

    /// Its state at `now`. The ends of its cryptoperiod count before what its custodians decided of its use, for nobody can
    /// move them.
    pub fn state(&self, now: Timestamp) -> KeyState {
        use KeyState as S;
        match self.life.state(unix(now)) {
            S::PreActivation | S::Active | S::Suspended if self.record.signs_until <= now => {
                S::Deactivated
            }
            S::Active if now < self.record.not_before => S::PreActivation,
            state => state,
        }
    }

    /// Whether it signs a CRL at `now`, if it is a CA's: also when it issues no more, for what it issued is valid still.
    fn lists(&self, now: Timestamp) -> bool {
        let state = self.state(now);
        let trusted = matches!(state, KeyState::Active | KeyState::Deactivated);
        trusted && self.record.valid_at(now)
    }

    /// Whether it is a CA's that may have issued what is still valid at `now`, so that a CRL of it is due.
    pub fn answers(&self, now: Timestamp) -> bool {
        use KeyState as S;
        let state = self.state(now);
        let issued = matches!(state, S::Active | S::Suspended | S::Deactivated);
        issued && is_ca(self.record.purpose) && self.record.valid_at(now)
    }

    /// Whether it signs what is of this kind at `now`.
    pub fn may_sign(&self, kind: Kind, now: Timestamp) -> bool {
        match kind {
            Kind::Crl => self.lists(now),
            Kind::Authorization | Kind::DeviceCertificate | Kind::AuthorizationCertificate => {
                self.state(now) == KeyState::Active
            }
            // By a key of itself, before it has a cryptoperiod: on a ring of its own.
            Kind::CertificationRequest => true,
        }
    }

    /// Whether its private half is needed at `now` or later.
    pub fn is_needed(&self, now: Timestamp) -> bool {
        match self.state(now) {
            KeyState::PreActivation => self.life.activates_at().is_some(),
            KeyState::Active | KeyState::Suspended => true,
            KeyState::Deactivated => is_ca(self.record.purpose) && self.lists(now),
            KeyState::Compromised | KeyState::Destroyed => false,
        }
    }
}

/// The keys of one institution.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<Held>,
}

impl Keyring {
    /// A ring of these keys.
    pub fn new(keys: impl IntoIterator<Item = Held>) -> Self {
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_by_key(|key| key.record.purpose);
        Self { keys }
    }

    /// A ring of these keys as a ceremony puts them into use.
    pub fn of_ceremony(keys: impl IntoIterator<Item = Arc<KeyRecord>>) -> Self {
        let life = |record: &Arc<KeyRecord>| KeyLife::of_ceremony(record.purpose);
        let held = |record| Held::new(Arc::clone(&record), life(&record));
        Self::new(keys.into_iter().map(held))
    }

    /// Every key, in the order of their purposes.
    pub fn keys(&self) -> &[Held] {
        &self.keys
    }

    /// The key with this id.
    pub fn get(&self, id: KeyId) -> Option<&Held> {
        self.keys.iter().find(|key| key.record.id == id)
    }

    /// The keys of CAs: each has certificates to answer for, and a CRL.
    pub fn cas(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        let records = self.keys.iter().map(Held::record);
        records.filter(|key| is_ca(key.purpose))
    }

    /// The CA that publishes under this name, without a file's extension.
    pub fn publisher(&self, name: &str) -> Option<&Arc<KeyRecord>> {
        self.cas().find(|ca| ca.published_as() == name)
    }

    /// The key that signs what a key of this purpose signs, now: of those that may the one that was activated last, unless
    /// the token does not have it and has an earlier one.
    pub fn signing(
        &self,
        purpose: Purpose,
        now: Timestamp,
        has: impl Fn(&KeyRecord) -> bool,
    ) -> Result<SigningKey, NoActiveKey> {
        let active = self.active(purpose, now);
        let there = active.iter().find(|key| has(&key.record));
        let chosen = there.or_else(|| active.first());
        let chosen = chosen.ok_or(NoActiveKey(purpose))?;
        Ok(SigningKey::new(&chosen.record))
    }

    /// The CA of this purpose that issues now, whatever the token has; the first one of those that do no more, if none does.
    pub fn issuing(&self, purpose: Purpose, now: Timestamp) -> Option<&Arc<KeyRecord>> {
        let active = self.active(purpose, now).into_iter();
        let records = active.map(Held::record);
        let mut all = records.chain(self.cas());
        all.find(|ca| ca.purpose == purpose && is_ca(ca.purpose))
    }

    /// The key as that of a CA which signs its CRL, now.
    pub fn listing(&self, ca: &KeyRecord, now: Timestamp) -> Result<SigningKey, NoActiveKey> {
        let found = self.get(ca.id).filter(|key| key.lists(now));
        let found = found.ok_or(NoActiveKey(ca.purpose))?;
        Ok(SigningKey::new(&found.record))
    }

    fn active(&self, purpose: Purpose, now: Timestamp) -> Vec<&Held> {
        let of_purpose = self.keys.iter().filter(|key| key.record.purpose == purpose);
        let active = of_purpose.filter(|key| key.state(now) == KeyState::Active);
        let mut active: Vec<_> = active.collect();
        active.sort_by_key(|key| (Reverse(key.life.activates_at()), key.record.id));
        active
    }
}

const fn is_ca(purpose: Purpose) -> bool {
    match purpose {
        Purpose::DeviceCa | Purpose::SigningCa => true,
        Purpose::Authorization => false,
    }
}

fn unix(now: Timestamp) -> u64 {
    u64::try_from(now.seconds()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use semops_objects::change::KeyOperation;

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
        let [device, signing, authorization] = Purpose::ALL;
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
            assert_eq!(refused.err(), Some(NoActiveKey(Purpose::Authorization)));
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
}
