//! Owns what the service knows of a key in a token: purpose, public half, certificate, cryptoperiod. The private half never
//! leaves the token and has no type here.

use std::sync::Arc;

use semops_objects::institution::InstitutionId;
use semops_pki::{
    algorithm::PublicKey,
    certificate::Certificate,
    error::{CertificateError, ProfileError},
    profile::{self, Kind, Oids},
};

use crate::{clock::Timestamp, domain::scheme_roots::SchemeRoots};

pub use semops_objects::key::{BadKeyId, KeyId, KeyState, Purpose};

/// The longest time in which a key of this purpose signs, seconds from its certificate's notBefore on. Its certificate may
/// outlast it: a CA's for its CRLs, another's for those who verify later.
fn longest_cryptoperiod(purpose: Purpose) -> i64 {
    i64::from(purpose.cryptoperiod_days()).saturating_mul(86_400)
}

/// The most tokens of an institution.
pub const TOKENS: usize = 4;

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
    /// Its certificate; unless it is a CA's, the issuing CA's follows.
    pub chain: Vec<Certificate>,
    /// The CRL that was made with it, DER, if it is a CA of the ceremony.
    pub first_crl: Option<Vec<u8>>,
    /// The start of its cryptoperiod: its certificate's notBefore.
    pub not_before: Timestamp,
    /// The end of its cryptoperiod.
    pub signs_until: Timestamp,
    /// The end of what it issued: its certificate's notAfter.
    pub not_after: Timestamp,
}

/// Who may certify the keys of an institution.
#[derive(Clone, Copy, Debug)]
pub struct Certifiers<'a> {
    /// For CAs: the roots of their hierarchy.
    pub roots: &'a SchemeRoots,
    /// For OCSP responders: the institution's device CAs.
    pub device_cas: &'a [&'a Certificate],
    /// For keys of authorizations, audit and statements: the institution's signing CAs.
    pub signing_cas: &'a [&'a Certificate],
    /// The object identifiers of the scheme.
    pub oids: &'a Oids,
}

/// Why a certificate does not make a key one that may be used.
#[derive(Debug, thiserror::Error)]
pub enum NotCertified {
    /// It certifies another key.
    #[error("it certifies the key {0}")]
    OtherKey(KeyId),
    /// It certifies another institution's key.
    #[error("its O is not {0}")]
    OtherInstitution(InstitutionId),
    /// Nobody who may issue it has.
    #[error("it is not issued by {by}: {why}")]
    NotIssued {
        /// Who may.
        by: &'static str,
        /// What is wrong with it.
        why: CertificateError,
    },
    /// There is nobody who could have issued it.
    #[error("the institution has no {0}")]
    NoIssuer(&'static str),
    /// It does not say what it must.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl KeyRecord {
    /// The key in `certificate`; `issuer` follows in its chain, unless that is a root.
    pub fn new(
        institution: &InstitutionId,
        purpose: Purpose,
        certificate: Certificate,
        issuer: Option<Certificate>,
    ) -> Self {
        let public = certificate.public_key().clone();
        let (from, until) = (certificate.not_before(), certificate.not_after());
        let longest = from.saturating_add(longest_cryptoperiod(purpose));
        Self {
            id: KeyId::of(&public),
            institution: institution.clone(),
            purpose,
            public,
            chain: [Some(certificate), issuer].into_iter().flatten().collect(),
            first_crl: None,
            not_before: Timestamp::from_seconds(from),
            signs_until: Timestamp::from_seconds(until.min(longest)),
            not_after: Timestamp::from_seconds(until),
        }
    }

    /// The key `id`, if this certificate makes it the institution's for this purpose.
    ///
    /// # Errors
    /// [`NotCertified`] with the first rule that is broken.
    pub fn certified(
        institution: &InstitutionId,
        purpose: Purpose,
        id: KeyId,
        certificate: Certificate,
        by: Certifiers<'_>,
    ) -> Result<Self, NotCertified> {
        let found = KeyId::of(certificate.public_key());
        if found != id {
            return Err(NotCertified::OtherKey(found));
        }
        if certificate.subject_organization() != Some(institution.as_str()) {
            return Err(NotCertified::OtherInstitution(institution.clone()));
        }
        let issuer = by.issuer_of(purpose, &certificate)?;
        profile::check(&certificate, kind_of(purpose), issuer, by.oids)?;
        let above = (!purpose.is_ca()).then(|| issuer.clone());
        Ok(Self::new(institution, purpose, certificate, above))
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

    /// Whether its certificate is valid at `now`.
    pub fn valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }
}

/// What its certificate is.
const fn kind_of(purpose: Purpose) -> Kind {
    match purpose {
        Purpose::DeviceCa | Purpose::SigningCa => Kind::InstitutionCa,
        Purpose::Authorization => Kind::Authorization,
        Purpose::Ocsp => Kind::OcspResponder,
        Purpose::Audit => Kind::Audit,
        Purpose::Statement => Kind::Statement,
    }
}

impl<'a> Certifiers<'a> {
    /// The one of those who may that has issued this certificate.
    fn issuer_of(
        &self,
        purpose: Purpose,
        certificate: &Certificate,
    ) -> Result<&'a Certificate, NotCertified> {
        let roots = self.roots;
        let (by, candidates): (_, Vec<&'a Certificate>) = match purpose {
            Purpose::DeviceCa => (
                "a root of the device hierarchy",
                roots.device().iter().collect(),
            ),
            Purpose::SigningCa => (
                "a root of the signing hierarchy",
                roots.signing().iter().collect(),
            ),
            Purpose::Ocsp => ("a device CA of the institution", self.device_cas.to_vec()),
            Purpose::Authorization | Purpose::Audit | Purpose::Statement => {
                ("a signing CA of the institution", self.signing_cas.to_vec())
            }
        };
        let mut last = NotCertified::NoIssuer(match purpose {
            Purpose::Ocsp => "device CA",
            Purpose::DeviceCa
            | Purpose::SigningCa
            | Purpose::Authorization
            | Purpose::Audit
            | Purpose::Statement => "signing CA",
        });
        for issuer in candidates {
            match certificate.verify_issued_by(issuer) {
                Ok(()) => return Ok(issuer),
                Err(why) => last = NotCertified::NotIssued { by, why },
            }
        }
        Err(last)
    }
}

/// A key that may sign at the moment for which it was chosen. Its state in the store is read again, under lock, in `begin`.
#[derive(Clone, Debug)]
pub struct SigningKey(Arc<KeyRecord>);

impl SigningKey {
    /// For the ring that chose it.
    pub(super) fn new(record: &Arc<KeyRecord>) -> Self {
        Self(Arc::clone(record))
    }

    /// Its record.
    pub fn record(&self) -> &KeyRecord {
        &self.0
    }
}

#[cfg(test)]
mod tests;
