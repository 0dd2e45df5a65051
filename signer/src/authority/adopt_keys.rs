//! Owns that the token takes up the keys that custodians have put on the ring, before they are to sign. One that it does not
//! have is said loudly, and asked for again: the token may get it yet.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use semops_objects::institution::InstitutionId;
use tracing::{error, info};

use crate::{
    authority::Authority,
    domain::{key::KeyId, keyring::Held},
    error::Error,
    hsm,
};

/// How long the token may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keys of which was said that the token does not have them.
#[derive(Default)]
pub(super) struct Missed(Mutex<BTreeSet<KeyId>>);

impl Missed {
    /// Whether it is new that the key is missing.
    fn missing(&self, key: KeyId) -> bool {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key)
    }

    fn found(&self, key: KeyId) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&key);
    }
}

impl Authority {
    /// Has the institution's token take up the keys on the ring that are needed now or later. Answers how many it does not
    /// have.
    pub async fn adopt_keys(&self, institution: &InstitutionId) -> Result<usize, Error> {
        let snapshot = self.snapshot();
        let keyring = snapshot.keyring(institution)?;
        let mut missing = 0_usize;
        for key in keyring.keys().iter().filter(|key| self.is_missing(key)) {
            let record = key.record();
            let deadline = Instant::now().checked_add(PATIENCE);
            let deadline = deadline.unwrap_or_else(Instant::now);
            let wanted = hsm::Key::of(record);
            let (id, purpose) = (record.id, record.purpose.name());
            match self
                .tokens
                .keys
                .adopt(institution, wanted, None, deadline)
                .await
            {
                Ok(_) => {
                    self.missed.found(id);
                    info!(%institution, purpose, key = %id, "the token has taken up a key");
                }
                Err(error) => {
                    missing = missing.saturating_add(1);
                    if self.missed.missing(id) {
                        error!(%institution, purpose, key = %id, %error, "the token cannot use a key that is to sign: while they may, earlier ones sign in its place");
                    }
                }
            }
        }
        Ok(missing)
    }

    /// Whether a key is needed now or later, and the token does not have it.
    pub(super) fn is_missing(&self, key: &Held) -> bool {
        let record = key.record();
        let held = self.tokens.keys.has(&record.institution, record.id);
        !held && key.is_needed(self.clock.now())
    }
}
