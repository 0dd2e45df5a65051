//! Owns the login to one token: its PIN and the session that keeps it alive. Login is per application
//! and token (PKCS#11 v2.40 s5.6, C_Login), so that one owner does it, one thread at a time, and never logs out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::slot::{Slot, TokenInfo};
use secrecy::SecretString;

use super::module::{Access, Module, Session};
use crate::hsm::error::Fault;
use crate::hsm::failure::{Class, Failure};

/// The owner of one token's login.
pub(super) struct Login {
    slot: Slot,
    access: Access,
    pin: SecretString,
    /// How many logins there were; outside the lock, which a hanging C_Login would hold.
    epoch: AtomicU64,
    state: Mutex<State>,
}

/// Counts logins, so that of several threads that find themselves logged out one logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(pub(super) u64);

struct State {
    /// Never used for work: while it is open, the end of a thread's session logs nobody out.
    pinned: Option<Session>,
    /// Set once the token refused the login; nothing is tried again.
    refused: Option<Fault>,
}

impl Login {
    pub(super) fn new(slot: Slot, access: Access, pin: SecretString) -> Self {
        let state = Mutex::new(State {
            pinned: None,
            refused: None,
        });
        Self {
            slot,
            access,
            pin,
            epoch: AtomicU64::new(0),
            state,
        }
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    /// Logs in, unless another thread has done so since `seen`. A refused PIN is never sent again.
    pub(super) fn login(&self, module: &Module, seen: Epoch) -> Result<(), Failure> {
        let mut state = self.state();
        if let Some(fault) = &state.refused {
            let fault = fault.clone();
            return Err(Failure {
                fault,
                class: Class::Fatal,
            });
        }
        if self.epoch() != seen {
            return Ok(());
        }
        let outcome = self.try_login(module, &mut state);
        match &outcome {
            Ok(()) => {
                self.epoch.fetch_add(1, Ordering::SeqCst);
            }
            Err(failure) if failure.class == Class::Fatal => {
                state.refused = Some(failure.fault.clone());
            }
            Err(_) => {}
        }
        outcome
    }

    fn try_login(&self, module: &Module, state: &mut State) -> Result<(), Failure> {
        PinFlags::of(&module.raw().get_token_info(self.slot)?).check()?;
        // The old session is closed before its successor is opened: a module that lost its sessions may give
        // the new one the old one's number.
        if let Some(old) = state.pinned.take() {
            old.close();
        }
        let session = Session::open(module, self.slot, self.access)?;
        match session.login(&self.pin) {
            Ok(()) => {
                state.pinned = Some(session);
                Ok(())
            }
            Err(failure) => {
                session.close();
                Err(failure)
            }
        }
    }

    /// Keeps the pinned session from expiring, and finds out if it has.
    pub(super) fn keep_alive(&self) -> Result<(), Failure> {
        match &self.state().pinned {
            Some(session) => session.must_be_user(),
            None => Err(Failure::new(
                Class::Relogin,
                "C_Login",
                "no session keeps the login",
            )),
        }
    }

    /// Closes the pinned session; for the end, after every thread.
    pub(super) fn close(&self) {
        if let Some(session) = self.state().pinned.take() {
            session.close();
        }
    }

    /// A panic of another holder leaves the state as good as an error would.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The flags of CK_TOKEN_INFO that forbid to send a PIN.
struct PinFlags {
    locked: bool,
    final_try: bool,
    error_state: bool,
}

impl PinFlags {
    fn of(info: &TokenInfo) -> Self {
        Self {
            locked: info.user_pin_locked(),
            final_try: info.user_pin_final_try(),
            error_state: info.error_state(),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let flag = match self {
            Self { error_state, .. } if *error_state => "CKF_ERROR_STATE",
            Self { locked, .. } if *locked => "CKF_USER_PIN_LOCKED",
            Self { final_try, .. } if *final_try => "CKF_USER_PIN_FINAL_TRY",
            _ => return Ok(()),
        };
        Err(Failure::new(Class::Fatal, "C_GetTokenInfo", flag))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pin_is_not_sent_when_a_flag_forbids_it() {
        let check = |locked, final_try, error_state| {
            let flags = PinFlags {
                locked,
                final_try,
                error_state,
            };
            flags
                .check()
                .map_err(|f| (f.class, f.fault.code().to_owned()))
        };
        assert_eq!(check(false, false, false), Ok(()));
        let fatal = |flag: &str| Err((Class::Fatal, flag.to_owned()));
        assert_eq!(check(true, false, false), fatal("CKF_USER_PIN_LOCKED"));
        assert_eq!(check(true, true, false), fatal("CKF_USER_PIN_LOCKED"));
        assert_eq!(check(false, true, false), fatal("CKF_USER_PIN_FINAL_TRY"));
        assert_eq!(check(false, true, true), fatal("CKF_ERROR_STATE"));
    }
}
