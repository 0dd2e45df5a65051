//! Owns the contract of the keys in the record: which there are, and how often each has signed.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::key::{KeyId, KeyState, Purpose},
    store::StoreError,
};

/// The keys in the record.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// Adds the keys that are not there yet, registered at `now`, in pre-activation: a change puts them into use. A key that is there with another institution
    /// or purpose is `Corrupt`: a key never changes either.
    async fn register_keys(
        &self,
        keys: Vec<KeyRegistration>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The registered keys of `institution`, in one read.
    async fn keys(&self, institution: &InstitutionId) -> Result<KeysView, StoreError>;
}

/// A key as it is registered at start.
#[derive(Clone, Debug)]
pub struct KeyRegistration {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub institution: InstitutionId,
    /// What it may sign.
    pub purpose: Purpose,
}

/// A registered key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisteredKey {
    /// Its id.
    pub id: KeyId,
    /// Its state.
    pub state: KeyState,
    /// Before when it may not sign, although active.
    pub active_from: Option<Timestamp>,
    /// From when on it may not sign, although active.
    pub active_until: Option<Timestamp>,
    /// How many of its signatures are stored.
    pub signatures: u64,
    /// When it was registered; nothing if that was before it was recorded.
    pub registered_at: Option<Timestamp>,
}

impl RegisteredKey {
    /// Whether the record lets it sign at `now`.
    pub fn may_sign(&self, now: Timestamp) -> bool {
        let begun = self.active_from.is_none_or(|from| from <= now);
        let ended = self.active_until.is_some_and(|until| until <= now);
        self.state == KeyState::Active && begun && !ended
    }
}

/// The keys of one institution.
#[derive(Clone, Debug)]
pub struct KeysView {
    /// The documents' generation at this read.
    pub generation: u64,
    /// Every registered key, in no order.
    pub keys: Vec<RegisteredKey>,
}
