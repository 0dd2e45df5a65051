//! Owns what is measured of how things stand: read once in a while by the schedule, and not when somebody
//! looks, but for what stands in memory.

use semops_pki::certificate::Certificate;

use crate::{
    authority::{Authority, What},
    clock::Timestamp,
    domain::{document::DocumentKind, keyring::Held},
    error::Error,
    metrics::KeyMoments,
};

/// The most pending intents that are counted; so many are a fault long since told.
const MOST_COUNTED: u32 = 10_000;

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
            ends: key.signs_until,
            institution: key.institution.clone(),
            purpose: key.purpose,
            key: key.id,
            since: key.not_before,
            until,
            crl: self.crls.of(key.id),
        }
    }

    /// Measures the intents, and the documents in force.
    pub async fn observe(&self) -> Result<(), Error> {
        let intents = self.store.intents(MOST_COUNTED, self.clock.now()).await?;
        self.metrics.intents(intents.pending, intents.overdue);
        self.look_at_hold().await?;
        let snapshot = self.current().await?;
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
