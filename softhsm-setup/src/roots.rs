//! Owns the three roots: their keys in memory and in `offline`, their certificates and CRLs, and the addresses at which
//! the service will publish them.

use semops_pki::algorithm::PublicKey;
use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use semops_pki::issuer::{Addresses, Subject};
use semops_pki::local_key::LocalKey;

use crate::authority::{Authority, Lifetime, self_signed};
use crate::ceremony::Ceremony;
use crate::directory::{Access, Hierarchy};
use crate::error::SetupError;

/// The roots of a scheme.
pub(crate) struct Roots {
    pub(crate) device: Root,
    pub(crate) signing: Root,
    pub(crate) tls: Root,
}

/// One root, which has issued its own certificate and a CRL.
pub(crate) struct Root {
    hierarchy: Hierarchy,
    key: LocalKey,
    certificate: Certificate,
    crl: CertificateRevocationList,
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
        Ok(Self {
            device: Root::make(ceremony, Hierarchy::Device)?,
            signing: Root::make(ceremony, Hierarchy::Signing)?,
            tls: Root::make(ceremony, Hierarchy::Tls)?,
        })
    }
}

impl Root {
    fn make(ceremony: &mut Ceremony<'_>, hierarchy: Hierarchy) -> Result<Self, SetupError> {
        let mut key = LocalKey::generate()?;
        let terms = ceremony.terms();
        let common_name = format!("{} root", hierarchy.as_str());
        let operator = ceremony.scheme.operator().as_str();
        let certificate = self_signed(terms, operator, &common_name, &mut key)?;
        let mut authority = Authority::new(certificate.clone(), &mut key)?;
        let crl = authority.first_crl(terms.now, Lifetime::RootCrl)?;
        let directory = ceremony.directory;
        let path = directory.root_key(hierarchy);
        directory.write(&path, Access::Owner, key.to_pkcs8_pem()?.as_bytes())?;
        let path = directory.root(hierarchy);
        directory.write(&path, Access::All, certificate.to_pem().as_bytes())?;
        directory.write(&directory.root_crl(hierarchy), Access::All, crl.der())?;
        ceremony.say(&format!(
            "{} root: self-signed for ten years, CRL for one; its key is {}",
            hierarchy.as_str(),
            directory.root_key(hierarchy).display(),
        ));
        Ok(Self {
            hierarchy,
            key,
            certificate,
            crl,
        })
    }

    pub(crate) fn hierarchy(&self) -> Hierarchy {
        self.hierarchy
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(crate) fn crl(&self) -> &CertificateRevocationList {
        &self.crl
    }

    /// Certifies an institution's CA, whose key was proven by whoever generated it here.
    pub(crate) fn certify_ca(
        &mut self,
        ceremony: &Ceremony<'_>,
        organization: &str,
        public_key: &PublicKey,
    ) -> Result<Certificate, SetupError> {
        let name = self.hierarchy.as_str();
        let common_name = &*format!("{name} CA");
        let published = Published::at(ceremony.scheme.public_base_url(), &format!("{name}-root"));
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
