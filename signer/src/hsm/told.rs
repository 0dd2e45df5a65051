//! Owns what of a token changes while the service runs: what its worker processes are told, and which of its keys may be
//! used.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use secrecy::{ExposeSecret as _, SecretString};

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
    /// How often its PIN was changed.
    pin: u64,
    /// The last PIN that the token refused in place of the one in use.
    refused: Option<SecretString>,
}

impl Told {
    pub(super) fn new(token: Token) -> Self {
        Self(RwLock::new(State {
            token: Arc::new(token),
            keys: [].into(),
            pin: 0,
            refused: None,
        }))
    }

    /// What a worker process that is started now is told.
    pub(super) fn token(&self) -> Arc<Token> {
        Arc::clone(&self.read().token)
    }

    /// The same, with the number of its PIN.
    pub(super) fn numbered(&self) -> (Arc<Token>, u64) {
        let state = self.read();
        (Arc::clone(&state.token), state.pin)
    }

    /// The number of the PIN that worker processes are told.
    pub(super) fn pin(&self) -> u64 {
        self.read().pin
    }

    /// Whether worker processes are told this PIN.
    pub(super) fn has_pin(&self, pin: &SecretString) -> bool {
        self.read().token.pin.expose_secret() == pin.expose_secret()
    }

    /// Whether the token refused this PIN the last time that one was changed.
    pub(super) fn has_refused(&self, pin: &SecretString) -> bool {
        let state = self.read();
        let mut refused = state.refused.iter();
        refused.any(|refused| refused.expose_secret() == pin.expose_secret())
    }

    /// The token refuses this PIN.
    pub(super) fn refuse_pin(&self, pin: SecretString) {
        self.write().refused = Some(pin);
    }

    /// From now on worker processes are told this PIN. The one before is overwritten when no process is being started
    /// with it.
    pub(super) fn change_pin(&self, pin: SecretString) {
        let mut state = self.write();
        let token = Token {
            pin,
            ..Token::clone(&state.token)
        };
        state.token = Arc::new(token);
        state.pin = state.pin.saturating_add(1);
        state.refused = None;
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
