//! Owns what names a signing key and what it is for: its id, its purpose, its state. The private half never leaves the
//! token and has no type here.

use std::{fmt, str::FromStr};

use semops_pki::algorithm::PublicKey;

use crate::base64url;
use crate::error::Rule;
use crate::jwk;

/// The id of a key: the RFC 7638 thumbprint of its public half. It is the CKA_ID in the token and the `kid` of a JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// The id with these octets.
    pub const fn new(thumbprint: [u8; 32]) -> Self {
        Self(thumbprint)
    }

    /// The id of this key.
    pub fn of(key: &PublicKey) -> Self {
        Self(jwk::thumbprint(key))
    }

    /// Its 32 octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(&self.0))
    }
}

/// Why a text is no key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 43 base64url characters")]
pub struct BadKeyId;

impl FromStr for KeyId {
    type Err = BadKeyId;

    fn from_str(text: &str) -> Result<Self, BadKeyId> {
        base64url::decode_array(text)
            .map(Self)
            .map_err(|_| BadKeyId)
    }
}

impl From<BadKeyId> for Rule {
    fn from(_: BadKeyId) -> Self {
        Self::KeyId
    }
}

/// What a key may sign; a closed set. A key of one purpose never signs another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Device certificates and their CRL.
    DeviceCa,
    /// Authorization certificates and their CRL.
    SigningCa,
    /// Authorizations.
    Authorization,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::DeviceCa, Self::SigningCa, Self::Authorization];

    /// The word: the key's label in the token, and its name in the store and in proposals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceCa => "device-ca",
            Self::SigningCa => "signing-ca",
            Self::Authorization => "authorization",
        }
    }
}

impl FromStr for Purpose {
    type Err = Rule;

    fn from_str(word: &str) -> Result<Self, Rule> {
        let found = Self::ALL.into_iter().find(|one| one.name() == word);
        found.ok_or(Rule::OneOf("device-ca, signing-ca, authorization"))
    }
}

/// The state of a key (NIST SP 800-57 part 1 rev. 5 s7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// It may not sign yet.
    PreActivation,
    /// It may sign.
    Active,
    /// It may not sign, for now.
    Suspended,
    /// It may sign no more; what it signed stays good.
    Deactivated,
    /// It may sign no more, and what it signed since it may have been known to others is in doubt.
    Compromised,
    /// Its private half is no more, or may be destroyed at any moment.
    Destroyed,
}

impl KeyState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::PreActivation,
        Self::Active,
        Self::Suspended,
        Self::Deactivated,
        Self::Compromised,
        Self::Destroyed,
    ];

    /// The word in the store and in what people read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreActivation => "pre-activation",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_id_has_one_spelling() {
        let id = KeyId::new([0xa5; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        // The last of 43 characters carries four bits: those below them must be zero.
        let slack = format!("{}V", &id.to_string()[..42]);
        for text in ["", "AA", &format!("{id}="), &format!("{id}A"), &slack] {
            assert_eq!(text.parse::<KeyId>(), Err(BadKeyId), "{text}");
        }
    }

    #[test]
    fn purposes_and_states_have_one_word_each() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.name().parse(), Ok(purpose));
        }
        assert!("Device-ca".parse::<Purpose>().is_err());
        assert!(Purpose::ALL.is_sorted());
        let mut words = KeyState::ALL.map(KeyState::name);
        words.sort_unstable();
        assert!(words.windows(2).all(|two| two.first() != two.last()));
    }
}
