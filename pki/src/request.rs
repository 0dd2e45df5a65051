//! Owns certification requests (RFC 2986). To parse one is to check it: a value of this type has an
//! acceptable key whose possession is proven, and asks for nothing else. What a key of ours is to sign of itself is built
//! here too.

use const_oid::db::rfc5912::ID_EXTENSION_REQ;
use der::asn1::{ObjectIdentifier, SetOfVec};
use der::{Decode, Encode, FixedTag, Reader, SliceReader, TagMode, TagNumber};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::attr::Attribute;
use x509_cert::name::Name;
use x509_cert::request::{CertReqInfo, Version};

use crate::algorithm::{PublicKey, sha256};
use crate::error::{ProfileError, RequestError};
use crate::signed::{Signed, ToBeSigned};
use crate::{name, profile};

/// The longest request, in octets of DER.
pub const MAX_REQUEST: usize = 8192;
/// The longest PEM of one: base64, line ends and some words around it.
const MAX_PEM: usize = 2 * MAX_REQUEST;

/// challengePassword (RFC 2985 s5.4.1).
const CHALLENGE_PASSWORD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7");
/// unstructuredName (RFC 2985 s5.4.3).
const UNSTRUCTURED_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.2");

/// A certification request with an acceptable key and a valid proof of its possession.
///
/// The subject is not looked at beyond its syntax: the subject of the certificate is the issuer's to
/// say, and an issuer may go by what is asked for. Of the attributes, challengePassword and unstructuredName are ignored, since tools add them
/// and nothing of them could reach a certificate; an extensionRequest is refused even if empty, for its
/// sender expects something that it will not get; so is every other attribute.
#[derive(Clone, Debug)]
pub struct CertificationRequest {
    public_key: PublicKey,
    subject: Name,
    info_sha256: [u8; 32],
}

impl CertificationRequest {
    /// Parses and checks DER.
    ///
    /// # Errors
    /// [`RequestError`] with the precise reason.
    pub fn parse(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST {
            return Err(RequestError::TooLong { octets: der.len() });
        }
        let signed = Signed::from_der(der)?;
        let info = Info::parse(signed.tbs)?;
        let public_key = PublicKey::from_spki_der(info.spki)?;
        signed.check_algorithm()?;
        signed
            .verify(&public_key)
            .map_err(|_| RequestError::BadSignature)?;
        info.attributes.iter().try_for_each(check_attribute)?;
        Ok(Self {
            public_key,
            subject: info.subject,
            info_sha256: sha256(signed.tbs),
        })
    }

    /// Parses PEM (RFC 7468 s7; the older label NEW CERTIFICATE REQUEST is accepted too) or DER, as files
    /// hold them.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse_pem_or_der(bytes: &[u8]) -> Result<Self, RequestError> {
        Self::parse(&der_of(bytes)?)
    }

    /// The key whose possession is proven.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// O and CN of its subject, if it has exactly these two in this order, each a UTF8String.
    pub fn organization_and_common_name(&self) -> Option<(&str, &str)> {
        name::organization_and_common_name(&self.subject)
    }

    /// SHA-256 of the DER CertificationRequestInfo as received: what a retry has in common with the first
    /// request, whose signature is a new one each time.
    pub fn info_sha256(&self) -> [u8; 32] {
        self.info_sha256
    }
}

/// What the key of an institution's CA signs of itself, to be certified as O = `organization`, CN = `common_name`.
///
/// # Errors
/// [`ProfileError`] if no certificate could have this subject.
pub fn to_be_signed(
    organization: &str,
    common_name: &str,
    public_key: &PublicKey,
) -> Result<ToBeSigned, ProfileError> {
    profile::check_subject(organization, common_name)?;
    let subject = name::subject(organization, common_name)?;
    Ok(ToBeSigned::new(info(subject, public_key)?))
}

/// CertificationRequestInfo (RFC 2986 s4.1) without attributes.
pub(crate) fn info(subject: Name, public_key: &PublicKey) -> Result<Vec<u8>, der::Error> {
    CertReqInfo {
        version: Version::V1,
        subject,
        public_key: SubjectPublicKeyInfoOwned::from_der(public_key.spki_der())?,
        attributes: SetOfVec::new(),
    }
    .to_der()
}

/// The DER of a request that comes as PEM or as DER, unchecked; for tools that pass it on.
///
/// # Errors
/// [`RequestError::Pem`], [`RequestError::TooLong`].
pub fn der_of(bytes: &[u8]) -> Result<Vec<u8>, RequestError> {
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    if bytes.len() > MAX_PEM {
        return Err(RequestError::TooLong {
            octets: bytes.len(),
        });
    }
    let (label, der) = der::pem::decode_vec(bytes).map_err(|_| RequestError::Pem)?;
    match label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Ok(der),
        _ => Err(RequestError::Pem),
    }
}

fn check_attribute(attribute: &Attribute) -> Result<(), RequestError> {
    match attribute.oid {
        CHALLENGE_PASSWORD | UNSTRUCTURED_NAME => Ok(()),
        ID_EXTENSION_REQ => Err(RequestError::ExtensionRequest),
        other => Err(RequestError::Attribute(other)),
    }
}

/// CertificationRequestInfo (RFC 2986 s4.1), with the key still as its octets: whatever key is in it,
/// the reason of the refusal is to be the key's.
struct Info<'a> {
    subject: Name,
    spki: &'a [u8],
    attributes: SetOfVec<Attribute>,
}

impl<'a> Info<'a> {
    fn parse(der: &'a [u8]) -> Result<Self, RequestError> {
        let malformed = |_| RequestError::Malformed;
        let mut outer = SliceReader::new(der).map_err(malformed)?;
        let (version, info) = outer.sequence(Self::fields).map_err(malformed)?;
        outer.finish().map_err(malformed)?;
        if version != 0 {
            return Err(RequestError::Version);
        }
        Ok(info)
    }

    fn fields(reader: &mut SliceReader<'a>) -> Result<(u8, Self), der::Error> {
        let version = u8::decode(reader)?;
        let subject = Name::decode(reader)?;
        let spki = reader.tlv_bytes()?;
        let attributes =
            reader.context_specific::<SetOfVec<Attribute>>(TagNumber(0), TagMode::Implicit)?;
        let attributes = attributes.ok_or_else(|| SetOfVec::<Attribute>::TAG.value_error())?;
        let info = Self {
            subject,
            spki,
            attributes,
        };
        Ok((version, info))
    }
}
