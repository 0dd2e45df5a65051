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
        published_roots::RevokedCa,
    },
};

/// No key of the purpose may sign now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoActiveKey {
    /// By what its custodians decided, or by the time.
    #[error("no {} key may sign now", .0.name())]
    Here(Purpose),
    /// One would, if the root had not revoked the CA that it is, or that certified it.
    #[error("no {} key may sign now: {}", .0.name(), .1)]
    RevokedCa(Purpose, RevokedCa),
}

/// A key on the ring.
#[derive(Clone, Debug)]
pub struct Held {
    record: Arc<KeyRecord>,
    life: KeyLife,
    revoked: Option<RevokedCa>,
}

impl Held {
    /// A key at this place in its life.
    pub fn new(record: Arc<KeyRecord>, life: KeyLife) -> Self {
        let revoked = None;
        Self {
            record,
            life,
            revoked,
        }
    }

    /// The same where its root has revoked the CA that it is, or that certified it.
    pub fn of_revoked_ca(self, revoked: Option<RevokedCa>) -> Self {
        Self { revoked, ..self }
    }

    /// Why its root has revoked the CA that it is, or that certified it, if it has.
    pub fn revoked_ca(&self) -> Option<RevokedCa> {
        self.revoked
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
    /// move them, and so does that its root has revoked its CA.
    pub fn state(&self, now: Timestamp) -> KeyState {
        use KeyState as S;
        match self.life.state(unix(now)) {
            S::PreActivation | S::Active | S::Suspended
                if self.revoked.is_some() || self.record.signs_until <= now =>
            {
                S::Deactivated
            }
            S::Active if now < self.record.not_before => S::PreActivation,
            state => state,
        }
    }

    /// Whether it signs a CRL at `now`, if it is a CA's: also when it issues no more, for what it issued is valid still. What
    /// a revoked CA says counts for nobody (RFC 5280 s6.1.3 (a) (3)).
    fn lists(&self, now: Timestamp) -> bool {
        let state = self.state(now);
        let trusted = matches!(state, KeyState::Active | KeyState::Deactivated);
        trusted && self.revoked.is_none() && self.record.valid_at(now)
    }

    /// Whether it is a CA's.
    pub fn is_ca(&self) -> bool {
        self.record.purpose.is_ca()
    }

    /// Whether it is a CA's that may have issued what is still valid at `now`, so that a CRL of it is due.
    pub fn answers(&self, now: Timestamp) -> bool {
        use KeyState as S;
        let state = self.state(now);
        let issued = matches!(state, S::Active | S::Suspended | S::Deactivated);
        issued && self.revoked.is_none() && self.is_ca() && self.record.valid_at(now)
    }

    /// Whether it signs what is of this kind at `now`.
    pub fn may_sign(&self, kind: Kind, now: Timestamp) -> bool {
        match kind {
            Kind::Crl => self.lists(now),
            Kind::Authorization
            | Kind::DeviceCertificate
            | Kind::AuthorizationCertificate
            | Kind::KeyCertificate => self.state(now) == KeyState::Active,
            // By a key of itself, before it has a cryptoperiod: on a ring of its own.
            Kind::CertificationRequest => true,
        }
    }

    /// Whether its private half is needed at `now` or later.
    pub fn is_needed(&self, now: Timestamp) -> bool {
        match self.state(now) {
            KeyState::PreActivation => self.life.activates_at().is_some(),
            KeyState::Active | KeyState::Suspended => true,
            KeyState::Deactivated => self.is_ca() && self.lists(now),
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
        records.filter(|key| key.purpose.is_ca())
    }

    /// The CA that publishes under this name, without a file's extension.
    pub fn publisher(&self, name: &str) -> Option<&Arc<KeyRecord>> {
        self.cas().find(|ca| ca.published_as() == name)
    }

    /// The key that signs what a key of this purpose signs, now: of those that may, the fittest as far as the tokens are
    /// concerned; of equally fit ones the one that was activated last.
    pub fn signing<F: Ord>(
        &self,
        purpose: Purpose,
        now: Timestamp,
        fit: impl Fn(&KeyRecord) -> F,
    ) -> Result<SigningKey, NoActiveKey> {
        let active = self.active(purpose, now).into_iter();
        let fittest = active.min_by_key(|key| Reverse(fit(&key.record)));
        let chosen = fittest.ok_or_else(|| self.none_active(purpose, now))?;
        Ok(SigningKey::new(&chosen.record))
    }

    /// Why there is none: the revocation of a CA, if a key would sign but for that.
    fn none_active(&self, purpose: Purpose, now: Timestamp) -> NoActiveKey {
        let mut of_purpose = self.keys.iter().filter(|key| key.record.purpose == purpose);
        let revoked = of_purpose.find_map(|key| {
            let otherwise = key.clone().of_revoked_ca(None);
            let active = otherwise.state(now) == KeyState::Active;
            key.revoked.filter(|_| active)
        });
        match revoked {
            Some(ca) => NoActiveKey::RevokedCa(purpose, ca),
            None => NoActiveKey::Here(purpose),
        }
    }

    /// The CA of this purpose that issues now, whatever the token has; the first one of those that do no more, if none does.
    pub fn issuing(&self, purpose: Purpose, now: Timestamp) -> Option<&Arc<KeyRecord>> {
        let active = self.active(purpose, now).into_iter();
        let records = active.map(Held::record);
        let mut all = records.chain(self.cas());
        all.find(|ca| ca.purpose == purpose && purpose.is_ca())
    }

    /// The key as that of a CA which signs its CRL, now.
    pub fn listing(&self, ca: &KeyRecord, now: Timestamp) -> Result<SigningKey, NoActiveKey> {
        let found = self.get(ca.id).filter(|key| key.lists(now));
        let found = found.ok_or(NoActiveKey::Here(ca.purpose))?;
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

fn unix(now: Timestamp) -> u64 {
    u64::try_from(now.seconds()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
