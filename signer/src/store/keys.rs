//! Owns the contract of the keys in the record: which there are, and how often each has signed.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::key::{KeyId, Purpose},
    store::StoreError,
};

/// The keys in the record.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// Adds the keys that are not there yet, as active, registered at `now`. A key that is there with another institution
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
    /// Whether it may not be used for now.
    pub suspended: bool,
    /// How many of its signatures are stored.
    pub signatures: u64,
    /// When it was registered; nothing if that was before it was recorded.
    pub registered_at: Option<Timestamp>,
}

/// The keys of one institution.
#[derive(Clone, Debug)]
pub struct KeysView {
    /// The documents' generation at this read.
    pub generation: u64,
    /// Every registered key, in no order.
    pub keys: Vec<RegisteredKey>,
}
