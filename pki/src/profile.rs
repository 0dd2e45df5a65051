//! Owns what each kind of certificate must contain, checked against RFC 5280 with the clause named in each
//! error. The check reads the DER that is about to be signed, or that came from elsewhere, and knows
//! nothing of how it was built.

mod alternative_names;
mod root;

use std::fmt::Write;

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES,
    ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING,
    ID_KP_SERVER_AUTH, ID_PE_AUTHORITY_INFO_ACCESS,
};
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use der::asn1::ObjectIdentifier;
use der::flagset::FlagSet;
use x509_cert::ext::pkix::KeyUsages;

use crate::certificate::Certificate;
use crate::error::ProfileError;
use crate::extensions::key_identifier;
use crate::name;
use crate::tbs::TbsCertificate;

pub use root::check_root;

/// The longest validity of a device's or a TLS certificate: 397 days, in seconds.
pub const MAX_LEAF_VALIDITY: i64 = 397 * 86_400;
/// The longest validity of an authorization certificate: the three years that SP 800-57 part 1 s5.3.6
/// gives the cryptoperiod of a private signature key, in seconds.
pub const MAX_AUTHORIZATION_VALIDITY: i64 = 1_096 * 86_400;
/// The longest validity of the certificate of a key that signs audit records or statements, in seconds: what it signed is
/// verified after it signs no more (SP 800-57 part 1 s5.3.6, public signature-verification key).
pub const MAX_EVIDENCE_VALIDITY: i64 = 1_096 * 86_400;
/// The longest validity of an OCSP responder's certificate, in seconds: with id-pkix-ocsp-nocheck nobody asks whether it is
/// revoked, so its end alone limits what a lost key can do (RFC 6960 s4.2.2.2.1).
pub const MAX_OCSP_RESPONDER_VALIDITY: i64 = 90 * 86_400;

/// The object identifiers that a scheme chooses for itself; from configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oids {
    /// The extended key usage of devices.
    pub device_eku: ObjectIdentifier,
    /// The extended key usage of keys that sign authorizations.
    pub authorization_eku: ObjectIdentifier,
    /// The extended key usage of keys that sign audit records, if the scheme has them.
    pub audit_eku: Option<ObjectIdentifier>,
    /// The extended key usage of keys that sign statements, if the scheme has them.
    pub statement_eku: Option<ObjectIdentifier>,
    /// The certificate policy of devices.
    pub device_policy: ObjectIdentifier,
}

impl Oids {
    /// The names of two extended key usages that are one and the same.
    pub fn same_usage(&self) -> Option<(&'static str, &'static str)> {
        let named = [
            ("device_eku", Some(self.device_eku)),
            ("authorization_eku", Some(self.authorization_eku)),
            ("audit_eku", self.audit_eku),
            ("statement_eku", self.statement_eku),
        ];
        let mut earlier: Vec<(&'static str, ObjectIdentifier)> = Vec::new();
        for (name, oid) in named
            .into_iter()
            .filter_map(|(name, oid)| Some((name, oid?)))
        {
            if let Some((one, _)) = earlier.iter().find(|(_, other)| *other == oid) {
                return Some((one, name));
            }
            earlier.push((name, oid));
        }
        None
    }
}

/// The kinds of certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The root of one hierarchy.
    Root,
    /// An institution's CA for devices or for signing.
    InstitutionCa,
    /// An institution's CA for TLS.
    TlsCa,
    /// A phone.
    Device,
    /// The key that signs authorizations.
    Authorization,
    /// The key that signs OCSP responses for an institution's device CA (RFC 6960 s4.2.2.2).
    OcspResponder,
    /// The key that signs audit records.
    Audit,
    /// The key that signs statements.
    Statement,
    /// A TLS server.
    TlsServer,
    /// A TLS client: a caller.
    TlsClient,
}

impl Kind {
    pub(crate) fn path_len(self) -> Option<u8> {
        match self {
            Self::Root => Some(1),
            Self::InstitutionCa | Self::TlsCa => Some(0),
            Self::Device
            | Self::Authorization
            | Self::OcspResponder
            | Self::Audit
            | Self::Statement
            | Self::TlsServer
            | Self::TlsClient => None,
        }
    }

    pub(crate) fn is_ca(self) -> bool {
        self.path_len().is_some()
    }

    pub(crate) fn key_usage(self) -> FlagSet<KeyUsages> {
        if self.is_ca() {
            KeyUsages::KeyCertSign | KeyUsages::CRLSign
        } else {
            KeyUsages::DigitalSignature.into()
        }
    }

    /// The extended key usage and whether it is critical: the private ones are, so that nobody who does
    /// not know them accepts the certificate for anything (RFC 5280 s4.2.1.12).
    pub(crate) fn extended_key_usage(self, oids: &Oids) -> Option<(ObjectIdentifier, bool)> {
        match self {
            Self::Root | Self::InstitutionCa | Self::TlsCa => None,
            Self::Device => Some((oids.device_eku, true)),
            Self::Authorization => Some((oids.authorization_eku, true)),
            Self::OcspResponder => Some((ID_KP_OCSP_SIGNING, false)),
            Self::Audit => oids.audit_eku.map(|oid| (oid, true)),
            Self::Statement => oids.statement_eku.map(|oid| (oid, true)),
            Self::TlsServer => Some((ID_KP_SERVER_AUTH, false)),
            Self::TlsClient => Some((ID_KP_CLIENT_AUTH, false)),
        }
    }

    /// Whether CRL and CA certificate addresses must stand there: those that must not are left out. TLS certificates may go
    /// without: the register of callers says at each request who is still one. Nobody is to look for the revocation of an
    /// OCSP responder, which its own answers would have to tell.
    fn addresses(self) -> Addresses {
        match self {
            Self::InstitutionCa
            | Self::Device
            | Self::Authorization
            | Self::Audit
            | Self::Statement => Addresses::Needed,
            Self::Root | Self::TlsCa | Self::TlsServer | Self::TlsClient => Addresses::Allowed,
            Self::OcspResponder => Addresses::None,
        }
    }

    fn longest_validity(self) -> Option<i64> {
        match self {
            Self::Root | Self::InstitutionCa | Self::TlsCa => None,
            Self::Device | Self::TlsServer | Self::TlsClient => Some(MAX_LEAF_VALIDITY),
            Self::Authorization => Some(MAX_AUTHORIZATION_VALIDITY),
            Self::Audit | Self::Statement => Some(MAX_EVIDENCE_VALIDITY),
            Self::OcspResponder => Some(MAX_OCSP_RESPONDER_VALIDITY),
        }
    }

    /// The extensions with their criticality, without those of addresses.
    fn extensions(self, oids: &Oids) -> Vec<(ObjectIdentifier, bool)> {
        let mut extensions = vec![
            (ID_CE_KEY_USAGE, true),
            (ID_CE_SUBJECT_KEY_IDENTIFIER, false),
        ];
        if self.is_ca() {
            extensions.push((ID_CE_BASIC_CONSTRAINTS, true));
        }
        if self != Self::Root {
            extensions.push((ID_CE_AUTHORITY_KEY_IDENTIFIER, false));
        }
        if let Some((_, critical)) = self.extended_key_usage(oids) {
            extensions.push((ID_CE_EXT_KEY_USAGE, critical));
        }
        match self {
            Self::InstitutionCa => extensions.push((ID_CE_NAME_CONSTRAINTS, true)),
            Self::Device => extensions.push((ID_CE_CERTIFICATE_POLICIES, false)),
            Self::OcspResponder => extensions.push((ID_PKIX_OCSP_NOCHECK, false)),
            _ => {}
        }
        if matches!(self, Self::Device | Self::TlsServer | Self::TlsClient) {
            extensions.push((ID_CE_SUBJECT_ALT_NAME, false));
        }
        extensions
    }
}

/// Whether addresses of CRLs and CA certificates stand in a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Addresses {
    Needed,
    Allowed,
    None,
}

/// Checks an existing certificate against the profile of `kind`, and against its issuer's certificate.
/// A root is its own issuer. Signatures are not looked at.
///
/// # Errors
/// [`ProfileError`] with the first rule that is broken.
pub fn check(
    certificate: &Certificate,
    kind: Kind,
    issuer: &Certificate,
    oids: &Oids,
) -> Result<(), ProfileError> {
    lint(&certificate.tbs, kind, &issuer.tbs, oids)
}

/// The same for what is about to be signed.
pub(crate) fn lint(
    tbs: &TbsCertificate,
    kind: Kind,
    issuer: &TbsCertificate,
    oids: &Oids,
) -> Result<(), ProfileError> {
    let (organization, common_name) =
        name::organization_and_common_name(&tbs.subject).ok_or(ProfileError::Subject)?;
    check_subject(organization, common_name)?;
    check_validity(tbs, kind, issuer)?;
    check_extension_list(tbs, kind, oids)?;
    check_constraints(tbs, kind, organization)?;
    check_usages(tbs, kind, oids)?;
    check_key_identifiers(tbs, kind, issuer)?;
    check_addresses(tbs, kind)?;
    alternative_names::check(tbs, kind, organization, common_name)?;
    if kind.is_ca() {
        return Ok(());
    }
    match name::organization_and_common_name(&issuer.subject) {
        Some((issuers, _)) if issuers == organization => Ok(()),
        _ => Err(ProfileError::OtherOrganization),
    }
}

/// O and CN as every certificate of the scheme has them.
pub(crate) fn check_subject(organization: &str, common_name: &str) -> Result<(), ProfileError> {
    check_organization(organization)?;
    check_common_name(common_name)
}

/// An institution id: 1 to 32 of a-z, 0-9 and '-'.
fn check_organization(organization: &str) -> Result<(), ProfileError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=32).contains(&organization.len()) && organization.chars().all(allowed);
    fits.then_some(()).ok_or(ProfileError::Organization)
}

fn check_common_name(common_name: &str) -> Result<(), ProfileError> {
    let printable = |c: char| c.is_ascii_graphic() || c == ' ';
    let fits = (1..=64).contains(&common_name.len()) && common_name.chars().all(printable);
    fits.then_some(()).ok_or(ProfileError::CommonName)
}

fn check_validity(
    tbs: &TbsCertificate,
    kind: Kind,
    issuer: &TbsCertificate,
) -> Result<(), ProfileError> {
    let seconds = tbs.not_after.saturating_sub(tbs.not_before);
    let too_long = kind.longest_validity().is_some_and(|most| seconds > most);
    if seconds <= 0 || too_long {
        return Err(ProfileError::Validity);
    }
    if tbs.not_before < issuer.not_before || tbs.not_after > issuer.not_after {
        return Err(ProfileError::OutsideIssuer);
    }
    Ok(())
}

fn check_extension_list(tbs: &TbsCertificate, kind: Kind, oids: &Oids) -> Result<(), ProfileError> {
    let mut expected = kind.extensions(oids);
    let given = !tbs.extensions.crl_addresses.is_empty();
    if match kind.addresses() {
        Addresses::Needed => true,
        Addresses::Allowed => given,
        Addresses::None => false,
    } {
        expected.push((ID_CE_CRL_DISTRIBUTION_POINTS, false));
        expected.push((ID_PE_AUTHORITY_INFO_ACCESS, false));
    }
    let mut present = tbs.extensions.present.clone();
    present.sort_unstable();
    expected.sort_unstable();
    if present == expected {
        return Ok(());
    }
    let mut difference = String::new();
    let differ = |one: &[_], other: &[(ObjectIdentifier, bool)], word, text: &mut String| {
        for (oid, critical) in one.iter().filter(|e| !other.contains(e)) {
            let critical = if *critical { "critical " } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "[{word} {critical}{oid}]");
        }
    };
    differ(&expected, &present, "missing", &mut difference);
    differ(&present, &expected, "unexpected", &mut difference);
    Err(ProfileError::Extensions(difference))
}

fn check_constraints(
    tbs: &TbsCertificate,
    kind: Kind,
    organization: &str,
) -> Result<(), ProfileError> {
    let stated = tbs.extensions.basic_constraints.as_ref();
    let stated = stated.map(|constraints| (constraints.ca, constraints.path_len_constraint));
    if stated != kind.path_len().map(|most| (true, Some(most))) {
        return Err(ProfileError::BasicConstraints);
    }
    let permitted = match kind {
        Kind::InstitutionCa => Some(vec![name::organization(organization)?]),
        _ => None,
    };
    if tbs.extensions.permitted == permitted {
        Ok(())
    } else {
        Err(ProfileError::NameConstraints)
    }
}

fn check_usages(tbs: &TbsCertificate, kind: Kind, oids: &Oids) -> Result<(), ProfileError> {
    if tbs.extensions.key_usage != kind.key_usage() {
        return Err(ProfileError::KeyUsage);
    }
    let usage = kind.extended_key_usage(oids).map(|(oid, _)| oid);
    if usage.is_none() && !kind.is_ca() {
        return Err(ProfileError::UnnamedUsage);
    }
    if tbs.extensions.extended_key_usages != usage.into_iter().collect::<Vec<_>>() {
        return Err(ProfileError::ExtendedKeyUsage);
    }
    let policy = (kind == Kind::Device).then_some(oids.device_policy);
    if tbs.extensions.policies != policy.into_iter().collect::<Vec<_>>() {
        return Err(ProfileError::CertificatePolicies);
    }
    Ok(())
}

fn check_key_identifiers(
    tbs: &TbsCertificate,
    kind: Kind,
    issuer: &TbsCertificate,
) -> Result<(), ProfileError> {
    if kind != Kind::Root && tbs.key == issuer.key {
        return Err(ProfileError::IssuersKey);
    }
    let own = key_identifier(&tbs.key);
    let authority = (kind != Kind::Root)
        .then(|| issuer.extensions.subject_key_identifier.clone())
        .flatten();
    if tbs.extensions.subject_key_identifier != Some(own)
        || tbs.extensions.authority_key_identifier != authority
    {
        return Err(ProfileError::KeyIdentifier);
    }
    Ok(())
}

fn check_addresses(tbs: &TbsCertificate, kind: Kind) -> Result<(), ProfileError> {
    let crls = &tbs.extensions.crl_addresses;
    let issuers = &tbs.extensions.ca_issuer_addresses;
    let needed = kind.addresses() == Addresses::Needed;
    if crls.len() != issuers.len() || crls.len() > 1 || (needed && crls.is_empty()) {
        return Err(ProfileError::Address);
    }
    let absolute = |address: &String| {
        address
            .strip_prefix("http://")
            .is_some_and(|rest| rest.contains('/') && !rest.starts_with('/'))
            && address.chars().all(|c| c.is_ascii_graphic())
    };
    let fit = crls.iter().chain(issuers).all(absolute);
    fit.then_some(()).ok_or(ProfileError::Address)
}
