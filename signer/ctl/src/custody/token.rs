//! An approval key in a PKCS#11 token. The only place of this program that names cryptoki.

use std::path::{Path, PathBuf};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use semops_pki::algorithm::{PublicKey, sha256};
use zeroize::Zeroizing;

/// Which key of which token.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The PKCS#11 module.
    pub module: &'a Path,
    /// Label of the token.
    pub token: &'a str,
    /// CKA_LABEL of both halves of the key.
    pub key: &'a str,
}

/// Why the token's key cannot be used; the text names the PKCS#11 function, the token or the key.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A call failed.
    #[error("{call}: {source}")]
    Call {
        /// The function.
        call: &'static str,
        /// What the module answered.
        source: cryptoki::error::Error,
    },
    /// The file is no module that can be loaded.
    #[error("{path} cannot be loaded as a PKCS#11 module: {source}")]
    Module {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: cryptoki::error::Error,
    },
    /// No token, or more than one, has this label.
    #[error("{found} tokens have the label {label:?}, not one")]
    Token {
        /// The label.
        label: String,
        /// How many have it.
        found: usize,
    },
    /// One more wrong PIN would lock the token (CKF_USER_PIN_FINAL_TRY), or it is locked.
    #[error(
        "the token's next wrong PIN locks it, or it is locked: this program does not try its PIN"
    )]
    Locked,
    /// No key, or more than one, has this label.
    #[error("{found} {half} keys in the token have the label {label:?}, not one")]
    Key {
        /// Public or private.
        half: &'static str,
        /// The label.
        label: String,
        /// How many have it.
        found: usize,
    },
    /// Not a P-256 key, or the two halves do not belong together.
    #[error("the token's key is not a P-256 key whose two halves belong together")]
    Halves,
}

fn call(call: &'static str) -> impl FnOnce(cryptoki::error::Error) -> TokenError {
    move |source| TokenError::Call { call, source }
}

/// An approval key in a token, ready to sign. The module is finalised when it is dropped.
#[derive(Debug)]
pub struct TokenKey {
    // Before the module: fields are dropped in this order, and C_Finalize closes what is open.
    session: Session,
    private: ObjectHandle,
    public_key: PublicKey,
    _module: Module,
}

#[derive(Debug)]
struct Module(Option<Pkcs11>);

impl Drop for Module {
    fn drop(&mut self) {
        if let Some(pkcs11) = self.0.take() {
            // Before the exit handlers of the libraries below it; there is nobody to tell of a failure.
            let _ = pkcs11.finalize();
        }
    }
}

impl TokenKey {
    /// Logs in with `pin`, tried once, and finds the key.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn open(place: &Place<'_>, pin: &Zeroizing<String>) -> Result<Self, TokenError> {
        let (module, pkcs11) = load(place.module)?;
        let slot = slot(&pkcs11, place.token)?;
        let session = pkcs11
            .open_ro_session(slot)
            .map_err(call("C_OpenSession"))?;
        session
            .login(UserType::User, Some(&AuthPin::from(pin.as_str())))
            .map_err(call("C_Login"))?;
        let private = half(&session, ObjectClass::PRIVATE_KEY, "private", place.key)?;
        let public = half(&session, ObjectClass::PUBLIC_KEY, "public", place.key)?;
        let public_key = public_key(&session, public)?;
        Ok(Self {
            session,
            private,
            public_key,
            _module: module,
        })
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Signs `message`, hashed here (CKM_ECDSA), and gives `r || s`, verified with the public half.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], TokenError> {
        let rs = self
            .session
            .sign(&Mechanism::Ecdsa, self.private, &sha256(message))
            .map_err(call("C_Sign"))?;
        let rs: [u8; 64] = rs.try_into().map_err(|_| TokenError::Halves)?;
        self.public_key
            .verify_raw(message, &rs)
            .map_err(|_| TokenError::Halves)?;
        Ok(rs)
    }
}

fn load(path: &Path) -> Result<(Module, Pkcs11), TokenError> {
    let pkcs11 = Pkcs11::new(path).map_err(|source| TokenError::Module {
        path: path.to_owned(),
        source,
    })?;
    let flags = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    pkcs11.initialize(flags).map_err(call("C_Initialize"))?;
    Ok((Module(Some(pkcs11.clone())), pkcs11))
}

/// The slot of the one token of this label, which takes a PIN.
fn slot(pkcs11: &Pkcs11, label: &str) -> Result<Slot, TokenError> {
    let slots = pkcs11
        .get_slots_with_initialized_token()
        .map_err(call("C_GetSlotList"))?;
    let mut found = Vec::new();
    for slot in slots {
        let info = pkcs11
            .get_token_info(slot)
            .map_err(call("C_GetTokenInfo"))?;
        if info.label() == label {
            found.push((slot, info));
        }
    }
    let [(slot, info)] = found.as_slice() else {
        return Err(TokenError::Token {
            label: label.to_owned(),
            found: found.len(),
        });
    };
    if info.user_pin_final_try() || info.user_pin_locked() {
        return Err(TokenError::Locked);
    }
    Ok(*slot)
}

fn half(
    session: &Session,
    class: ObjectClass,
    half: &'static str,
    label: &str,
) -> Result<ObjectHandle, TokenError> {
    let template = [
        Attribute::Class(class),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session
        .find_objects(&template)
        .map_err(call("C_FindObjects"))?;
    match found.as_slice() {
        [one] => Ok(*one),
        _ => Err(TokenError::Key {
            half,
            label: label.to_owned(),
            found: found.len(),
        }),
    }
}

/// CKA_EC_POINT is a DER OCTET STRING of the point's 65 octets (PKCS#11 v3.0 s2.3.3); some tokens give the point alone.
fn public_key(session: &Session, public: ObjectHandle) -> Result<PublicKey, TokenError> {
    let attributes = session
        .get_attributes(public, &[AttributeType::EcPoint])
        .map_err(call("C_GetAttributeValue of CKA_EC_POINT"))?;
    let [Attribute::EcPoint(point)] = attributes.as_slice() else {
        return Err(TokenError::Halves);
    };
    let point = match point.as_slice() {
        [0x04, 0x41, point @ ..] if point.len() == 65 => point,
        point => point,
    };
    PublicKey::from_sec1(point).map_err(|_| TokenError::Halves)
}
