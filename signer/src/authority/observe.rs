//! Owns what is measured of how things stand: read once in a while by the schedule, and not when somebody
//! looks, but for what stands in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use semops_pki::certificate::Certificate;

use crate::{
    authority::{Authority, Snapshot, What},
    clock::Timestamp,
    domain::{document::DocumentKind, key::KeyId, keyring::Held},
    error::Error,
    metrics::{KeyMoments, RootMoments},
};

/// The most pending intents that are counted; so many are a fault long since told.
const MOST_COUNTED: u32 = 10_000;

/// How many objects the keys whose lifetime is limited have signed, and may sign, as last looked at.
#[derive(Default)]
pub(super) struct Worn(Mutex<BTreeMap<KeyId, (u64, u64)>>);

impl Worn {
    fn set(&self, worn: BTreeMap<KeyId, (u64, u64)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = worn;
    }

    fn of(&self, key: KeyId) -> Option<(u64, u64)> {
        let worn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        worn.get(&key).copied()
    }

    /// Whether a key had signed all that it may when it was last looked at.
    pub(super) fn is_out(&self, key: KeyId) -> bool {
        self.of(key).is_some_and(|(signed, most)| most <= signed)
    }
}

impl Authority {
    /// The moments of every key that is needed.
    pub fn key_moments(&self) -> Vec<KeyMoments> {
        let snapshot = self.snapshot();
        let keys = snapshot.keyrings().flat_map(|keyring| keyring.keys());
        keys.filter(|key| key.is_needed(self.clock.now()))
            .map(|key| self.moments(key))
            .collect()
    }

    fn moments(&self, held: &Held) -> KeyMoments {
        let key = held.record();
        let ends = key.chain.iter().map(Certificate::not_after);
        let until = ends.min().map_or(key.not_after, Timestamp::from_seconds);
        KeyMoments {
            missing: self.is_missing(held),
            worn: self.worn.of(key.id),
            ends: key.signs_until,
            institution: key.institution.clone(),
            purpose: key.purpose,
            key: key.id,
            since: key.not_before,
            until,
            crl: self.crls.of(key.id),
        }
    }

    /// How the offline roots stand.
    pub fn root_moments(&self) -> RootMoments {
        let roots = self.roots();
        let crls = roots.published().all().map(|(hierarchy, root)| {
            let until = Timestamp::from_seconds(root.crl().next_update());
            (hierarchy.root_name(), root.id(), until)
        });
        RootMoments {
            change: roots.sequence(),
            crls: crls.collect(),
        }
    }

    /// Counts what the keys have signed whose lifetime is limited.
    async fn look_at_wear(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let mut worn = BTreeMap::new();
        for keyring in snapshot.keyrings() {
            let limited = keyring.keys().iter().filter_map(|key| {
                let record = key.record();
                let policy = snapshot.policy(&record.institution)?;
                Some((record, policy.key_lifetime(record.purpose)?))
            });
            let limited: Vec<_> = limited.collect();
            let Some((first, _)) = limited.first() else {
                continue;
            };
            let counted = self.store.keys(&first.institution).await?.keys;
            for (record, most) in limited {
                let key = counted.iter().find(|key| key.id == record.id);
                worn.extend(key.map(|key| (key.id, (key.signatures, most))));
            }
        }
        self.worn.set(worn);
        Ok(())
    }

    /// Measures the intents, and the documents in force.
    pub async fn observe(&self) -> Result<(), Error> {
        let intents = self.store.intents(MOST_COUNTED, self.clock.now()).await?;
        self.metrics.intents(intents.pending, intents.overdue);
        self.look_at_hold().await?;
        let snapshot = self.current().await?;
        self.look_at_wear(&snapshot).await?;
        self.metrics.documents(snapshot.generation());
        for institution in self.setup.institutions.keys() {
            let versions = snapshot.versions(institution);
            for kind in DocumentKind::ALL {
                // One that is missing has version 0, so that its absence can be seen.
                let found = versions.iter().find(|one| one.kind == kind);
                let version = found.map_or(0, |one| one.version);
                self.metrics.document(institution, kind, version);
            }
            let unapproved = snapshot.unapproved(institution);
            for what in What::ALL {
                let is = unapproved.iter().any(|one| one.what == what);
                self.metrics.unapproved(institution, what.name(), is);
            }
        }
        Ok(())
    }
}
