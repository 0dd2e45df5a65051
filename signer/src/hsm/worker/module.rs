//! Owns the loaded PKCS#11 module and sessions with its tokens: the only file that makes PKCS#11 calls
//! other than those of the probe.

use std::collections::HashMap;
use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session as RawSession, SessionState, UserType};
use cryptoki::slot::Slot;
use secrecy::SecretString;

use crate::domain::key::KeyId;
use crate::hsm::failure::{Class, Failure};

/// The module between C_Initialize and C_Finalize, each made once in the life of the process: whatever needs another
/// C_Initialize needs another process.
pub(super) struct Module {
    pkcs11: Pkcs11,
}

impl Module {
    /// Loads the library and makes C_Initialize.
    pub(super) fn initialize(path: &Path) -> Result<Self, Failure> {
        let pkcs11 = Pkcs11::new(path)?;
        pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        Ok(Self { pkcs11 })
    }

    pub(super) fn raw(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    /// Makes C_Finalize, which ends every session. No thread may be inside a call.
    pub(super) fn finalize(&self) -> Result<(), Failure> {
        Ok(self.pkcs11.clone().finalize()?)
    }
}

/// Whether sessions are read-only; some modules open no other kind than read-write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// A session with a token, and the handles of the keys found in it.
pub(super) struct Session {
    raw: RawSession,
    handles: HashMap<KeyId, ObjectHandle>,
}

impl Session {
    /// Opens a session that is closed by [`Session::close`] alone.
    pub(super) fn open(module: &Module, slot: Slot, access: Access) -> Result<Self, Failure> {
        let raw = match access {
            Access::ReadOnly => module.pkcs11.open_ro_session_no_drop(slot),
            Access::ReadWrite => module.pkcs11.open_rw_session_no_drop(slot),
        }?;
        let handles = HashMap::new();
        Ok(Self { raw, handles })
    }

    /// Closes it. That a spoilt session cannot be closed is no news: it was spoilt.
    pub(super) fn close(self) {
        let _ = self.raw.close();
    }

    pub(super) fn raw(&self) -> &RawSession {
        &self.raw
    }

    /// Whether the token counts this application as logged in, as far as the session knows.
    pub(super) fn is_user(&self) -> Result<bool, Failure> {
        let state = self.raw.get_session_info()?.session_state();
        Ok(matches!(state, SessionState::RoUser | SessionState::RwUser))
    }

    /// Fails when it is not.
    pub(super) fn must_be_user(&self) -> Result<(), Failure> {
        if self.is_user()? {
            return Ok(());
        }
        let code = "logged out";
        Err(Failure::new(Class::Relogin, "C_GetSessionInfo", code))
    }

    /// Logs the application in. That it is already is success (PKCS#11: login is per application).
    pub(super) fn login(&self, pin: &SecretString) -> Result<(), Failure> {
        match self.raw.login(UserType::User, Some(pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Signs `digest` (SHA-256, 32 octets) with CKM_ECDSA; the hash is made outside, for CKM_ECDSA_SHA256
    /// is often missing. Gives `r || s`, unverified.
    pub(super) fn sign(&mut self, key: KeyId, digest: &[u8; 32]) -> Result<[u8; 64], Failure> {
        let handle = self.private_key(key)?;
        let signature = self.raw.sign(&Mechanism::Ecdsa, handle, digest)?;
        signature.try_into().map_err(|odd: Vec<u8>| {
            let code = format!("a signature of {} octets, not 64", odd.len());
            Failure::new(Class::Reject, "C_Sign", code)
        })
    }

    /// Draws `length` random octets.
    pub(super) fn random(&self, length: usize) -> Result<Vec<u8>, Failure> {
        let mut octets = vec![0; length];
        self.raw.generate_random_slice(&mut octets)?;
        Ok(octets)
    }

    /// The token objects of `class` whose CKA_ID is `key`.
    pub(super) fn find(
        &self,
        class: ObjectClass,
        key: KeyId,
    ) -> Result<Vec<ObjectHandle>, Failure> {
        let id = Attribute::Id(key.as_bytes().to_vec());
        let template = [Attribute::Class(class), Attribute::Token(true), id];
        Ok(self.raw.find_objects(&template)?)
    }

    fn private_key(&mut self, key: KeyId) -> Result<ObjectHandle, Failure> {
        if let Some(handle) = self.handles.get(&key) {
            return Ok(*handle);
        }
        let found = self.find(ObjectClass::PRIVATE_KEY, key)?;
        if let [handle] = found.as_slice() {
            self.handles.insert(key, *handle);
            return Ok(*handle);
        }
        let code = format!("{} private keys with this CKA_ID, not one", found.len());
        let class = match found.len() {
            // Private objects are invisible, without an error, to whoever is not logged in; and another
            // thread may have logged in again since.
            0 if !self.is_user()? => Class::Relogin,
            0 => Class::Retry,
            _ => Class::Reject,
        };
        Err(Failure::new(class, "C_FindObjects", code))
    }
}
