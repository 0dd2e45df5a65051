//! Owns what each kind of certificate must contain, checked against RFC 5280 with the clause named in each
//! error. The check reads the DER that is about to be signed, or that came from elsewhere, and knows
//! nothing of how it was built.

use std::fmt::Write;

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES,
    ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH,
    ID_PE_AUTHORITY_INFO_ACCESS,
};
use der::asn1::ObjectIdentifier;
use der::flagset::FlagSet;
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::ext::pkix::name::GeneralName;

use crate::certificate::Certificate;
use crate::error::ProfileError;
use crate::extensions::key_identifier;
use crate::name;
use crate::tbs::TbsCertificate;

/// The longest validity of a device's or a TLS certificate: 397 days, in seconds.
pub const MAX_LEAF_VALIDITY: i64 = 397 * 86_400;
/// The longest validity of an authorization certificate: the three years that SP 800-57 part 1 s5.3.6
/// gives the cryptoperiod of a private signature key, in seconds.
pub const MAX_AUTHORIZATION_VALIDITY: i64 = 1_096 * 86_400;

/// The object identifiers that a scheme chooses for itself; from configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oids {
    /// The extended key usage of devices.
    pub device_eku: ObjectIdentifier,
    /// The extended key usage of keys that sign authorizations.
    pub authorization_eku: ObjectIdentifier,
    /// The certificate policy of devices.
    pub device_policy: ObjectIdentifier,
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
            Self::Device | Self::Authorization | Self::TlsServer | Self::TlsClient => None,
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
            Self::TlsServer => Some((ID_KP_SERVER_AUTH, false)),
            Self::TlsClient => Some((ID_KP_CLIENT_AUTH, false)),
        }
    }

    /// Whether CRL and CA certificate addresses must stand there. TLS certificates may go without: the
    /// register of callers says at each request who is still one.
    fn needs_addresses(self) -> bool {
        matches!(
            self,
            Self::InstitutionCa | Self::Device | Self::Authorization
        )
    }

    fn longest_validity(self) -> Option<i64> {
        match self {
            Self::Root | Self::InstitutionCa | Self::TlsCa => None,
            Self::Device | Self::TlsServer | Self::TlsClient => Some(MAX_LEAF_VALIDITY),
            Self::Authorization => Some(MAX_AUTHORIZATION_VALIDITY),
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
            _ => {}
        }
        if matches!(self, Self::Device | Self::TlsServer | Self::TlsClient) {
            extensions.push((ID_CE_SUBJECT_ALT_NAME, false));
        }
        extensions
    }
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
    check_alternative_names(tbs, kind, organization, common_name)?;
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
    if kind.needs_addresses() || !tbs.extensions.crl_addresses.is_empty() {
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
    if crls.len() != issuers.len() || crls.len() > 1 || (kind.needs_addresses() && crls.is_empty())
    {
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

fn check_alternative_names(
    tbs: &TbsCertificate,
    kind: Kind,
    organization: &str,
    common_name: &str,
) -> Result<(), ProfileError> {
    let names = &tbs.extensions.subject_alt_names;
    let mut uris = Vec::new();
    let mut hosts = 0_usize;
    for name in names {
        match name {
            GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.as_str()),
            GeneralName::DnsName(_) | GeneralName::IpAddress(_) => {
                hosts = hosts.saturating_add(1);
            }
            _ => return Err(ProfileError::SubjectAltName),
        }
    }
    let fits = match (kind, uris.as_slice()) {
        (Kind::Device, [uri]) => {
            if !is_uuid(common_name) {
                return Err(ProfileError::CommonName);
            }
            hosts == 0 && uri.strip_prefix("urn:uuid:") == Some(common_name)
        }
        (Kind::TlsClient, [uri]) => hosts == 0 && is_spiffe_id_of(uri, organization),
        (Kind::TlsServer, [uri]) => hosts > 0 && is_spiffe_id_of(uri, organization),
        (Kind::Device | Kind::TlsClient | Kind::TlsServer, _) => false,
        (_, uris) => uris.is_empty() && hosts == 0,
    };
    fits.then_some(()).ok_or(ProfileError::SubjectAltName)
}

/// The text form of RFC 9562 s4, in lower case.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(hexadecimal))
}

/// `spiffe://<scheme>/<institution>/...`, the institution being the certificate's O.
fn is_spiffe_id_of(uri: &str, organization: &str) -> bool {
    let Some(id) = uri.strip_prefix("spiffe://") else {
        return false;
    };
    let mut segments = id.split('/');
    let domain = segments.next().is_some_and(|domain| !domain.is_empty());
    let institution = segments.next() == Some(organization);
    let mut rest = segments.peekable();
    domain && institution && rest.peek().is_some() && rest.all(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_names_its_institution() {
        assert!(is_spiffe_id_of(
            "spiffe://scheme/alfa/payments/core",
            "alfa"
        ));
        assert!(!is_spiffe_id_of(
            "spiffe://scheme/beta/payments/core",
            "alfa"
        ));
        assert!(!is_spiffe_id_of("spiffe://scheme/alfa", "alfa"));
        assert!(!is_spiffe_id_of("spiffe:///alfa/payments", "alfa"));
        assert!(!is_spiffe_id_of("spiffe://scheme/alfa//core", "alfa"));
        assert!(!is_spiffe_id_of("https://scheme/alfa/payments", "alfa"));
    }

    #[test]
    fn a_uuid_is_lower_case_and_whole() {
        assert!(is_uuid("0190a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5b"));
        assert!(!is_uuid("0190A5B2-7c3d-7e4f-8a9b-0c1d2e3f4a5b"));
        assert!(!is_uuid("0190a5b27c3d7e4f8a9b0c1d2e3f4a5b"));
        assert!(!is_uuid("0190a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5"));
    }
}
