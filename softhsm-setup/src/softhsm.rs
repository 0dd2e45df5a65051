//! Owns the PKCS#11 side: the process that initialises one SoftHSM token, generates its keys and signs with them. It
//! is a process of its own because SoftHSM reads SOFTHSM2_CONF once, and setting a variable of one's own process is
//! not safe. The only place that names cryptoki.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use semops_objects::jwk;
use semops_pki::algorithm::{PublicKey, sha256};
use zeroize::Zeroizing;

use crate::protocol::{MAX_LINE, Reply, Request};

/// DER of the OID secp256r1, as CKA_EC_PARAMS holds it (PKCS#11 v3.0 s2.3.3).
const SECP256R1: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// What SoftHSM calls its maker.
const MANUFACTURER: &str = "SoftHSM";

/// Why the token did not do it; the text names the PKCS#11 function.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("the request is not understood")]
    Request,
    #[error("{call}: {source}")]
    Pkcs11 {
        call: &'static str,
        source: cryptoki::error::Error,
    },
    #[error("{module} is of {maker:?}, not SoftHSM: real tokens are initialised by their owners")]
    NotSoftHsm { module: String, maker: String },
    #[error("{0}")]
    State(&'static str),
    #[error("the token's public key: {0}")]
    Key(#[from] semops_pki::error::KeyError),
}

fn call(call: &'static str) -> impl FnOnce(cryptoki::error::Error) -> TokenError {
    move |source| TokenError::Pkcs11 { call, source }
}

/// Serves one token until its standard input ends: what the hidden subcommand `token` runs.
///
/// # Errors
/// Only if standard input or output fails; what the token refuses is an answer.
pub fn serve_token() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut token = None;
    // Made once in full length, so that no copy of a PIN stays behind when it grows.
    let mut line = Zeroizing::new(String::with_capacity(MAX_LINE));
    loop {
        line.clear();
        // A line without an end is no JSON either and is refused as such.
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        if input.by_ref().take(limit).read_line(&mut line)? == 0 {
            break;
        }
        let reply = answer(&mut token, &line).unwrap_or_else(|error| Reply::Refused {
            reason: error.to_string(),
        });
        serde_json::to_writer(&mut output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    // Before OpenSSL's exit handlers run, or SoftHSM may crash.
    token
        .map_or(Ok(()), Token::finalize)
        .map_err(io::Error::other)
}

fn answer(token: &mut Option<Token>, line: &str) -> Result<Reply, TokenError> {
    let request = serde_json::from_str(line).map_err(|_| TokenError::Request)?;
    let open = TokenError::State("the token is not initialised");
    match request {
        Request::Initialise {
            module,
            label,
            so_pin,
            pin,
        } => {
            if token.is_some() {
                return Err(TokenError::State("one process holds one token"));
            }
            let (new, library) = Token::initialise(module, label, &so_pin.into(), &pin.into())?;
            *token = Some(new);
            Ok(Reply::Ready { library })
        }
        Request::Generate { label } => {
            let key = token.as_ref().ok_or(open)?.generate(label)?;
            Ok(Reply::Key {
                point: BASE64URL.encode(key.sec1()),
            })
        }
        Request::Sign { key, message } => {
            let decode = |text| BASE64URL.decode(text).map_err(|_| TokenError::Request);
            let rs = token
                .as_ref()
                .ok_or(open)?
                .sign(decode(key)?, &decode(message)?)?;
            Ok(Reply::Signature {
                rs: BASE64URL.encode(rs),
            })
        }
    }
}

/// A token with one session, its user logged in.
struct Token {
    pkcs11: Pkcs11,
    session: Session,
}

impl Token {
    /// Initialises a free slot; gives the module's name and version too.
    fn initialise(
        module: &Path,
        label: &str,
        so_pin: &AuthPin,
        pin: &AuthPin,
    ) -> Result<(Self, String), TokenError> {
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
        session
            .login(UserType::User, Some(pin))
            .map_err(call("C_Login as user"))?;
        let library = format!("{} {}", info.manufacturer_id(), info.library_version());
        Ok((Self { pkcs11, session }, library))
    }

    /// Generates a key pair; its CKA_ID becomes the RFC 7638 thumbprint, on both halves.
    fn generate(&self, label: &str) -> Result<PublicKey, TokenError> {
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

    fn sign(&self, id: Vec<u8>, message: &[u8]) -> Result<Vec<u8>, TokenError> {
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

    fn finalize(self) -> Result<(), cryptoki::error::Error> {
        self.session.close()?;
        self.pkcs11.finalize()
    }
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
