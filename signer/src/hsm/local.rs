//! Owns the token of unit tests: the same plain data in and out, with keys in memory and a switch that breaks it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use semops_pki::{algorithm::PublicKey, local_key::LocalKey};
use uuid::Uuid;

use super::{Fault, HsmError, Key, KeyReport, Keys, Signer, Tokens, Watch};
use crate::domain::key::KeyId;

/// Both halves over a token in memory, and a watch over none.
pub(crate) fn local(token: &Arc<LocalToken>) -> (Signer, Keys, Watch) {
    let tokens = Arc::new(Tokens::Local(Arc::clone(token)));
    (
        Signer {
            tokens: Arc::clone(&tokens),
        },
        Keys { tokens },
        Watch::nothing(),
    )
}

/// Keys in memory.
pub(crate) struct LocalToken {
    keys: Mutex<HashMap<KeyId, Arc<LocalKey>>>,
    made: Mutex<HashMap<Uuid, Arc<LocalKey>>>,
    broken: AtomicBool,
}

impl LocalToken {
    pub(crate) fn new(keys: impl IntoIterator<Item = (KeyId, Arc<LocalKey>)>) -> Self {
        Self {
            keys: Mutex::new(keys.into_iter().collect()),
            made: Mutex::default(),
            broken: AtomicBool::new(false),
        }
    }

    /// From now on nothing is signed, or everything is again.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    pub(super) fn sign(&self, key: KeyId, digest: &[u8; 32]) -> Result<[u8; 64], HsmError> {
        self.works("C_Sign")?;
        let keys = self.keys.lock().unwrap();
        let fault = || HsmError::Rejected(Fault::new("C_FindObjects", "no such key may be used"));
        let key = keys.get(&key).ok_or_else(fault)?;
        Ok(key.sign_digest(digest).unwrap())
    }

    pub(super) fn has(&self, key: KeyId) -> bool {
        self.keys.lock().unwrap().contains_key(&key)
    }

    pub(super) fn generate(&self, request: Uuid) -> Result<PublicKey, HsmError> {
        self.works("C_GenerateKeyPair")?;
        let mut made = self.made.lock().unwrap();
        let new = || Arc::new(LocalKey::generate().unwrap());
        Ok(made.entry(request).or_insert_with(new).public_key().clone())
    }

    pub(super) fn adopt(&self, key: &Key) -> Result<KeyReport, HsmError> {
        self.works("C_FindObjects")?;
        let made = self.made.lock().unwrap();
        let mut keys = self.keys.lock().unwrap();
        if let Some(pair) = made.values().find(|pair| *pair.public_key() == key.public) {
            keys.insert(key.id, Arc::clone(pair));
        }
        let (id, label, attributes) = (key.id, key.label.clone(), Vec::new());
        let fault = || HsmError::Rejected(Fault::new("C_FindObjects", "no such key"));
        keys.get(&key.id).ok_or_else(fault)?;
        Ok(KeyReport {
            id,
            label,
            attributes,
        })
    }

    pub(super) fn destroy(&self, key: KeyId) -> Result<(), HsmError> {
        self.works("C_DestroyObject")?;
        self.keys.lock().unwrap().remove(&key);
        Ok(())
    }

    fn works(&self, call: &str) -> Result<(), HsmError> {
        let broken = self.broken.load(Ordering::SeqCst);
        let fault = Fault::new(call, "CKR_DEVICE_ERROR");
        (!broken).then_some(()).ok_or(HsmError::Unavailable(fault))
    }

    pub(super) fn random<const N: usize>() -> [u8; N] {
        let mut octets = [0; N];
        for chunk in octets.chunks_mut(16) {
            chunk.copy_from_slice(&Uuid::new_v4().as_bytes()[..chunk.len()]);
        }
        octets
    }
}
