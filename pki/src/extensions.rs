//! Owns the certificate extensions (RFC 5280 s4.2) that this service processes: their reading into plain
//! values and their writing. What is not processed is refused if it is critical.

use const_oid::AssociatedOid;
use const_oid::db::rfc5280::{
    ID_AD_CA_ISSUERS, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS,
    ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE,
    ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS, ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_PE_AUTHORITY_INFO_ACCESS,
};
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use der::asn1::{Ia5String, Null, ObjectIdentifier, OctetString};
use der::flagset::FlagSet;
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{CertificatePolicies, PolicyInformation};
use x509_cert::ext::pkix::constraints::name::{GeneralSubtree, NameConstraints};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;

use crate::algorithm::{PublicKey, sha256};
use crate::error::CertificateError;

/// The extensions of one certificate, as read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    /// Every extension with its criticality, in the order of the certificate.
    pub(crate) present: Vec<(ObjectIdentifier, bool)>,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: FlagSet<KeyUsages>,
    pub(crate) extended_key_usages: Vec<ObjectIdentifier>,
    pub(crate) subject_alt_names: Vec<GeneralName>,
    /// The bases of the permitted directoryName subtrees, if names are constrained.
    pub(crate) permitted: Option<Vec<Name>>,
    pub(crate) crl_addresses: Vec<String>,
    pub(crate) ca_issuer_addresses: Vec<String>,
    pub(crate) policies: Vec<ObjectIdentifier>,
    pub(crate) authority_key_identifier: Option<Vec<u8>>,
    pub(crate) subject_key_identifier: Option<Vec<u8>>,
    /// The first critical extension that is not processed here.
    pub(crate) unknown_critical: Option<ObjectIdentifier>,
}

impl Extensions {
    pub(crate) fn read(extensions: &[Extension]) -> Result<Self, CertificateError> {
        let mut read = Self::default();
        for extension in extensions {
            let oid = extension.extn_id;
            if read.present.iter().any(|(earlier, _)| *earlier == oid) {
                return Err(CertificateError::RepeatedExtension(oid));
            }
            read.present.push((oid, extension.critical));
            read.add(extension)
                .ok_or(CertificateError::Extension(oid))?;
        }
        Ok(read)
    }

    /// Reads one extension; `None` if it is malformed or of a form that is not supported.
    fn add(&mut self, extension: &Extension) -> Option<()> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            ID_CE_BASIC_CONSTRAINTS => {
                self.basic_constraints = Some(value_of::<BasicConstraints>(value)?);
            }
            ID_CE_KEY_USAGE => self.key_usage = value_of::<KeyUsage>(value)?.0,
            ID_CE_EXT_KEY_USAGE => {
                self.extended_key_usages = value_of::<ExtendedKeyUsage>(value)?.0;
            }
            ID_CE_SUBJECT_ALT_NAME => self.subject_alt_names = value_of::<SubjectAltName>(value)?.0,
            ID_CE_NAME_CONSTRAINTS => self.permitted = Some(permitted_names(value)?),
            ID_CE_CRL_DISTRIBUTION_POINTS => self.crl_addresses = crl_addresses(value)?,
            ID_PE_AUTHORITY_INFO_ACCESS => self.ca_issuer_addresses = ca_issuers(value)?,
            ID_CE_CERTIFICATE_POLICIES => {
                let policies = value_of::<CertificatePolicies>(value)?.0;
                self.policies = policies.iter().map(|p| p.policy_identifier).collect();
            }
            ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                let identifier = value_of::<AuthorityKeyIdentifier>(value)?.key_identifier?;
                self.authority_key_identifier = Some(identifier.as_bytes().to_vec());
            }
            ID_CE_SUBJECT_KEY_IDENTIFIER => {
                let identifier = value_of::<SubjectKeyIdentifier>(value)?.0;
                self.subject_key_identifier = Some(identifier.as_bytes().to_vec());
            }
            other if extension.critical => {
                self.unknown_critical.get_or_insert(other);
            }
            _ => {}
        }
        Some(())
    }
}

/// A value that is exactly one DER encoding of `T`.
fn value_of<T: for<'a> Decode<'a> + Encode>(der: &[u8]) -> Option<T> {
    let value = T::from_der(der).ok()?;
    (value.to_der().ok()? == der).then_some(value)
}

/// Only permitted directoryName subtrees are supported. Other forms cannot be processed here, so a
/// certificate with them is refused, as RFC 5280 s4.2.1.10 demands.
fn permitted_names(der: &[u8]) -> Option<Vec<Name>> {
    let constraints = value_of::<NameConstraints>(der)?;
    if constraints.excluded_subtrees.is_some() {
        return None;
    }
    let subtrees = constraints.permitted_subtrees?;
    subtrees
        .into_iter()
        .map(|subtree| match subtree {
            GeneralSubtree {
                base: GeneralName::DirectoryName(name),
                minimum: 0,
                maximum: None,
            } => Some(name),
            _ => None,
        })
        .collect()
}

/// The URIs of complete CRLs; distribution points for some reasons or of another issuer are not supported.
fn crl_addresses(der: &[u8]) -> Option<Vec<String>> {
    let mut addresses = Vec::new();
    for point in value_of::<CrlDistributionPoints>(der)?.0 {
        let whole = point.reasons.is_none() && point.crl_issuer.is_none();
        let Some(DistributionPointName::FullName(names)) = point.distribution_point else {
            return None;
        };
        if !whole {
            return None;
        }
        addresses.extend(names.iter().filter_map(uri));
    }
    Some(addresses)
}

fn ca_issuers(der: &[u8]) -> Option<Vec<String>> {
    let descriptions = value_of::<AuthorityInfoAccessSyntax>(der)?.0;
    Some(
        descriptions
            .iter()
            .filter(|description| description.access_method == ID_AD_CA_ISSUERS)
            .filter_map(|description| uri(&description.access_location))
            .collect(),
    )
}

pub(crate) fn uri(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
        _ => None,
    }
}

/// The leftmost 160 bits of the SHA-256 of the key's point (RFC 7093 s2, method 1).
pub(crate) fn key_identifier(key: &PublicKey) -> Vec<u8> {
    sha256(key.sec1()).iter().take(20).copied().collect()
}

/// One extension in its DER form.
pub(crate) fn extension<T: AssociatedOid + Encode>(
    critical: bool,
    value: &T,
) -> Result<Extension, der::Error> {
    Ok(Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

pub(crate) fn uri_name(uri: &str) -> Result<GeneralName, der::Error> {
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?))
}

pub(crate) fn crl_distribution_points(address: &str) -> Result<Extension, der::Error> {
    let point = DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(vec![uri_name(address)?])),
        reasons: None,
        crl_issuer: None,
    };
    extension(false, &CrlDistributionPoints(vec![point]))
}

pub(crate) fn authority_info_access(ca_issuers: &str) -> Result<Extension, der::Error> {
    let description = AccessDescription {
        access_method: ID_AD_CA_ISSUERS,
        access_location: uri_name(ca_issuers)?,
    };
    extension(false, &AuthorityInfoAccessSyntax(vec![description]))
}

pub(crate) fn certificate_policies(policy: ObjectIdentifier) -> Result<Extension, der::Error> {
    let information = PolicyInformation {
        policy_identifier: policy,
        policy_qualifiers: None,
    };
    extension(false, &CertificatePolicies(vec![information]))
}

pub(crate) fn name_constraints(base: Name) -> Result<Extension, der::Error> {
    let subtree = GeneralSubtree {
        base: GeneralName::DirectoryName(base),
        minimum: 0,
        maximum: None,
    };
    let constraints = NameConstraints {
        permitted_subtrees: Some(vec![subtree]),
        excluded_subtrees: None,
    };
    extension(true, &constraints)
}

/// Nobody need ask whether this responder is revoked (RFC 6960 s4.2.2.2.1).
pub(crate) fn ocsp_nocheck() -> Result<Extension, der::Error> {
    Ok(Extension {
        extn_id: ID_PKIX_OCSP_NOCHECK,
        critical: false,
        extn_value: OctetString::new(Null.to_der()?)?,
    })
}

pub(crate) fn authority_key_identifier(identifier: &[u8]) -> Result<Extension, der::Error> {
    let value = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(identifier)?),
        ..Default::default()
    };
    extension(false, &value)
}

pub(crate) fn subject_key_identifier(identifier: &[u8]) -> Result<Extension, der::Error> {
    extension(false, &SubjectKeyIdentifier(OctetString::new(identifier)?))
}
