//! Why a trust document is refused.

use semops_pki::error::{CertificateError, CrlError, ProfileError};
use thiserror::Error;

use crate::error::Rule;

/// A field of a trust document that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}`: {rule}")]
pub struct TrustError {
    field: String,
    rule: TrustRule,
}

impl TrustError {
    pub(super) fn new(field: impl Into<String>, rule: impl Into<TrustRule>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }

    /// Path of the field, as `trusted.alfa.signing_ca[0]`; `document` for the whole.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The rule that it broke.
    pub fn rule(&self) -> &TrustRule {
        &self.rule
    }
}

/// A rule of trust documents.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrustRule {
    /// The document is too long.
    #[error("must be at most {} octets long", super::MAX_LENGTH)]
    TooLong,
    /// Not TOML of the documented form; unknown fields are refused.
    #[error("{0}")]
    Toml(String),
    /// Versions count from 1.
    #[error("must be 1 or more")]
    Version,
    /// Not an institution id.
    #[error("{0}")]
    InstitutionId(#[from] Rule),
    /// The same institution or certificate twice.
    #[error("stands there more than once")]
    Duplicate,
    /// A certificate that cannot be read, or that its CA did not issue.
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    /// A CRL that cannot be read, or that its CA did not sign.
    #[error("{0}")]
    Crl(#[from] CrlError),
    /// Not base64 of DER.
    #[error("must be base64 with padding and without white space")]
    Base64,
    /// Hierarchies are never mixed.
    #[error("must be another root than the device root, with another key")]
    SameRoot,
    /// A certificate that is not what its kind must be.
    #[error("{0}")]
    Profile(#[from] ProfileError),
    /// The O of a certificate is not the institution.
    #[error("must have the organization {0}")]
    Organization(String),
    /// A certificate that none of the institution's signing CAs issued, or a CRL that none of them signed.
    #[error("comes from none of the institution's signing CAs")]
    OtherIssuer,
    /// A signing CA without a CRL.
    #[error("has no CRL in signing_ca_crls")]
    NoCrl,
    /// A signing CA with more than one CRL.
    #[error("has more than one CRL in signing_ca_crls")]
    TwoCrls,
}
