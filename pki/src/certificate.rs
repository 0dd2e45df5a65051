//! Owns certificates that exist: a wrapper around their stored octets with what they say, and their PEM.
//! Whether one may be relied on is the matter of [`chain`](crate::chain).

use std::fmt;

use der::asn1::ObjectIdentifier;
use der::pem::LineEnding;
use x509_cert::ext::pkix::KeyUsages;

use crate::algorithm::{PublicKey, sha256};
use crate::error::CertificateError;
use crate::extensions::uri;
use crate::name;
use crate::signed::Signed;
use crate::tbs::{self, TbsCertificate};

/// The longest certificate, in octets of DER.
pub const MAX_CERTIFICATE: usize = 16_384;
/// The most certificates in one PEM text.
const MAX_CERTIFICATES: usize = 16;
/// The longest PEM text of certificates, in octets.
const MAX_PEM: usize = 2 * MAX_CERTIFICATE;

const PEM_LABEL: &str = "CERTIFICATE";
const PEM_END: &str = "-----END CERTIFICATE-----";

/// A time of a certificate as RFC 3339 writes it; the number itself where its four digits of the year do not reach.
pub fn rfc3339(unix: i64) -> String {
    tbs::time(unix).map_or_else(|| unix.to_string(), |time| time.to_date_time().to_string())
}

/// A P-256 certificate, read strictly. Reading checks its form, not its signature.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    pub(crate) tbs: TbsCertificate,
    uris: Vec<String>,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// [`CertificateError`]: its form is wrong; nothing is said about trust.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLong { octets: der.len() });
        }
        let signed = Signed::from_der(der)?;
        signed.check_algorithm()?;
        let tbs = TbsCertificate::from_der(signed.tbs)?;
        let uris = tbs.extensions.subject_alt_names.iter().filter_map(uri);
        Ok(Self {
            der: der.to_vec(),
            uris: uris.collect(),
            tbs,
        })
    }

    /// Reads the PEM of exactly one certificate (RFC 7468 s5).
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        let mut chain = Self::chain_from_pem(pem)?;
        match (chain.pop(), chain.is_empty()) {
            (Some(certificate), true) => Ok(certificate),
            _ => Err(CertificateError::Pem),
        }
    }

    /// Reads the PEM of one or more certificates in their order, as a chain file holds them.
    ///
    /// # Errors
    /// [`CertificateError`]; blocks of any other label are refused.
    pub fn chain_from_pem(pem: &str) -> Result<Vec<Self>, CertificateError> {
        if pem.len() > MAX_PEM {
            return Err(CertificateError::TooLong { octets: pem.len() });
        }
        let mut chain = Vec::new();
        let mut rest = pem;
        while let Some((block, after)) = rest.split_once(PEM_END) {
            let block = format!("{}{PEM_END}\n", block.trim_start());
            let (label, der) =
                der::pem::decode_vec(block.as_bytes()).map_err(|_| CertificateError::Pem)?;
            // RFC 7468 s3: a boundary has its line to itself. Words may precede a block, what is left of another may not.
            let line_ends = after.is_empty() || after.starts_with(char::is_whitespace);
            let one_block = block.matches("-----").count() == 4;
            if label != PEM_LABEL || !line_ends || !one_block || chain.len() == MAX_CERTIFICATES {
                return Err(CertificateError::Pem);
            }
            chain.push(Self::from_der(&der)?);
            rest = after;
        }
        if chain.is_empty() || rest.contains("-----") {
            return Err(CertificateError::Pem);
        }
        Ok(chain)
    }

    /// The certificate's octets, as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate in PEM, with a final line end.
    #[expect(
        clippy::expect_used,
        reason = "PEM fails on lengths that overflow a usize only"
    )]
    pub fn to_pem(&self) -> String {
        der::pem::encode_string(PEM_LABEL, LineEnding::LF, &self.der)
            .expect("a certificate of bounded length always encodes")
    }

    /// SHA-256 of the DER: the `x5t#S256` of JOSE (RFC 7515 s4.1.8).
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.der)
    }

    /// The subject's key.
    pub fn public_key(&self) -> &PublicKey {
        &self.tbs.key
    }

    /// The serial number, big-endian, without leading zeros; never empty.
    pub fn serial(&self) -> &[u8] {
        &self.tbs.serial
    }

    /// notBefore, in unix seconds.
    pub fn not_before(&self) -> i64 {
        self.tbs.not_before
    }

    /// notAfter, in unix seconds.
    pub fn not_after(&self) -> i64 {
        self.tbs.not_after
    }

    /// Whether `unix` lies within the validity, both ends included (RFC 5280 s4.1.2.5).
    pub fn valid_at(&self, unix: i64) -> bool {
        (self.tbs.not_before..=self.tbs.not_after).contains(&unix)
    }

    /// The DER of the issuer's name.
    pub fn issuer_der(&self) -> &[u8] {
        &self.tbs.issuer_der
    }

    /// The DER of the subject's name.
    pub fn subject_der(&self) -> &[u8] {
        &self.tbs.subject_der
    }

    /// O of the subject, if the subject is O then CN in the scheme's form; `None` for any other subject.
    pub fn subject_organization(&self) -> Option<&str> {
        name::organization_and_common_name(&self.tbs.subject).map(|(o, _)| o)
    }

    /// CN of the subject, on the same condition.
    pub fn subject_common_name(&self) -> Option<&str> {
        name::organization_and_common_name(&self.tbs.subject).map(|(_, cn)| cn)
    }

    /// The URIs among the subject's alternative names (RFC 5280 s4.2.1.6), in their order.
    pub fn uri_sans(&self) -> &[String] {
        &self.uris
    }

    /// The extended key usages; empty if the extension is absent (RFC 5280 s4.2.1.12).
    pub fn extended_key_usages(&self) -> &[ObjectIdentifier] {
        &self.tbs.extensions.extended_key_usages
    }

    /// Whether basicConstraints says CA (RFC 5280 s4.2.1.9).
    pub fn is_ca(&self) -> bool {
        let constraints = self.tbs.extensions.basic_constraints.as_ref();
        constraints.is_some_and(|constraints| constraints.ca)
    }

    /// pathLenConstraint: how many CAs may follow below this one; `None` if it does not say.
    pub fn path_len(&self) -> Option<u8> {
        let constraints = self.tbs.extensions.basic_constraints.as_ref();
        constraints.and_then(|constraints| constraints.path_len_constraint)
    }

    /// Whether keyUsage allows to verify signatures on data (RFC 5280 s4.2.1.3).
    pub fn allows_digital_signature(&self) -> bool {
        self.has(KeyUsages::DigitalSignature)
    }

    /// Whether keyUsage allows to verify signatures on certificates.
    pub fn allows_key_cert_sign(&self) -> bool {
        self.has(KeyUsages::KeyCertSign)
    }

    /// Whether keyUsage allows to verify signatures on CRLs.
    pub fn allows_crl_sign(&self) -> bool {
        self.has(KeyUsages::CRLSign)
    }

    fn has(&self, usage: KeyUsages) -> bool {
        self.tbs.extensions.key_usage.contains(usage)
    }

    /// The URIs of the CRL that may list this certificate (RFC 5280 s4.2.1.13).
    pub fn crl_addresses(&self) -> &[String] {
        &self.tbs.extensions.crl_addresses
    }

    /// The URIs of the issuer's certificate (RFC 5280 s4.2.2.1).
    pub fn ca_issuer_addresses(&self) -> &[String] {
        &self.tbs.extensions.ca_issuer_addresses
    }

    /// The certificate policies (RFC 5280 s4.2.1.4).
    pub fn policies(&self) -> &[ObjectIdentifier] {
        &self.tbs.extensions.policies
    }

    /// keyIdentifier of authorityKeyIdentifier (RFC 5280 s4.2.1.1).
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.tbs.extensions.authority_key_identifier.as_deref()
    }

    /// subjectKeyIdentifier (RFC 5280 s4.2.1.2).
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        self.tbs.extensions.subject_key_identifier.as_deref()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    /// Leaves the content out: a certificate's octets, serial number and key have no place in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}
