//! Owns issuing of certificates: what an institution's CA or a root says, made into octets to sign.
//! Everything is built here, read back and checked against its profile before it becomes [`ToBeSigned`].

use std::net::IpAddr;

use der::asn1::Ia5String;
use der::{Decode, Encode, Sequence};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;

use crate::algorithm::{PublicKey, SignatureAlgorithm};
use crate::certificate::Certificate;
use crate::error::{CertificateError, ProfileError};
use crate::extensions as ext;
use crate::name;
use crate::profile::{self, Kind, Oids};
pub use crate::revocation::RevokedEntry;
use crate::signed::{ToBeSigned, algorithm_identifier};
use crate::tbs::{self, TbsCertificate};

/// Where the issuing CA's CRL and certificate are to be had: absolute http URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses<'a> {
    /// cRLDistributionPoints (RFC 5280 s4.2.1.13).
    pub crl: &'a str,
    /// caIssuers of authorityInfoAccess (RFC 5280 s4.2.2.1).
    pub ca_certificate: &'a str,
}

/// What is certified, besides the institution and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// An institution's CA for devices or for signing, constrained to the institution's O.
    InstitutionCa {
        /// CN.
        common_name: &'a str,
    },
    /// An institution's CA for TLS.
    TlsCa {
        /// CN.
        common_name: &'a str,
    },
    /// A phone: CN is the device id, the alternative name `urn:uuid:<device id>`.
    Device {
        /// A random UUID in lower case.
        device_id: &'a str,
    },
    /// The key that signs authorizations.
    Authorization {
        /// CN.
        common_name: &'a str,
    },
    /// The key that signs OCSP responses for the device CA that certifies it.
    OcspResponder {
        /// CN.
        common_name: &'a str,
    },
    /// The key that signs audit records.
    Audit {
        /// CN.
        common_name: &'a str,
    },
    /// The key that signs statements.
    Statement {
        /// CN.
        common_name: &'a str,
    },
    /// A TLS server.
    TlsServer {
        /// CN.
        common_name: &'a str,
        /// `spiffe://<scheme>/<institution>/...`
        spiffe_id: &'a str,
        /// Its DNS names.
        dns_names: &'a [&'a str],
        /// Its IP addresses.
        ip_addresses: &'a [IpAddr],
    },
    /// A TLS client.
    TlsClient {
        /// CN.
        common_name: &'a str,
        /// `spiffe://<scheme>/<institution>/<role>/<name>`
        spiffe_id: &'a str,
    },
}

impl<'a> Subject<'a> {
    fn kind(self) -> Kind {
        match self {
            Self::InstitutionCa { .. } => Kind::InstitutionCa,
            Self::TlsCa { .. } => Kind::TlsCa,
            Self::Device { .. } => Kind::Device,
            Self::Authorization { .. } => Kind::Authorization,
            Self::OcspResponder { .. } => Kind::OcspResponder,
            Self::Audit { .. } => Kind::Audit,
            Self::Statement { .. } => Kind::Statement,
            Self::TlsServer { .. } => Kind::TlsServer,
            Self::TlsClient { .. } => Kind::TlsClient,
        }
    }

    fn common_name(self) -> &'a str {
        match self {
            Self::InstitutionCa { common_name }
            | Self::TlsCa { common_name }
            | Self::Authorization { common_name }
            | Self::OcspResponder { common_name }
            | Self::Audit { common_name }
            | Self::Statement { common_name }
            | Self::TlsServer { common_name, .. }
            | Self::TlsClient { common_name, .. } => common_name,
            Self::Device { device_id } => device_id,
        }
    }

    fn alternative_names(self) -> Result<Vec<GeneralName>, der::Error> {
        match self {
            Self::InstitutionCa { .. }
            | Self::TlsCa { .. }
            | Self::Authorization { .. }
            | Self::OcspResponder { .. }
            | Self::Audit { .. }
            | Self::Statement { .. } => Ok(Vec::new()),
            Self::Device { device_id } => {
                Ok(vec![ext::uri_name(&format!("urn:uuid:{device_id}"))?])
            }
            Self::TlsClient { spiffe_id, .. } => Ok(vec![ext::uri_name(spiffe_id)?]),
            Self::TlsServer {
                spiffe_id,
                dns_names,
                ip_addresses,
                ..
            } => {
                let mut names = vec![ext::uri_name(spiffe_id)?];
                for dns_name in dns_names {
                    names.push(GeneralName::DnsName(Ia5String::new(dns_name)?));
                }
                names.extend(ip_addresses.iter().map(|ip| GeneralName::from(*ip)));
                Ok(names)
            }
        }
    }
}

/// What one certificate is to say.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// O: the institution id; of a root, the scheme's.
    pub organization: &'a str,
    /// The key that is certified.
    pub public_key: &'a PublicKey,
    /// 128 random bits (RFC 5280 s4.1.2.2 allows 159); all zero is refused.
    pub serial: [u8; 16],
    /// In unix seconds.
    pub not_before: i64,
    /// In unix seconds.
    pub not_after: i64,
}

/// A CA that issues certificates and CRLs; its private key is elsewhere.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub(crate) ca: Certificate,
    pub(crate) key_identifier: Vec<u8>,
}

impl Issuer {
    /// An issuer with the CA certificate `ca`.
    ///
    /// # Errors
    /// [`ProfileError::Issuer`] if it is no CA with keyCertSign, cRLSign and a key identifier.
    pub fn new(ca: Certificate) -> Result<Self, ProfileError> {
        let able = ca.is_ca() && ca.allows_key_cert_sign() && ca.allows_crl_sign();
        match ca.subject_key_identifier() {
            Some(identifier) if able => Ok(Self {
                key_identifier: identifier.to_vec(),
                ca,
            }),
            _ => Err(ProfileError::Issuer),
        }
    }

    /// The CA's certificate.
    pub fn ca(&self) -> &Certificate {
        &self.ca
    }

    /// Builds a certificate. `addresses` may be left out for TLS certificates, and must be for an OCSP responder's.
    ///
    /// # Errors
    /// [`ProfileError`] with the rule that the certificate would break.
    pub fn certificate(
        &self,
        content: &Content<'_>,
        subject: Subject<'_>,
        addresses: Option<Addresses<'_>>,
        oids: &Oids,
    ) -> Result<ToBeSigned, ProfileError> {
        let kind = subject.kind();
        if kind.is_ca() && self.ca.path_len() == Some(0) {
            return Err(ProfileError::NotAllowed(CertificateError::PathLength));
        }
        let names = Names {
            issuer: self.ca.tbs.subject.clone(),
            subject: name::subject(content.organization, subject.common_name())?,
        };
        let extensions = self.extensions(content, subject, addresses, oids)?;
        let der = tbs_certificate(content, names, extensions)?;
        let read = read_back(&der)?;
        profile::lint(&read, kind, &self.ca.tbs, oids)?;
        self.ca
            .check_permits(&read)
            .map_err(ProfileError::NotAllowed)?;
        Ok(ToBeSigned::new(der))
    }

    fn extensions(
        &self,
        content: &Content<'_>,
        subject: Subject<'_>,
        addresses: Option<Addresses<'_>>,
        oids: &Oids,
    ) -> Result<Vec<Extension>, der::Error> {
        let kind = subject.kind();
        let mut extensions = basic_extensions(kind, content.public_key, oids)?;
        extensions.push(ext::authority_key_identifier(&self.key_identifier)?);
        if kind == Kind::InstitutionCa {
            let base = name::organization(content.organization)?;
            extensions.push(ext::name_constraints(base)?);
        }
        let names = subject.alternative_names()?;
        if !names.is_empty() {
            extensions.push(ext::extension(false, &SubjectAltName(names))?);
        }
        if kind == Kind::Device {
            extensions.push(ext::certificate_policies(oids.device_policy)?);
        }
        if kind == Kind::OcspResponder {
            extensions.push(ext::ocsp_nocheck()?);
        }
        if let Some(addresses) = addresses {
            extensions.push(ext::crl_distribution_points(addresses.crl)?);
            extensions.push(ext::authority_info_access(addresses.ca_certificate)?);
        }
        Ok(extensions)
    }
}

/// Builds a root's certificate: self-signed, pathLen 1.
///
/// # Errors
/// [`ProfileError`] with the rule that the certificate would break.
pub fn root(
    content: &Content<'_>,
    common_name: &str,
    oids: &Oids,
) -> Result<ToBeSigned, ProfileError> {
    let subject = name::subject(content.organization, common_name)?;
    let names = Names {
        issuer: subject.clone(),
        subject,
    };
    let extensions = basic_extensions(Kind::Root, content.public_key, oids)?;
    let der = tbs_certificate(content, names, extensions)?;
    let read = read_back(&der)?;
    profile::lint(&read, Kind::Root, &read, oids)?;
    Ok(ToBeSigned::new(der))
}

/// TBSCertificate (RFC 5280 s4.1), as written here.
#[derive(Sequence)]
struct Tbs {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

struct Names {
    issuer: Name,
    subject: Name,
}

fn tbs_certificate(
    content: &Content<'_>,
    names: Names,
    extensions: Vec<Extension>,
) -> Result<Vec<u8>, ProfileError> {
    if content.serial == [0; 16] {
        return Err(ProfileError::Serial);
    }
    let time = |unix| tbs::time(unix).ok_or(ProfileError::Validity);
    let tbs = Tbs {
        version: Version::V3,
        serial_number: SerialNumber::new(&content.serial)?,
        signature: owned_algorithm(),
        issuer: names.issuer,
        validity: Validity::new(time(content.not_before)?, time(content.not_after)?),
        subject: names.subject,
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(
            content.public_key.spki_der(),
        )?,
        extensions,
    };
    Ok(tbs.to_der()?)
}

pub(crate) fn owned_algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: algorithm_identifier(SignatureAlgorithm::EcdsaP256Sha256).oid,
        parameters: None,
    }
}

fn read_back(der: &[u8]) -> Result<TbsCertificate, ProfileError> {
    TbsCertificate::from_der(der).map_err(|e| ProfileError::Encoding(e.to_string()))
}

/// What every certificate has: keyUsage and subjectKeyIdentifier; a CA's basicConstraints; a leaf's
/// extendedKeyUsage.
fn basic_extensions(
    kind: Kind,
    key: &PublicKey,
    oids: &Oids,
) -> Result<Vec<Extension>, der::Error> {
    let mut extensions = vec![
        ext::extension(true, &KeyUsage(kind.key_usage()))?,
        ext::subject_key_identifier(&ext::key_identifier(key))?,
    ];
    if let Some(path_len) = kind.path_len() {
        let constraints = BasicConstraints {
            ca: true,
            path_len_constraint: Some(path_len),
        };
        extensions.push(ext::extension(true, &constraints)?);
    }
    if let Some((usage, critical)) = kind.extended_key_usage(oids) {
        extensions.push(ext::extension(critical, &ExtendedKeyUsage(vec![usage]))?);
    }
    Ok(extensions)
}
