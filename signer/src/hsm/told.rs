//! Owns what of a token changes while the service runs: what its worker processes are told, and which of its keys may be
//! used.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Token;
use super::report::KeyReport;
use crate::domain::key::KeyId;

/// Of one token.
pub(super) struct Told(RwLock<State>);

struct State {
    /// What the next worker process is told. A key that was taken up since is found in the token by its CKA_ID when it is
    /// used: were it among what a process has to find, its loss would be that of all others.
    token: Arc<Token>,
    keys: Arc<[KeyReport]>,
}

impl Told {
    pub(super) fn new(token: Token) -> Self {
        Self(RwLock::new(State {
            token: Arc::new(token),
            keys: [].into(),
        }))
    }

    /// What a worker process that is started now is told.
    pub(super) fn token(&self) -> Arc<Token> {
        Arc::clone(&self.read().token)
    }

    /// The keys that may be used now.
    pub(super) fn keys(&self) -> Arc<[KeyReport]> {
        Arc::clone(&self.read().keys)
    }

    /// Whether this key may be used now.
    pub(super) fn has(&self, key: KeyId) -> bool {
        self.read().keys.iter().any(|known| known.id == key)
    }

    /// From now on these keys may be used, as they were found.
    pub(super) fn adopt(&self, found: &[KeyReport]) {
        let mut state = self.write();
        let is_found = |known: &&KeyReport| found.iter().any(|key| key.id == known.id);
        let others = state.keys.iter().filter(|known| !is_found(known));
        state.keys = others.chain(found).cloned().collect();
    }

    /// From now on this key may not be used, and no worker process has to find it.
    pub(super) fn dismiss(&self, key: KeyId) {
        let mut state = self.write();
        let others = state.keys.iter().filter(|known| known.id != key);
        state.keys = others.cloned().collect();
        let mut token = Token::clone(&state.token);
        token.keys.retain(|known| known.id != key);
        state.token = Arc::new(token);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic of another holder leaves the list whole: it is replaced in one step.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
