//! Owns one open token: initialising it or logging in to it, its keys, and what protects them.

use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use semops_objects::jwk;
use semops_pki::algorithm::{PublicKey, sha256};

use super::{TokenError, call};

/// DER of the OID secp256r1, as CKA_EC_PARAMS holds it (PKCS#11 v3.0 s2.3.3).
const SECP256R1: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// What SoftHSM calls its maker.
const MANUFACTURER: &str = "SoftHSM";

/// A token with one session, its user logged in.
pub(super) struct Token {
    pkcs11: Pkcs11,
    slot: Slot,
    session: Session,
}

/// A key pair inside the token.
pub(super) struct KeyPair {
    public: ObjectHandle,
    pub(super) private: ObjectHandle,
    pub(super) public_key: PublicKey,
}

impl Token {
    /// Initialises a free slot; gives the module's name and version too.
    pub(super) fn initialise(
        module: &Path,
        label: &str,
        so_pin: &AuthPin,
        pin: &AuthPin,
    ) -> Result<(Self, String), TokenError> {
        let (pkcs11, library) = load(module)?;
        if initialised(&pkcs11, label)?.is_some() {
            return Err(TokenError::State("a token of this label is there already"));
        }
        let free = free_slot(&pkcs11)?;
        pkcs11
            .init_token(free, so_pin, label)
            .map_err(call("C_InitToken"))?;
        let slot = initialised(&pkcs11, label)?;
        let slot = slot.ok_or(TokenError::State("the new token is not in the slot list"))?;
        let session = pkcs11
            .open_rw_session(slot)
            .map_err(call("C_OpenSession"))?;
        session
            .login(UserType::So, Some(so_pin))
            .map_err(call("C_Login as security officer"))?;
        session.init_pin(pin).map_err(call("C_InitPIN"))?;
        session.logout().map_err(call("C_Logout"))?;
        Ok((Self::log_in(pkcs11, slot, session, pin)?, library))
    }

    /// Logs in to a token that is there; gives the module's name and version too.
    pub(super) fn open(
        module: &Path,
        label: &str,
        pin: &AuthPin,
    ) -> Result<(Self, String), TokenError> {
        let (pkcs11, library) = load(module)?;
        let slot = initialised(&pkcs11, label)?;
        let slot = slot.ok_or(TokenError::State("there is no token of this label"))?;
        let session = pkcs11
            .open_rw_session(slot)
            .map_err(call("C_OpenSession"))?;
        Ok((Self::log_in(pkcs11, slot, session, pin)?, library))
    }

    fn log_in(
        pkcs11: Pkcs11,
        slot: Slot,
        session: Session,
        pin: &AuthPin,
    ) -> Result<Self, TokenError> {
        session
            .login(UserType::User, Some(pin))
            .map_err(call("C_Login as user"))?;
        Ok(Self {
            pkcs11,
            slot,
            session,
        })
    }

    /// Changes the PIN of the user, who is logged in.
    pub(super) fn change_pin(&self, old: &AuthPin, new: &AuthPin) -> Result<(), TokenError> {
        self.session.set_pin(old, new).map_err(call("C_SetPIN"))
    }

    /// Another session of the same token: the login is the application's (PKCS#11 v3.0 s5.6).
    pub(super) fn another_session(&self) -> Result<Session, TokenError> {
        self.pkcs11
            .open_ro_session(self.slot)
            .map_err(call("C_OpenSession"))
    }

    /// Generates a key pair for good.
    pub(super) fn generate(&self, label: &str) -> Result<PublicKey, TokenError> {
        Ok(self.generate_pair(label)?.public_key)
    }

    /// Generates a key pair; its CKA_ID becomes the RFC 7638 thumbprint, on both halves. One that is not as it should
    /// be is destroyed.
    pub(super) fn generate_pair(&self, label: &str) -> Result<KeyPair, TokenError> {
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::EcParams(SECP256R1.to_vec()),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let (public, private) = self
            .session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(call("C_GenerateKeyPair"))?;
        let finished = self.finish_pair(public, private);
        finished
            .map(|public_key| KeyPair {
                public,
                private,
                public_key,
            })
            .inspect_err(|_| {
                // Why it is not as it should be says more than that it stays.
                let _ = self.destroy_halves([private, public]);
            })
    }

    fn finish_pair(
        &self,
        public: ObjectHandle,
        private: ObjectHandle,
    ) -> Result<PublicKey, TokenError> {
        let key = self.public_key(public)?;
        let id = [Attribute::Id(jwk::thumbprint(&key).to_vec())];
        for half in [public, private] {
            self.session
                .update_attributes(half, &id)
                .map_err(call("C_SetAttributeValue of CKA_ID"))?;
        }
        self.check_protection(private)?;
        Ok(key)
    }

    /// Destroys both halves of a key pair.
    pub(super) fn destroy(&self, pair: &KeyPair) -> Result<(), TokenError> {
        self.destroy_halves([pair.private, pair.public])
    }

    fn destroy_halves(&self, halves: [ObjectHandle; 2]) -> Result<(), TokenError> {
        // Both are tried before the first that failed is told.
        let destroyed = halves.map(|half| self.session.destroy_object(half));
        for half in destroyed {
            half.map_err(call("C_DestroyObject"))?;
        }
        Ok(())
    }

    fn public_key(&self, handle: ObjectHandle) -> Result<PublicKey, TokenError> {
        let attributes = self
            .session
            .get_attributes(handle, &[AttributeType::EcPoint])
            .map_err(call("C_GetAttributeValue of CKA_EC_POINT"))?;
        match attributes.as_slice() {
            // A DER OCTET STRING of the 65 octets (PKCS#11 v3.0 s2.3.3).
            [Attribute::EcPoint(point)] => match point.as_slice() {
                [0x04, 0x41, point @ ..] if point.len() == 65 => Ok(PublicKey::from_sec1(point)?),
                _ => Err(TokenError::State("CKA_EC_POINT is not that of a P-256 key")),
            },
            _ => Err(TokenError::State("the token gave no CKA_EC_POINT")),
        }
    }

    /// Reads back what keeps a private key in the token.
    fn check_protection(&self, private: ObjectHandle) -> Result<(), TokenError> {
        let expected = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::AlwaysSensitive(true),
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
            Attribute::Sign(true),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ];
        let types: Vec<_> = expected.iter().map(Attribute::attribute_type).collect();
        let found = self
            .session
            .get_attributes(private, &types)
            .map_err(call("C_GetAttributeValue of the private key"))?;
        if expected.iter().all(|attribute| found.contains(attribute)) {
            Ok(())
        } else {
            Err(TokenError::State(
                "the new private key is not protected as asked",
            ))
        }
    }

    /// Signs with the private key of this CKA_ID: `r || s`.
    pub(super) fn sign(&self, id: Vec<u8>, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let template = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Id(id),
        ];
        let keys = self
            .session
            .find_objects(&template)
            .map_err(call("C_FindObjects"))?;
        let [key] = keys.as_slice() else {
            return Err(TokenError::State(
                "there is not exactly one key of that CKA_ID",
            ));
        };
        // SoftHSM has no CKM_ECDSA_SHA256: the hash is made here.
        self.session
            .sign(&Mechanism::Ecdsa, *key, &sha256(message))
            .map_err(call("C_Sign"))
    }

    /// Closes the session and finalises the module.
    pub(super) fn finalize(self) -> Result<(), cryptoki::error::Error> {
        self.session.close()?;
        self.pkcs11.finalize()
    }
}

/// Loads and initialises the module, if it is SoftHSM's; gives its name and version too.
fn load(module: &Path) -> Result<(Pkcs11, String), TokenError> {
    let pkcs11 = Pkcs11::new(module).map_err(call("loading the module"))?;
    let flags = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    pkcs11.initialize(flags).map_err(call("C_Initialize"))?;
    let info = pkcs11.get_library_info().map_err(call("C_GetInfo"))?;
    if info.manufacturer_id() != MANUFACTURER {
        return Err(TokenError::NotSoftHsm {
            module: module.display().to_string(),
            maker: info.manufacturer_id().to_owned(),
        });
    }
    let library = format!("{} {}", info.manufacturer_id(), info.library_version());
    Ok((pkcs11, library))
}

fn initialised(pkcs11: &Pkcs11, label: &str) -> Result<Option<Slot>, TokenError> {
    let slots = pkcs11
        .get_slots_with_initialized_token()
        .map_err(call("C_GetSlotList"))?;
    for slot in slots {
        let info = pkcs11
            .get_token_info(slot)
            .map_err(call("C_GetTokenInfo"))?;
        if info.label() == label {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// SoftHSM always offers one slot whose token is not initialised.
fn free_slot(pkcs11: &Pkcs11) -> Result<Slot, TokenError> {
    let slots = pkcs11
        .get_slots_with_token()
        .map_err(call("C_GetSlotList"))?;
    for slot in slots {
        let info = pkcs11
            .get_token_info(slot)
            .map_err(call("C_GetTokenInfo"))?;
        if !info.token_initialized() {
            return Ok(slot);
        }
    }
    Err(TokenError::State("the module offers no free slot"))
}
