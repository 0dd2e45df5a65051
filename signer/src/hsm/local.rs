//! Owns the token of unit tests: the same plain data in and out, with keys in memory and a switch that breaks it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use semops_pki::local_key::LocalKey;
use uuid::Uuid;

use super::{Fault, HsmError, Keys, Signer, Tokens, Watch};
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
    keys: HashMap<KeyId, Arc<LocalKey>>,
    broken: AtomicBool,
}

impl LocalToken {
    pub(crate) fn new(keys: impl IntoIterator<Item = (KeyId, Arc<LocalKey>)>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            broken: AtomicBool::new(false),
        }
    }

    /// From now on nothing is signed, or everything is again.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    pub(super) fn sign(&self, key: KeyId, digest: &[u8; 32]) -> Result<[u8; 64], HsmError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(HsmError::Unavailable(Fault::new(
                "C_Sign",
                "CKR_DEVICE_ERROR",
            )));
        }
        Ok(self.keys.get(&key).unwrap().sign_digest(digest).unwrap())
    }

    pub(super) fn random<const N: usize>() -> [u8; N] {
        let mut octets = [0; N];
        for chunk in octets.chunks_mut(16) {
            chunk.copy_from_slice(&Uuid::new_v4().as_bytes()[..chunk.len()]);
        }
        octets
    }
}
