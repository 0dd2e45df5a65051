//! Owns issuing at the ceremony: a CA, whose key is in memory or in a token, issues certificates and CRLs. What it
//! signed is verified before anyone sees it.

use semops_pki::algorithm::PublicKey;
use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use semops_pki::issuer::{self, Addresses, Content, Issuer, RevokedEntry, Subject};
use semops_pki::local_key::LocalKey;
use semops_pki::profile::Oids;
use semops_pki::signed::{ToBeSigned, assemble};

use crate::error::SetupError;
use crate::random;
use crate::token::TokenProcess;

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// Everything is valid from five minutes before the ceremony, for relying parties whose clocks are behind.
const CLOCK_SKEW: i64 = 5 * MINUTE;

/// How long something issued at the ceremony is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lifetime {
    /// A root: ten years.
    Root,
    /// An institution's CA: five years.
    Ca,
    /// An authorization key: two years.
    Authorization,
    /// A TLS certificate: 397 days, the profile's longest, skew included.
    Tls,
    /// A root's CRL: one year, until the next ceremony.
    RootCrl,
    /// The first CRL of an institution's CA: 30 days; the service issues the next ones.
    FirstCrl,
}

impl Lifetime {
    fn seconds(self) -> i64 {
        match self {
            Self::Root => 3652 * DAY,
            Self::Ca => 1826 * DAY,
            Self::Authorization => 730 * DAY,
            Self::Tls => 397 * DAY - CLOCK_SKEW,
            Self::RootCrl => 365 * DAY,
            Self::FirstCrl => 30 * DAY,
        }
    }

    /// From, until; in unix seconds.
    pub(crate) fn around(self, now: i64) -> (i64, i64) {
        (
            now.saturating_sub(CLOCK_SKEW),
            now.saturating_add(self.seconds()),
        )
    }
}

/// Where the private key of a CA is.
pub(crate) trait SigningKey {
    /// Signs `message`, which is hashed there: `r || s`, not yet verified.
    fn sign(&mut self, public: &PublicKey, message: &[u8]) -> Result<[u8; 64], SetupError>;
}

impl SigningKey for LocalKey {
    fn sign(&mut self, _: &PublicKey, message: &[u8]) -> Result<[u8; 64], SetupError> {
        Ok(self.sign_raw(message)?)
    }
}

impl SigningKey for TokenProcess {
    fn sign(&mut self, public: &PublicKey, message: &[u8]) -> Result<[u8; 64], SetupError> {
        self.sign_with(public, message)
    }
}

/// What all certificates of one ceremony share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// In unix seconds.
    pub(crate) now: i64,
    pub(crate) oids: &'a Oids,
}

/// A CA's certificate and the way to its key.
pub(crate) struct Authority<'k, K> {
    issuer: Issuer,
    key: &'k mut K,
}

impl<'k, K: SigningKey> Authority<'k, K> {
    /// The CA of `certificate`, whose key is in or is `key`.
    pub(crate) fn new(certificate: Certificate, key: &'k mut K) -> Result<Self, SetupError> {
        let issuer = Issuer::new(certificate)?;
        Ok(Self { issuer, key })
    }

    /// Issues a certificate.
    pub(crate) fn certify(
        &mut self,
        terms: Terms<'_>,
        organization: &str,
        public_key: &PublicKey,
        subject: Subject<'_>,
        addresses: Option<Addresses<'_>>,
    ) -> Result<Certificate, SetupError> {
        let lifetime = match subject {
            Subject::InstitutionCa { .. } | Subject::TlsCa { .. } => Lifetime::Ca,
            // No ceremony has keys but the authorization key: the service certifies the others, within their profiles.
            Subject::Authorization { .. }
            | Subject::OcspResponder { .. }
            | Subject::Audit { .. }
            | Subject::Statement { .. } => Lifetime::Authorization,
            Subject::Device { .. } | Subject::TlsServer { .. } | Subject::TlsClient { .. } => {
                Lifetime::Tls
            }
        };
        let content = content(terms.now, lifetime, organization, public_key)?;
        let tbs = self
            .issuer
            .certificate(&content, subject, addresses, terms.oids)?;
        let ca = self.issuer.ca();
        let der = signed(&tbs, ca.public_key(), self.key)?;
        let certificate = Certificate::from_der(&der)?;
        certificate.verify_issued_by(ca)?;
        Ok(certificate)
    }

    /// Issues the first CRL, which is empty.
    pub(crate) fn first_crl(
        &mut self,
        now: i64,
        lifetime: Lifetime,
    ) -> Result<CertificateRevocationList, SetupError> {
        let (this_update, next_update) = lifetime.around(now);
        self.crl(1, this_update, next_update, &[])
    }

    /// Issues a CRL.
    pub(crate) fn crl(
        &mut self,
        number: u64,
        this_update: i64,
        next_update: i64,
        entries: &[RevokedEntry],
    ) -> Result<CertificateRevocationList, SetupError> {
        let tbs = self.issuer.crl(number, this_update, next_update, entries)?;
        let ca = self.issuer.ca();
        let der = signed(&tbs, ca.public_key(), self.key)?;
        let crl = CertificateRevocationList::from_der(&der)?;
        crl.verify_issued_by(ca)?;
        Ok(crl)
    }
}

/// Issues a root's own certificate.
pub(crate) fn self_signed(
    terms: Terms<'_>,
    organization: &str,
    common_name: &str,
    key: &mut LocalKey,
) -> Result<Certificate, SetupError> {
    let public_key = key.public_key().clone();
    let content = content(terms.now, Lifetime::Root, organization, &public_key)?;
    let tbs = issuer::root(&content, common_name, terms.oids)?;
    Ok(Certificate::from_der(&signed(&tbs, &public_key, key)?)?)
}

fn content<'a>(
    now: i64,
    lifetime: Lifetime,
    organization: &'a str,
    public_key: &'a PublicKey,
) -> Result<Content<'a>, SetupError> {
    let (not_before, not_after) = lifetime.around(now);
    Ok(Content {
        organization,
        public_key,
        serial: random::octets()?,
        not_before,
        not_after,
    })
}

fn signed(
    tbs: &ToBeSigned,
    public: &PublicKey,
    key: &mut impl SigningKey,
) -> Result<Vec<u8>, SetupError> {
    let rs = key.sign(public, tbs.bytes())?;
    let signature = public.verify_raw(tbs.bytes(), &rs)?;
    Ok(assemble(tbs.bytes(), &signature))
}
