//! The trust document: whose authorizations an institution believes. One versioned TOML text per institution,
//! completely checked when it is read, so that verifying an authorization looks at times, CRLs and one signature alone.
//!
//! ```toml
//! institution = "beta"                  # whose trust this is
//! version = 1                           # the previous one + 1
//! device_root = "PEM"
//! signing_root = "PEM"
//! signing_root_crl = "base64 of DER"
//!
//! [[trusted]]
//! institution = "alfa"
//! signing_ca = "PEM"                    # one or more certificates
//! authorization_certificates = ["PEM"]
//! signing_ca_crls = ["base64 of DER"]   # one for each signing CA
//! ```

mod document;
mod error;
mod verdict;

use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use semops_pki::profile::Oids;

use crate::institution::InstitutionId;
use crate::jwk::{Jwk, JwkSet};

pub use self::error::{TrustError, TrustRule};
pub use self::verdict::{Refusal, Verdict, verify_authorization};

/// The longest trust document, in octets.
pub const MAX_LENGTH: usize = 8 << 20;

/// A trust document that has been checked: every certificate chains to its signing root, each CRL is signed by its
/// CA, and O and extended key usage are as they must be. Times and revocation are looked at when it is used.
#[derive(Debug, Clone)]
pub struct TrustDocument {
    institution: InstitutionId,
    version: u64,
    sha256: [u8; 32],
    device_root: Certificate,
    signing_root: Certificate,
    signing_root_crl: CertificateRevocationList,
    trusted: Vec<TrustedInstitution>,
}

impl TrustDocument {
    /// Reads the exact bytes of a document. `oids` says which extended key usage authorization certificates have.
    ///
    /// # Errors
    /// [`TrustError`] names the field and the rule that it broke.
    pub fn parse(toml: &[u8], oids: &Oids) -> Result<Self, TrustError> {
        document::parse(toml, oids)
    }

    /// Whose trust this is.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// Its version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// SHA-256 of the exact bytes that were read.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The root of the devices.
    pub fn device_root(&self) -> &Certificate {
        &self.device_root
    }

    /// The root of the signing CAs.
    pub fn signing_root(&self) -> &Certificate {
        &self.signing_root
    }

    /// The CRL of the signing root.
    pub fn signing_root_crl(&self) -> &CertificateRevocationList {
        &self.signing_root_crl
    }

    /// The same, judging by another CRL of its signing root; nothing if this is not its root's, or no newer than its own. Its
    /// version and digest stay those of the text.
    pub fn with_root_crl(&self, crl: &CertificateRevocationList) -> Option<Self> {
        let newer = crl.number() > self.signing_root_crl.number();
        let follows = newer && crl.verify_issued_by(&self.signing_root).is_ok();
        follows.then(|| Self {
            signing_root_crl: crl.clone(),
            ..self.clone()
        })
    }

    /// The institutions whose authorizations count.
    pub fn trusted(&self) -> &[TrustedInstitution] {
        &self.trusted
    }

    /// The authorization keys of all trusted institutions, each with its certificate and its CA's.
    pub fn jwk_set(&self) -> JwkSet {
        self.leaves()
            .map(|(_, ca, leaf)| Jwk::new(leaf.public_key(), leaf.der(), &[ca.certificate.der()]))
            .collect()
    }

    fn leaves(&self) -> impl Iterator<Item = (&TrustedInstitution, &SigningCa, &Certificate)> {
        self.trusted.iter().flat_map(|institution| {
            let with_ca = move |ca| move |leaf| (institution, ca, leaf);
            institution
                .signing_cas
                .iter()
                .flat_map(move |ca| ca.authorization_certificates.iter().map(with_ca(ca)))
        })
    }
}

/// An institution whose authorizations count.
#[derive(Debug, Clone)]
pub struct TrustedInstitution {
    institution: InstitutionId,
    signing_cas: Vec<SigningCa>,
}

impl TrustedInstitution {
    /// Its id: the O of all its certificates.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// Its signing CAs, at least one.
    pub fn signing_cas(&self) -> &[SigningCa] {
        &self.signing_cas
    }
}

/// A signing CA with its CRL and the authorization certificates that it issued.
#[derive(Debug, Clone)]
pub struct SigningCa {
    certificate: Certificate,
    crl: CertificateRevocationList,
    authorization_certificates: Vec<Certificate>,
}

impl SigningCa {
    /// Its certificate, issued by the signing root.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its CRL.
    pub fn crl(&self) -> &CertificateRevocationList {
        &self.crl
    }

    /// The trusted authorization certificates among those that it issued.
    pub fn authorization_certificates(&self) -> &[Certificate] {
        &self.authorization_certificates
    }
}
