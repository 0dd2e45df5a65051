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
    /// Answers to whoever asks whether a device's certificate is revoked (RFC 6960).
    Ocsp,
    /// What the audit record comes to.
    Audit,
    /// Statements.
    Statement,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 6] = [
        Self::DeviceCa,
        Self::SigningCa,
        Self::Authorization,
        Self::Ocsp,
        Self::Audit,
        Self::Statement,
    ];
    /// The words of all of them, for people.
    pub const WORDS: &'static str =
        "device-ca, signing-ca, authorization, ocsp, audit or statement";

    /// The word: the key's label in the token, and its name in the store and in proposals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceCa => "device-ca",
            Self::SigningCa => "signing-ca",
            Self::Authorization => "authorization",
            Self::Ocsp => "ocsp",
            Self::Audit => "audit",
            Self::Statement => "statement",
        }
    }

    /// What the key is for that certifies one of this purpose; nothing for a CA's, which the root of its hierarchy certifies.
    pub const fn certified_by(self) -> Option<Self> {
        match self {
            Self::DeviceCa | Self::SigningCa => None,
            Self::Authorization | Self::Audit | Self::Statement => Some(Self::SigningCa),
            Self::Ocsp => Some(Self::DeviceCa),
        }
    }

    /// Whether it is a CA's.
    pub const fn is_ca(self) -> bool {
        self.certified_by().is_none()
    }

    /// The longest time in which a key of this purpose signs, in days from its certificate's notBefore on: the originator
    /// usage period of a private signature key is one to three years at most (NIST SP 800-57 part 1 rev. 5 s5.3.6), and
    /// what many rely on for long is signed by each key for less.
    pub const fn cryptoperiod_days(self) -> u16 {
        match self {
            Self::DeviceCa | Self::SigningCa | Self::Authorization => 1_096,
            // Its certificate cannot be revoked (RFC 6960 s4.2.2.2.1): its end alone limits what a lost key can do.
            Self::Ocsp => 90,
            // What stands under one signature is years of the record: no key vouches for more than one of them.
            Self::Audit => 366,
            Self::Statement => 731,
        }
    }

    /// How many days before the end of its cryptoperiod the next key is to be planned.
    pub const fn notice_days(self) -> u16 {
        match self {
            Self::DeviceCa
            | Self::SigningCa
            | Self::Authorization
            | Self::Audit
            | Self::Statement => 60,
            Self::Ocsp => 30,
        }
    }
}

impl FromStr for Purpose {
    type Err = Rule;

    fn from_str(word: &str) -> Result<Self, Rule> {
        let found = Self::ALL.into_iter().find(|one| one.name() == word);
        found.ok_or(Rule::OneOf(Self::WORDS))
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
    fn whoever_certifies_a_key_is_a_ca_and_comes_before_it() {
        for purpose in Purpose::ALL {
            let by = purpose.certified_by();
            assert!(
                by.is_none_or(|by| by.is_ca() && by < purpose),
                "{purpose:?}"
            );
            assert_eq!(purpose.is_ca(), purpose.name().ends_with("-ca"));
            assert!((1..=1_096).contains(&purpose.cryptoperiod_days()));
            assert!(purpose.notice_days() * 3 <= purpose.cryptoperiod_days());
        }
    }

    #[test]
    fn purposes_and_states_have_one_word_each() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.name().parse(), Ok(purpose));
        }
        assert!("Device-ca".parse::<Purpose>().is_err());
        assert!(Purpose::ALL.is_sorted());
        let mut words = Purpose::WORDS
            .split([',', ' '])
            .filter(|word| !["", "or"].contains(word));
        assert!(words.by_ref().eq(Purpose::ALL.map(Purpose::name)));
        let mut words = KeyState::ALL.map(KeyState::name);
        words.sort_unstable();
        assert!(words.windows(2).all(|two| two.first() != two.last()));
    }
}
