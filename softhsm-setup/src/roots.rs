//! Owns the three roots: their keys in memory and in `offline`, their certificates and CRLs, and the addresses at which
//! the service will publish them.

use semops_pki::algorithm::PublicKey;
use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use semops_pki::issuer::{Addresses, RevokedEntry, Subject};
use semops_pki::local_key::LocalKey;

use crate::authority::{Authority, Lifetime, self_signed};
use crate::ceremony::Ceremony;
use crate::directory::Hierarchy;
use crate::documents::trust::TrustRoots;
use crate::error::SetupError;
use crate::made::Access;

/// The roots of a scheme.
pub(crate) struct Roots {
    pub(crate) device: Root,
    pub(crate) signing: Root,
    pub(crate) tls: Root,
    /// The CRL of the signing root, which trust documents carry.
    pub(crate) signing_crl: CertificateRevocationList,
}

/// One root: its own certificate, and its key.
pub(crate) struct Root {
    hierarchy: Hierarchy,
    key: LocalKey,
    certificate: Certificate,
}

/// Where a CA's CRL and certificate are published.
pub(crate) struct Published {
    crl: String,
    ca_certificate: String,
}

impl Published {
    /// `<public_base_url>/crl/<name>.crl` and `<public_base_url>/ca/<name>.cer`.
    pub(crate) fn at(public_base_url: &str, name: &str) -> Self {
        Self {
            crl: format!("{public_base_url}/crl/{name}.crl"),
            ca_certificate: format!("{public_base_url}/ca/{name}.cer"),
        }
    }

    pub(crate) fn addresses(&self) -> Addresses<'_> {
        Addresses {
            crl: &self.crl,
            ca_certificate: &self.ca_certificate,
        }
    }
}

impl Roots {
    pub(crate) fn make(ceremony: &mut Ceremony<'_>) -> Result<Self, SetupError> {
        let (device, _) = Root::make(ceremony, Hierarchy::Device)?;
        let (signing, signing_crl) = Root::make(ceremony, Hierarchy::Signing)?;
        let (tls, _) = Root::make(ceremony, Hierarchy::Tls)?;
        Ok(Self {
            device,
            signing,
            tls,
            signing_crl,
        })
    }

    /// What trust documents say of them.
    pub(crate) fn trusted(&self) -> TrustRoots<'_> {
        TrustRoots {
            device: &self.device.certificate,
            signing: &self.signing.certificate,
            signing_crl: &self.signing_crl,
        }
    }
}

impl Root {
    fn make(
        ceremony: &mut Ceremony<'_>,
        hierarchy: Hierarchy,
    ) -> Result<(Self, CertificateRevocationList), SetupError> {
        let mut key = LocalKey::generate()?;
        let terms = ceremony.terms();
        let common_name = format!("{} root", hierarchy.as_str());
        let operator = ceremony.ground.operator.as_str();
        let certificate = self_signed(terms, operator, &common_name, &mut key)?;
        let mut authority = Authority::new(certificate.clone(), &mut key)?;
        let crl = authority.first_crl(terms.now, Lifetime::RootCrl)?;
        let directory = ceremony.directory;
        let path = directory.root_key(hierarchy);
        ceremony.write(&path, Access::Owner, key.to_pkcs8_pem()?.as_bytes())?;
        let path = directory.root(hierarchy);
        ceremony.write(&path, Access::All, certificate.to_pem().as_bytes())?;
        ceremony.write(&directory.root_crl(hierarchy), Access::All, crl.der())?;
        ceremony.say(&format!(
            "{} root: self-signed for ten years, CRL for one; its key is {}",
            hierarchy.as_str(),
            directory.root_key(hierarchy).display(),
        ))?;
        let root = Self {
            hierarchy,
            key,
            certificate,
        };
        Ok((root, crl))
    }

    /// A root whose key was brought back; `certificate` is its own.
    pub(crate) fn standing(hierarchy: Hierarchy, key: LocalKey, certificate: Certificate) -> Self {
        Self {
            hierarchy,
            key,
            certificate,
        }
    }

    pub(crate) fn hierarchy(&self) -> Hierarchy {
        self.hierarchy
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Issues a CRL after the ceremony's.
    pub(crate) fn crl(
        &mut self,
        number: u64,
        this_update: i64,
        next_update: i64,
        entries: &[RevokedEntry],
    ) -> Result<CertificateRevocationList, SetupError> {
        Authority::new(self.certificate.clone(), &mut self.key)?.crl(
            number,
            this_update,
            next_update,
            entries,
        )
    }

    /// The name of an institution's first CA below it.
    pub(crate) fn first_ca(&self) -> String {
        format!("{} CA", self.hierarchy.as_str())
    }

    /// Certifies an institution's CA, whose key was generated here, or proven by a request.
    pub(crate) fn certify_ca(
        &mut self,
        ceremony: &Ceremony<'_>,
        organization: &str,
        common_name: &str,
        public_key: &PublicKey,
    ) -> Result<Certificate, SetupError> {
        let name = self.hierarchy.as_str();
        let published = Published::at(&ceremony.ground.public_base_url, &format!("{name}-root"));
        // Nobody looks for CRLs in the TLS hierarchy: the register of callers says who is one.
        let (subject, addresses) = match self.hierarchy {
            Hierarchy::Device | Hierarchy::Signing => {
                let subject = Subject::InstitutionCa { common_name };
                (subject, Some(published.addresses()))
            }
            Hierarchy::Tls => (Subject::TlsCa { common_name }, None),
        };
        Authority::new(self.certificate.clone(), &mut self.key)?.certify(
            ceremony.terms(),
            organization,
            public_key,
            subject,
            addresses,
        )
    }
}
