//! Owns what the service knows of a key in a token: purpose, public half, certificate, state. The private half never
//! leaves the token and has no type here.

use std::sync::Arc;

use semops_objects::institution::InstitutionId;
use semops_pki::{algorithm::PublicKey, certificate::Certificate};

use crate::clock::Timestamp;

pub use semops_objects::key::{BadKeyId, KeyId, KeyState, Purpose};

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
            id: KeyId::of(&public),
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

    /// Its state at `now`; `approved` is that which its custodians gave it, nothing if they never did. The ends of the
    /// cryptoperiod count before what they decided of its use, for nobody can move them.
    pub fn state(&self, approved: Option<KeyState>, now: Timestamp) -> KeyState {
        use KeyState as S;
        match approved {
            Some(S::Active | S::Suspended) if now < self.not_before => S::PreActivation,
            Some(S::Active | S::Suspended) if self.not_after <= now => S::Deactivated,
            Some(state) => state,
            None => S::PreActivation,
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
            assert_eq!(record.state(Some(KeyState::Active), now), state);
            assert_eq!(record.for_signing(now).is_ok(), state == KeyState::Active);
            let suspended = match state {
                KeyState::Active => KeyState::Suspended,
                other => other,
            };
            assert_eq!(record.state(Some(KeyState::Suspended), now), suspended);
            for ended in [
                KeyState::Deactivated,
                KeyState::Compromised,
                KeyState::Destroyed,
            ] {
                assert_eq!(record.state(Some(ended), now), ended);
            }
            assert_eq!(record.state(None, now), KeyState::PreActivation);
        }
    }
}
