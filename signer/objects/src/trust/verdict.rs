//! Whether an authorization counts: a pure function of the JWS, the caller's trust document and the time.

use semops_pki::certificate::Certificate;
use thiserror::Error;

use super::{SigningCa, TrustDocument, TrustedInstitution};
use crate::authorization::{Authorization, AuthorizationJws};
use crate::error::ObjectError;
use crate::institution::InstitutionId;
use crate::jwk;

/// How far ahead of the verifier's clock an `iat` may be, in seconds.
const MAX_AHEAD: u64 = 30;

/// What came out. A bad signature is a result like any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The institution named in `iss` guarantees the payment, and its time has not run out.
    Valid(Authorization),
    /// As Valid, but `exp` has come (RFC 7519 s4.1.4).
    Expired(Authorization),
    /// It does not count.
    Refused {
        /// Why.
        reason: Refusal,
        /// What it says, if it could be read. Nobody guarantees it.
        authorization: Option<Authorization>,
    },
}

/// Why an authorization does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not an authorization of this version; also another `alg` or `typ`.
    #[error(transparent)]
    Malformed(ObjectError),
    /// Neither `iss` nor `aud` is the caller's institution.
    #[error("`iss` and `aud` are other institutions")]
    NotForCaller,
    /// `x5t#S256` names no certificate of the trust document.
    #[error("no trusted certificate has this `x5t#S256`")]
    UnknownCertificate,
    /// `kid` is not the thumbprint of that certificate's key (RFC 7638).
    #[error("`kid` is not the key of the certificate that `x5t#S256` names")]
    KeyMismatch,
    /// `iss` is another institution than the one that the certificate belongs to.
    #[error("the certificate is not of the institution in `iss`")]
    IssuerMismatch,
    /// The signature is not by that key over these bytes.
    #[error("the signature does not verify")]
    BadSignature,
    /// `iat` is too far ahead of the clock.
    #[error("`iat` is more than {MAX_AHEAD} s ahead")]
    IssuedInFuture,
    /// The certificate, its CA's or the root's was not valid at `iat`.
    #[error("a certificate of the chain was not valid at `iat`")]
    CertificateNotValid,
    /// The certificate is listed in its CA's CRL.
    #[error("the certificate is revoked")]
    CertificateRevoked,
    /// The CA's certificate is listed in the root's CRL.
    #[error("the certificate of the signing CA is revoked")]
    CaRevoked,
    /// A CRL that would have to say so is past its nextUpdate (RFC 5280 s5.1.2.5).
    #[error("a CRL is past its nextUpdate")]
    CrlStale,
}

impl Refusal {
    /// A name that stays the same in all versions, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "MALFORMED",
            Self::NotForCaller => "NOT_FOR_CALLER",
            Self::UnknownCertificate => "UNKNOWN_CERTIFICATE",
            Self::KeyMismatch => "KEY_MISMATCH",
            Self::IssuerMismatch => "ISSUER_MISMATCH",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::IssuedInFuture => "ISSUED_IN_FUTURE",
            Self::CertificateNotValid => "CERTIFICATE_NOT_VALID",
            Self::CertificateRevoked => "CERTIFICATE_REVOKED",
            Self::CaRevoked => "CA_REVOKED",
            Self::CrlStale => "CRL_STALE",
        }
    }
}

/// Verifies a compact JWS for `caller`, whose trust document `trust` is, at `now` in Unix seconds.
///
/// Exactly one certificate is considered, the one that `x5t#S256` names. Certificates count as of `iat`, revocation
/// as of now: what a revoked key signed before its revocation is refused too, for nothing proves when it did.
pub fn verify_authorization(
    jws: &str,
    trust: &TrustDocument,
    caller: &InstitutionId,
    now: u64,
) -> Verdict {
    let jws = match AuthorizationJws::parse(jws) {
        Ok(jws) => jws,
        Err(error) => {
            return Verdict::Refused {
                reason: Refusal::Malformed(error),
                authorization: None,
            };
        }
    };
    let authorization = jws.authorization().clone();
    match check(&jws, trust, caller, now) {
        Err(reason) => Verdict::Refused {
            reason,
            authorization: Some(authorization),
        },
        Ok(()) if now >= authorization.exp => Verdict::Expired(authorization),
        Ok(()) => Verdict::Valid(authorization),
    }
}

fn check(
    jws: &AuthorizationJws,
    trust: &TrustDocument,
    caller: &InstitutionId,
    now: u64,
) -> Result<(), Refusal> {
    let authorization = jws.authorization();
    if authorization.aud != *caller && authorization.iss != *caller {
        return Err(Refusal::NotForCaller);
    }
    let (institution, ca, leaf) = trust
        .leaves()
        .find(|(_, _, leaf)| leaf.sha256() == jws.x5t_s256())
        .ok_or(Refusal::UnknownCertificate)?;
    check_signer(jws, institution, leaf)?;
    if authorization.iat > now.saturating_add(MAX_AHEAD) {
        return Err(Refusal::IssuedInFuture);
    }
    let chain = [leaf, ca.certificate(), trust.signing_root()];
    let iat = unix(authorization.iat);
    if !chain.iter().all(|certificate| certificate.valid_at(iat)) {
        return Err(Refusal::CertificateNotValid);
    }
    check_revocation(trust, ca, leaf, unix(now))
}

fn check_signer(
    jws: &AuthorizationJws,
    institution: &TrustedInstitution,
    leaf: &Certificate,
) -> Result<(), Refusal> {
    if jwk::thumbprint(leaf.public_key()) != jws.kid() {
        return Err(Refusal::KeyMismatch);
    }
    if *institution.institution() != jws.authorization().iss {
        return Err(Refusal::IssuerMismatch);
    }
    jws.verify(leaf.public_key())
        .map(drop)
        .map_err(|_| Refusal::BadSignature)
}

/// What a stale CRL does list stays revoked.
fn check_revocation(
    trust: &TrustDocument,
    ca: &SigningCa,
    leaf: &Certificate,
    now: i64,
) -> Result<(), Refusal> {
    let root_crl = trust.signing_root_crl();
    if root_crl.entry(ca.certificate().serial()).is_some() {
        return Err(Refusal::CaRevoked);
    }
    if ca.crl().entry(leaf.serial()).is_some() {
        return Err(Refusal::CertificateRevoked);
    }
    if root_crl.stale_at(now) || ca.crl().stale_at(now) {
        return Err(Refusal::CrlStale);
    }
    Ok(())
}

/// Times beyond an `i64` are later than any certificate.
fn unix(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
