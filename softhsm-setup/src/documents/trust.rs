//! Owns the text of trust documents: an institution's first one, and the next of one that shall trust another too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use serde::{Deserialize, Serialize};

use super::render;

/// What an institution shows to those who trust it.
pub(crate) struct Credentials<'a> {
    pub(crate) institution: &'a str,
    pub(crate) signing_ca: &'a Certificate,
    pub(crate) signing_ca_crl: &'a CertificateRevocationList,
    pub(crate) authorization: &'a Certificate,
}

/// The roots that every institution of the scheme trusts.
pub(crate) struct TrustRoots<'a> {
    pub(crate) device: &'a Certificate,
    pub(crate) signing: &'a Certificate,
    pub(crate) signing_crl: &'a CertificateRevocationList,
}

/// A trust document. Whether it is a good one is checked by who loads it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trust {
    institution: String,
    version: u64,
    device_root: String,
    signing_root: String,
    signing_root_crl: String,
    #[serde(default)]
    trusted: Vec<Trusted>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trusted {
    institution: String,
    signing_ca: String,
    authorization_certificates: Vec<String>,
    signing_ca_crls: Vec<String>,
}

impl Trusted {
    fn new(credentials: &Credentials<'_>) -> Self {
        Self {
            institution: credentials.institution.to_owned(),
            signing_ca: credentials.signing_ca.to_pem(),
            authorization_certificates: vec![credentials.authorization.to_pem()],
            signing_ca_crls: vec![BASE64.encode(credentials.signing_ca_crl.der())],
        }
    }
}

impl Trust {
    /// The first of an institution.
    pub(crate) fn new(
        institution: &str,
        version: u64,
        roots: &TrustRoots<'_>,
        trusted: &[Credentials<'_>],
    ) -> Self {
        Self {
            institution: institution.to_owned(),
            version,
            device_root: roots.device.to_pem(),
            signing_root: roots.signing.to_pem(),
            signing_root_crl: BASE64.encode(roots.signing_crl.der()),
            trusted: trusted.iter().map(Trusted::new).collect(),
        }
    }

    /// Reads one back.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    pub(crate) fn institution(&self) -> &str {
        &self.institution
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn trusts(&self, institution: &str) -> bool {
        self.trusted
            .iter()
            .any(|trusted| trusted.institution == institution)
    }

    /// The CRLs that it holds of a signing CA.
    pub(crate) fn crls_of(
        &self,
        signing_ca: &Certificate,
    ) -> impl Iterator<Item = CertificateRevocationList> {
        let crls = self
            .trusted
            .iter()
            .flat_map(|trusted| &trusted.signing_ca_crls);
        crls.filter_map(|base64| BASE64.decode(base64).ok())
            .filter_map(|der| CertificateRevocationList::from_der(&der).ok())
            .filter(|crl| crl.verify_issued_by(signing_ca).is_ok())
    }

    /// The next version, in which one more is trusted.
    pub(crate) fn with(mut self, newcomer: &Credentials<'_>) -> Self {
        self.version = self.version.saturating_add(1);
        self.trusted.push(Trusted::new(newcomer));
        self
    }

    /// Its text.
    pub(crate) fn render(&self) -> String {
        render(self)
    }
}
