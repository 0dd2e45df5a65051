//! Owns what the service knows of a key in a token: purpose, public half, certificate, state. The private half never
//! leaves the token and has no type here.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::{institution::InstitutionId, jwk::thumbprint};
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
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::DeviceCa, Self::SigningCa, Self::Authorization];

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
    /// Its cryptoperiod has not begun.
    PreActivation,
    /// It may.
    Active,
    /// It may not, for now.
    Suspended,
    /// Its cryptoperiod has ended: it may sign no more.
    Deactivated,
}

/// One key of one institution.
#[derive(Clone, Debug)]
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
    /// The CRL that was made with it, DER, if it is a CA of the ceremony.
    pub first_crl: Option<Vec<u8>>,
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
    /// The key in `certificate`; `issuer` follows in its chain, unless that is a root.
    pub fn new(
        institution: &InstitutionId,
        purpose: Purpose,
        certificate: Certificate,
        issuer: Option<Certificate>,
    ) -> Self {
        let public = certificate.public_key().clone();
        Self {
            id: KeyId::new(thumbprint(&public)),
            institution: institution.clone(),
            purpose,
            public,
            not_before: Timestamp::from_seconds(certificate.not_before()),
            not_after: Timestamp::from_seconds(certificate.not_after()),
            chain: [Some(certificate), issuer].into_iter().flatten().collect(),
            first_crl: None,
        }
    }

    /// The name under which a CA publishes its certificate and its CRLs. One of the ceremony needs no id in it, and keeps
    /// the name that stands in what it has issued; a later one has.
    pub fn published_as(&self) -> String {
        let (institution, purpose) = (&self.institution, self.purpose.name());
        match self.first_crl {
            Some(_) => format!("{institution}-{purpose}"),
            None => format!("{institution}-{purpose}.{}", self.id),
        }
    }

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

    /// Its state at `now`; `suspended` is what the store says of it. The ends of the cryptoperiod count before it, for no
    /// custodian can move them.
    pub fn state(&self, suspended: bool, now: Timestamp) -> KeyState {
        if now < self.not_before {
            KeyState::PreActivation
        } else if self.not_after <= now {
            KeyState::Deactivated
        } else if suspended {
            KeyState::Suspended
        } else {
            KeyState::Active
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::specimen::{Certified, NOW};

    #[test]
    fn a_key_may_sign_exactly_while_it_is_active() {
        let institution = "alfa".parse().unwrap();
        let record = Certified::root().record(&institution, Purpose::SigningCa);
        let (from, until) = (record.not_before, record.not_after);
        let micro = |at: Timestamp, by| Timestamp::from_micros(at.micros() + by);
        for (now, state) in [
            (micro(from, -1), KeyState::PreActivation),
            (from, KeyState::Active),
            (NOW, KeyState::Active),
            (micro(until, -1), KeyState::Active),
            (until, KeyState::Deactivated),
        ] {
            assert_eq!(record.state(false, now), state);
            assert_eq!(record.for_signing(now).is_ok(), state == KeyState::Active);
            let suspended = match state {
                KeyState::Active => KeyState::Suspended,
                other => other,
            };
            assert_eq!(record.state(true, now), suspended);
        }
    }

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
}
