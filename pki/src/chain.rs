//! Owns path validation (RFC 5280 s6.1) as far as the scheme's hierarchies need it: one trusted root, at
//! most three certificates below it, P-256 throughout. Revocation is looked up in [`crl`](crate::crl).

use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::name;
use crate::signed::Signed;
use crate::tbs::TbsCertificate;

/// The longest chain below a root.
const MAX_CHAIN: usize = 3;

impl Certificate {
    /// Whether the holder of `issuer` issued this certificate and was allowed to: name chaining, key
    /// identifiers, CA and keyCertSign, one step of pathLenConstraint, directoryName constraint, no
    /// unknown critical extension on either side, signature. Validity in time and revocation are not
    /// looked at.
    ///
    /// # Errors
    /// [`CertificateError`] with the first rule that is broken.
    pub fn verify_issued_by(&self, issuer: &Self) -> Result<(), CertificateError> {
        if self.issuer_der() != issuer.subject_der() {
            return Err(CertificateError::NameChaining);
        }
        if let (Some(authority), Some(subject)) = (
            self.authority_key_identifier(),
            issuer.subject_key_identifier(),
        ) && authority != subject
        {
            return Err(CertificateError::KeyIdentifier);
        }
        issuer.check_may_issue(self)?;
        for certificate in [self, issuer] {
            if let Some(oid) = certificate.tbs.extensions.unknown_critical {
                return Err(CertificateError::UnknownCriticalExtension(oid));
            }
        }
        let signed = Signed::from_der(self.der())?;
        signed
            .verify(issuer.public_key())
            .map_err(|_| CertificateError::BadSignature)?;
        Ok(())
    }

    fn check_may_issue(&self, subject: &Self) -> Result<(), CertificateError> {
        if !self.is_ca() {
            return Err(CertificateError::NotACa);
        }
        if !self.allows_key_cert_sign() {
            return Err(CertificateError::KeyCertSign);
        }
        let self_issued = subject.issuer_der() == subject.subject_der();
        if subject.is_ca() && !self_issued && self.path_len() == Some(0) {
            return Err(CertificateError::PathLength);
        }
        // RFC 5280 s6.1.3 (b): constraints do not bind a self-issued certificate that is not the last one.
        if self_issued && subject.is_ca() {
            return Ok(());
        }
        self.check_permits(&subject.tbs)
    }

    pub(crate) fn check_permits(&self, subject: &TbsCertificate) -> Result<(), CertificateError> {
        let Some(permitted) = &self.tbs.extensions.permitted else {
            return Ok(());
        };
        let inside = subject
            .directory_names()
            .all(|name| permitted.iter().any(|base| name::within(name, base)));
        if inside {
            Ok(())
        } else {
            Err(CertificateError::NameConstraint)
        }
    }

    fn check_valid_at(&self, at: i64) -> Result<(), CertificateError> {
        if self.valid_at(at) {
            return Ok(());
        }
        Err(CertificateError::Validity {
            at,
            not_before: self.not_before(),
            not_after: self.not_after(),
        })
    }
}

/// Certificates below one root, verified up to it.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    below_root: &'a [Certificate],
    root: &'a Certificate,
}

impl<'a> Chain<'a> {
    /// Verifies `leaf_first` (the leaf, then its CAs, without the root) up to `root` at the time `now`,
    /// in unix seconds.
    ///
    /// # Errors
    /// [`CertificateError`] with the first rule that is broken, from the leaf upwards.
    pub fn verify(
        leaf_first: &'a [Certificate],
        root: &'a Certificate,
        now: i64,
    ) -> Result<Self, CertificateError> {
        if leaf_first.is_empty() || leaf_first.len() > MAX_CHAIN {
            return Err(CertificateError::ChainLength(leaf_first.len()));
        }
        let issuers = leaf_first.iter().skip(1).chain([root]);
        for (depth, (subject, issuer)) in leaf_first.iter().zip(issuers).enumerate() {
            subject.check_valid_at(now)?;
            subject.verify_issued_by(issuer)?;
            check_path_length(leaf_first, depth, issuer)?;
            check_inherited_constraints(leaf_first, depth, issuer)?;
        }
        root.check_valid_at(now)?;
        root.verify_issued_by(root)?;
        Ok(Self {
            below_root: leaf_first,
            root,
        })
    }

    /// Leaf first, without the root.
    pub fn below_root(&self) -> &'a [Certificate] {
        self.below_root
    }

    /// The trusted root.
    pub fn root(&self) -> &'a Certificate {
        self.root
    }
}

/// pathLenConstraint counts all CAs between the issuer and the last certificate (RFC 5280 s4.2.1.9); the
/// subject at `depth` has been checked by itself, and `depth` counts those below it.
fn check_path_length(
    leaf_first: &[Certificate],
    depth: usize,
    issuer: &Certificate,
) -> Result<(), CertificateError> {
    let between = leaf_first
        .iter()
        .take(depth.saturating_add(1))
        .skip(1)
        .filter(|certificate| certificate.issuer_der() != certificate.subject_der())
        .count();
    match issuer.path_len() {
        Some(allowed) if between > usize::from(allowed) => Err(CertificateError::PathLength),
        _ => Ok(()),
    }
}

/// A CA's constraint binds every certificate below it, not only those it issued (RFC 5280 s4.2.1.10).
fn check_inherited_constraints(
    leaf_first: &[Certificate],
    depth: usize,
    issuer: &Certificate,
) -> Result<(), CertificateError> {
    leaf_first
        .iter()
        .take(depth)
        .try_for_each(|certificate| issuer.check_permits(&certificate.tbs))
}
