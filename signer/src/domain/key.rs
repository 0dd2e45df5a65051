//! Owns what the service knows of a key in a token: purpose, public half, certificate, state. The private half never
//! leaves the token and has no type here.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::institution::InstitutionId;
use semops_pki::{algorithm::PublicKey, certificate::Certificate};

use crate::clock::Timestamp;

/// The id of a key: the RFC 7638 thumbprint of its public half. It is the CKA_ID in the token and the `kid` of a JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// The id with these octets.
    pub const fn new(thumbprint: [u8; 32]) -> Self {
        Self(thumbprint)
    }

    /// Its 32 octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Why a text is no key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 43 base64url characters")]
pub struct BadKeyId;

impl FromStr for KeyId {
    type Err = BadKeyId;

    fn from_str(text: &str) -> Result<Self, BadKeyId> {
        let octets = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadKeyId)?;
        octets.try_into().map(Self).map_err(|_| BadKeyId)
    }
}

/// What a key may sign; a closed set. A key of one purpose never signs another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Device certificates and their CRL.
    DeviceCa,
    /// The CRL of the authorization certificates.
    SigningCa,
    /// Authorizations.
    Authorization,
}

impl Purpose {
    /// The word: the key's label in the token, and its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceCa => "device-ca",
            Self::SigningCa => "signing-ca",
            Self::Authorization => "authorization",
        }
    }
}

/// Whether a key may sign (NIST SP 800-57 part 1 s7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It may.
    Active,
    /// It may not, for now.
    Suspended,
}

/// One key of one institution.
#[derive(Debug)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub institution: InstitutionId,
    /// What it may sign.
    pub purpose: Purpose,
    /// Its public half.
    pub public: PublicKey,
    /// Its certificate; for an authorization key the issuing signing CA follows.
    pub chain: Vec<Certificate>,
    /// The start of its cryptoperiod: its certificate's notBefore.
    pub not_before: Timestamp,
    /// The end of its cryptoperiod: its certificate's notAfter.
    pub not_after: Timestamp,
}

/// Why a key may not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is outside its cryptoperiod")]
pub struct OutsideCryptoperiod;

impl KeyRecord {
    /// The key as one that may sign at `now`. Its state in the store is read again, under lock, in `begin`.
    pub fn for_signing(
        self: &Arc<Self>,
        now: Timestamp,
    ) -> Result<SigningKey, OutsideCryptoperiod> {
        let inside = self.not_before <= now && now < self.not_after;
        inside
            .then(|| SigningKey(Arc::clone(self)))
            .ok_or(OutsideCryptoperiod)
    }
}

/// A key that is inside its cryptoperiod.
#[derive(Clone, Debug)]
pub struct SigningKey(Arc<KeyRecord>);

impl SigningKey {
    /// Its record.
    pub fn record(&self) -> &KeyRecord {
        &self.0
    }
}
