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

use crate::clock::Timestamp;

pub use semops_objects::key::{BadKeyId, KeyId, KeyState, Purpose};

/// The longest time in which a key signs, from its certificate's notBefore on: the three years that NIST SP 800-57 part 1
/// rev. 5 s5.3.6 gives a private signature key. A CA's own certificate may outlast it, for its CRLs.
const LONGEST_CRYPTOPERIOD: i64 = 1_096 * 86_400;

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
    /// The end of its cryptoperiod.
    pub signs_until: Timestamp,
    /// The end of what it issued: its certificate's notAfter.
    pub not_after: Timestamp,
}

/// Who may certify the keys of an institution.
#[derive(Clone, Copy, Debug)]
pub struct Certifiers<'a> {
    /// For device CAs.
    pub device_root: &'a Certificate,
    /// For signing CAs.
    pub signing_root: &'a Certificate,
    /// For authorization keys: the institution's signing CAs.
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
    #[error("the institution has no signing CA")]
    NoIssuer,
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
        let longest = from.saturating_add(LONGEST_CRYPTOPERIOD);
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
        let (kind, above) = match purpose {
            Purpose::DeviceCa | Purpose::SigningCa => (Kind::InstitutionCa, None),
            Purpose::Authorization => (Kind::Authorization, Some(issuer.clone())),
        };
        profile::check(&certificate, kind, issuer, by.oids)?;
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

impl<'a> Certifiers<'a> {
    /// The one of those who may that has issued this certificate.
    fn issuer_of(
        &self,
        purpose: Purpose,
        certificate: &Certificate,
    ) -> Result<&'a Certificate, NotCertified> {
        let (by, candidates) = match purpose {
            Purpose::DeviceCa => ("the root of the device hierarchy", &[self.device_root][..]),
            Purpose::SigningCa => (
                "the root of the signing hierarchy",
                &[self.signing_root][..],
            ),
            Purpose::Authorization => ("a signing CA of the institution", self.signing_cas),
        };
        let mut last = NotCertified::NoIssuer;
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use semops_pki::issuer::Subject;

    use super::*;
    use crate::{
        domain::device::DeviceId,
        specimen::{Certified, oids},
    };

    const CA: Subject<'_> = Subject::InstitutionCa {
        common_name: "signing-ca",
    };
    const LEAF: Subject<'_> = Subject::Authorization {
        common_name: "authorization",
    };

    /// What the words of the refusal begin with; empty if there is none.
    fn refusal(
        key: &Certified,
        purpose: Purpose,
        roots: [&Certified; 2],
        cas: &[&Certificate],
    ) -> String {
        let by = Certifiers {
            device_root: &roots[0].certificate,
            signing_root: &roots[1].certificate,
            signing_cas: cas,
            oids: &oids(),
        };
        let id = KeyId::of(key.key.public_key());
        let alfa = "alfa".parse().unwrap();
        let certificate = key.certificate.clone();
        match KeyRecord::certified(&alfa, purpose, id, certificate, by) {
            Ok(record) => {
                assert_eq!((record.id, record.purpose), (id, purpose));
                let above = usize::from(purpose == Purpose::Authorization);
                assert_eq!(record.chain.len(), 1 + above);
                String::new()
            }
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn a_key_is_certified_by_whoever_may_and_by_nobody_else() {
        let [device_root, signing_root] = [Certified::root(), Certified::root()];
        let roots = [&device_root, &signing_root];
        let ca = signing_root.issue("alfa", CA, 300);
        let betas = signing_root.issue("beta", CA, 300);
        let leaf = ca.issue("alfa", LEAF, 200);
        let cas = [&betas.certificate, &ca.certificate];
        assert_eq!(refusal(&leaf, Purpose::Authorization, roots, &cas), "");
        assert_eq!(refusal(&ca, Purpose::SigningCa, roots, &[]), "");
        for (key, purpose, cas, words) in [
            (
                &ca,
                Purpose::DeviceCa,
                &cas[..],
                "it is not issued by the root of the device",
            ),
            (
                &leaf,
                Purpose::Authorization,
                &[],
                "the institution has no signing CA",
            ),
            (
                &leaf,
                Purpose::Authorization,
                &cas[..1],
                "it is not issued by a signing CA",
            ),
            (
                &leaf,
                Purpose::SigningCa,
                &cas[..],
                "it is not issued by the root of the signing",
            ),
            (&betas, Purpose::SigningCa, &cas[..], "its O is not alfa"),
        ] {
            let found = refusal(key, purpose, roots, cas);
            assert!(found.starts_with(words), "{found}");
        }
        let id = DeviceId::from_random([1; 16]).to_string();
        let device = ca.issue("alfa", Subject::Device { device_id: &id }, 200);
        assert_ne!(refusal(&device, Purpose::Authorization, roots, &cas), "");
    }

    #[test]
    fn a_certificate_is_of_one_key() {
        let (root, alfa) = (Certified::root(), "alfa".parse().unwrap());
        let ca = root.issue("alfa", CA, 300);
        let by = Certifiers {
            device_root: &root.certificate,
            signing_root: &root.certificate,
            signing_cas: &[],
            oids: &oids(),
        };
        let other = KeyId::new([1; 32]);
        let purpose = Purpose::SigningCa;
        let certified = KeyRecord::certified(&alfa, purpose, other, ca.certificate.clone(), by);
        assert!(matches!(certified, Err(NotCertified::OtherKey(_))));
    }

    #[test]
    fn a_ca_that_is_valid_for_long_signs_for_three_years() {
        let alfa = "alfa".parse().unwrap();
        let of = |days| {
            let ca = Certified::root_for(days);
            KeyRecord::new(&alfa, Purpose::DeviceCa, ca.certificate, None)
        };
        let (short, long) = (of(1_000), of(1_826));
        assert_eq!(short.signs_until, short.not_after);
        let three_years = long.not_before.plus_seconds(LONGEST_CRYPTOPERIOD);
        assert_eq!(long.signs_until, three_years);
        assert!(long.valid_at(three_years) && !long.valid_at(long.not_after));
    }
}
