//! The errors of this crate: what was wrong with a key, a signature, a request, a certificate, a CRL
//! or a profile, named precisely enough for the person who has to correct it.

use der::asn1::ObjectIdentifier;

/// A public key that this service does not use. Only ECDSA keys on the curve P-256, as an uncompressed
/// point in a SubjectPublicKeyInfo with a named curve (RFC 5480 s2), are accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are not a DER SubjectPublicKeyInfo (RFC 5280 s4.1.2.7).
    #[error("not a DER SubjectPublicKeyInfo (RFC 5280 s4.1.2.7)")]
    Malformed,
    /// Not the PEM of one PUBLIC KEY (RFC 7468 s13).
    #[error("not the PEM of a PUBLIC KEY (RFC 7468 s13)")]
    Pem,
    /// More bytes follow the SubjectPublicKeyInfo.
    #[error("bytes follow the SubjectPublicKeyInfo")]
    TrailingData,
    /// The algorithm is not id-ecPublicKey (RFC 5480 s2.1.1), for example RSA.
    #[error("the key's algorithm is {0}, not id-ecPublicKey (RFC 5480 s2.1.1)")]
    NotEc(ObjectIdentifier),
    /// The parameters are absent, implicit or explicit (RFC 5480 s2.1.1 allows a named curve only).
    #[error("the key's parameters do not name a curve (RFC 5480 s2.1.1)")]
    NoNamedCurve,
    /// The named curve is not secp256r1.
    #[error("the key's curve is {0}, not secp256r1 (P-256)")]
    OtherCurve(ObjectIdentifier),
    /// The point is in compressed form (SEC 1 s2.3.3).
    #[error("the key's point is compressed; it must be uncompressed (RFC 5480 s2.2)")]
    Compressed,
    /// The point is neither compressed nor 65 octets beginning with 04.
    #[error("the key's point is not an uncompressed P-256 point of 65 octets (RFC 5480 s2.2)")]
    BadPoint,
    /// The coordinates do not satisfy the curve equation (SP 800-56A s5.6.2.3.3).
    #[error("the key's point is not on the curve P-256")]
    NotOnCurve,
}

/// The signature is malformed or was not made by this key over this message. Which of the two is
/// deliberately not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// What is wrong with a SIGNED{} structure (RFC 5280 s4.1.1), apart from what it signs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignedError {
    /// The bytes are not DER of the sequence of to-be-signed part, algorithm and signature.
    #[error("not a DER signed structure (RFC 5280 s4.1.1)")]
    Malformed,
    /// More bytes follow the structure.
    #[error("bytes follow the signed structure")]
    TrailingData,
    /// The signature algorithm is another than ecdsa-with-SHA256 without parameters.
    #[error(
        "the signature algorithm is {0}, not ecdsa-with-SHA256 without parameters (RFC 5758 s3.2)"
    )]
    Algorithm(ObjectIdentifier),
}

/// A certification request (RFC 2986) that is refused, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Longer than [`MAX_REQUEST`](crate::request::MAX_REQUEST).
    #[error("the request has {octets} octets, more than 8192")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// PEM was expected and not found, or its label is another than CERTIFICATE REQUEST (RFC 7468 s7).
    #[error("not the PEM of a CERTIFICATE REQUEST (RFC 7468 s7)")]
    Pem,
    /// The outer structure is wrong.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// The CertificationRequestInfo is not DER (RFC 2986 s4.1).
    #[error("not a DER CertificationRequestInfo (RFC 2986 s4.1)")]
    Malformed,
    /// The version is not v1 (RFC 2986 s4.1).
    #[error("the request's version is not v1(0) (RFC 2986 s4.1)")]
    Version,
    /// The key is not acceptable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It asks for extensions; the certificate's content is the issuer's alone (RFC 2985 s5.4.2).
    #[error(
        "the request asks for extensions; the certificate's content is the issuer's alone (RFC 2985 s5.4.2)"
    )]
    ExtensionRequest,
    /// An attribute other than the two that carry nothing into a certificate.
    #[error("the request carries the attribute {0}, which is not accepted")]
    Attribute(ObjectIdentifier),
    /// Possession of the private key is not proven (RFC 2986 s4.2).
    #[error("the request's signature does not verify with its own key (RFC 2986 s4.2)")]
    BadSignature,
}

/// A certificate, or a chain of them, that is refused, with the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Longer than the bound on certificates or chains.
    #[error("{octets} octets are more than a certificate or chain may have")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// Not PEM of certificates alone (RFC 7468 s5), or not as many as expected.
    #[error("not the PEM of CERTIFICATE blocks as expected here (RFC 7468 s5)")]
    Pem,
    /// The outer structure is wrong.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// The TBSCertificate is not the DER of version v3 with its mandatory fields (RFC 5280 s4.1.2).
    #[error("not the DER of a version 3 TBSCertificate (RFC 5280 s4.1.2)")]
    Malformed,
    /// The subject's key is not acceptable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The serial number is zero, negative or longer than 20 octets.
    #[error("the serial number is not positive and of at most 20 octets (RFC 5280 s4.1.2.2)")]
    Serial,
    /// issuerUniqueID or subjectUniqueID is there.
    #[error("the certificate carries a unique identifier (RFC 5280 s4.1.2.8)")]
    UniqueIdentifier,
    /// An extension stands there twice.
    #[error("the extension {0} stands there twice (RFC 5280 s4.2)")]
    RepeatedExtension(ObjectIdentifier),
    /// A known extension's value is not what its syntax says, or uses a form that is not supported.
    #[error("the extension {0} is malformed or of an unsupported form (RFC 5280 s4.2.1)")]
    Extension(ObjectIdentifier),
    /// A critical extension that this service does not process.
    #[error("the critical extension {0} is not known (RFC 5280 s4.2)")]
    UnknownCriticalExtension(ObjectIdentifier),
    /// The issuer field is not the subject of the issuing certificate.
    #[error("the issuer is not the subject of the issuing certificate (RFC 5280 s6.1.3 (a)(4))")]
    NameChaining,
    /// authorityKeyIdentifier and the issuer's subjectKeyIdentifier differ.
    #[error("authorityKeyIdentifier is not the issuer's key identifier (RFC 5280 s4.2.1.1)")]
    KeyIdentifier,
    /// The issuing certificate is not a CA's.
    #[error("the issuing certificate is not a CA's (RFC 5280 s4.2.1.9)")]
    NotACa,
    /// The issuing certificate's key usage does not allow to sign certificates.
    #[error("the issuer's key usage lacks keyCertSign (RFC 5280 s4.2.1.3)")]
    KeyCertSign,
    /// More CAs below a CA than its pathLenConstraint allows.
    #[error("more CAs follow than pathLenConstraint allows (RFC 5280 s4.2.1.9)")]
    PathLength,
    /// A name lies outside the issuer's permitted subtrees.
    #[error("the subject lies outside the issuer's name constraint (RFC 5280 s4.2.1.10)")]
    NameConstraint,
    /// The issuer's key did not make the signature.
    #[error("the signature does not verify with the issuer's key (RFC 5280 s6.1.3 (a)(1))")]
    BadSignature,
    /// The time asked for is before notBefore or after notAfter.
    #[error(
        "{at} is outside the validity {not_before} to {not_after}, in unix seconds (RFC 5280 s6.1.3 (a)(2))"
    )]
    Validity {
        /// The time asked for, in unix seconds.
        at: i64,
        /// notBefore, in unix seconds.
        not_before: i64,
        /// notAfter, in unix seconds.
        not_after: i64,
    },
    /// The chain is empty or longer than any chain of the scheme.
    #[error("a chain has one to three certificates below its root, not {0}")]
    ChainLength(usize),
}

/// A certificate revocation list that is refused, with the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// Longer than [`MAX_CRL`](crate::crl::MAX_CRL).
    #[error("{octets} octets are more than a CRL may have")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// The outer structure is wrong.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// The TBSCertList is not DER of version v2 with its mandatory fields (RFC 5280 s5.1.2).
    #[error("not the DER of a version 2 TBSCertList (RFC 5280 s5.1.2)")]
    Malformed,
    /// nextUpdate is missing, or not after thisUpdate.
    #[error("nextUpdate is missing or not after thisUpdate (RFC 5280 s5.1.2.5)")]
    NextUpdate,
    /// CRLNumber is missing or above 2^63-1.
    #[error("CRLNumber is missing or above 2^63-1 (RFC 5280 s5.2.3)")]
    Number,
    /// authorityKeyIdentifier is missing or without a key identifier.
    #[error("authorityKeyIdentifier is missing or has no key identifier (RFC 5280 s5.2.1)")]
    AuthorityKeyIdentifier,
    /// A critical extension that this service does not process: delta, indirect and partial CRLs.
    #[error("the critical CRL extension {0} is not known (RFC 5280 s5.2)")]
    UnknownCriticalExtension(ObjectIdentifier),
    /// An extension stands there twice.
    #[error("the extension {0} stands there twice (RFC 5280 s4.2)")]
    RepeatedExtension(ObjectIdentifier),
    /// A serial number is listed twice, or is not positive.
    #[error("an entry's serial number is repeated or not positive (RFC 5280 s5.1.2.6)")]
    Serial,
    /// An entry's reason is not one that a complete CRL may state.
    #[error("an entry's reason code is unknown or removeFromCRL (RFC 5280 s5.3.1)")]
    Reason,
    /// The issuer field is not the subject of the CA's certificate, or the key identifiers differ.
    #[error("the CRL's issuer is not this CA (RFC 5280 s6.3.3 (f))")]
    Issuer,
    /// The CA's key usage does not allow to sign CRLs.
    #[error("the CA's key usage lacks cRLSign (RFC 5280 s4.2.1.3)")]
    CrlSign,
    /// The CA's key did not make the signature.
    #[error("the CRL's signature does not verify with the CA's key (RFC 5280 s6.3.3 (g))")]
    BadSignature,
}

/// What a certificate or CRL to be issued would break. Nothing with such a fault is ever signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The issuing certificate is not a CA's with keyCertSign and cRLSign.
    #[error("the issuer is no CA with keyCertSign and cRLSign (RFC 5280 s4.2.1.3, s4.2.1.9)")]
    Issuer,
    /// The issuing certificate does not allow what is to be issued.
    #[error("the issuer may not issue this: {0}")]
    NotAllowed(CertificateError),
    /// The organization is not an institution id.
    #[error("the organization is not 1 to 32 of a-z, 0-9 and '-'")]
    Organization,
    /// The leaf's organization is not its CA's.
    #[error("the organization is not that of the issuing CA")]
    OtherOrganization,
    /// The common name is empty, too long, not printable, or not the device id.
    #[error(
        "the common name is not 1 to 64 printable ASCII characters (RFC 5280 A.1, ub-common-name) or not the device id"
    )]
    CommonName,
    /// The subject is not O then CN, each once, each in UTF8String (RFC 5280 s4.1.2.6).
    #[error(
        "the subject is not O then CN in UTF8String, one attribute to each RDN (RFC 5280 s4.1.2.6)"
    )]
    Subject,
    /// The serial number is zero or longer than 20 octets.
    #[error("the serial number is not positive and of at most 20 octets (RFC 5280 s4.1.2.2)")]
    Serial,
    /// notAfter is not after notBefore, the profile's longest validity is exceeded, or a time cannot be written.
    #[error(
        "the validity is empty, too long for the profile or not representable (RFC 5280 s4.1.2.5)"
    )]
    Validity,
    /// The validity does not lie within the issuer's.
    #[error("the validity does not lie within the issuer's")]
    OutsideIssuer,
    /// The key is that of the issuing CA.
    #[error("the subject's key is the issuer's own")]
    IssuersKey,
    /// An extension is missing, superfluous, repeated or wrong in its criticality.
    #[error(
        "the extensions and their criticality are not those of the profile (RFC 5280 s4.2.1): {0}"
    )]
    Extensions(String),
    /// basicConstraints is not the profile's.
    #[error("basicConstraints is not the profile's (RFC 5280 s4.2.1.9)")]
    BasicConstraints,
    /// keyUsage is not the profile's.
    #[error("keyUsage is not the profile's (RFC 5280 s4.2.1.3)")]
    KeyUsage,
    /// extendedKeyUsage is not the profile's.
    #[error("extendedKeyUsage is not the profile's (RFC 5280 s4.2.1.12)")]
    ExtendedKeyUsage,
    /// The scheme has no such keys.
    #[error("the scheme names no extended key usage for it (RFC 5280 s4.2.1.12)")]
    UnnamedUsage,
    /// subjectAltName is not the profile's.
    #[error("subjectAltName is not the profile's (RFC 5280 s4.2.1.6)")]
    SubjectAltName,
    /// The name constraint is not the institution's O.
    #[error("nameConstraints does not permit exactly the institution's O (RFC 5280 s4.2.1.10)")]
    NameConstraints,
    /// certificatePolicies is not the profile's.
    #[error("certificatePolicies is not the profile's (RFC 5280 s4.2.1.4)")]
    CertificatePolicies,
    /// A CRL or CA certificate address is missing or not an absolute http URL.
    #[error("an address is missing or not an absolute http URL (RFC 5280 s4.2.1.13, s4.2.2.1)")]
    Address,
    /// A key identifier is not that of its key.
    #[error("a key identifier is not that of its key (RFC 5280 s4.2.1.1, s4.2.1.2)")]
    KeyIdentifier,
    /// A CRL's nextUpdate is not after its thisUpdate.
    #[error("nextUpdate is not after thisUpdate (RFC 5280 s5.1.2.5)")]
    NextUpdate,
    /// A CRL's number is zero or above 2^63-1.
    #[error("CRLNumber is not within 1 and 2^63-1 (RFC 5280 s5.2.3)")]
    CrlNumber,
    /// A CRL would list a serial number twice or one that is not positive.
    #[error("a revoked serial number is repeated or not positive (RFC 5280 s5.1.2.6)")]
    RevokedSerial,
    /// A complete CRL would say removeFromCRL.
    #[error("removeFromCRL has its place in delta CRLs alone (RFC 5280 s5.3.1)")]
    RemoveFromCrl,
    /// A value has no DER encoding here, for example a name that is not ASCII in an IA5String.
    #[error("a value has no DER encoding: {0}")]
    Encoding(String),
}

impl From<der::Error> for ProfileError {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error.to_string())
    }
}

/// A key in memory that could not be made, read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalKeyError {
    /// The system's random source or the signing failed.
    #[error("the cryptographic library could not make a key or a signature")]
    Library,
    /// The text is not the PEM of an unencrypted PRIVATE KEY (RFC 7468 s10).
    #[error("not the PEM of an unencrypted PRIVATE KEY (RFC 7468 s10)")]
    Pem,
    /// The bytes are not the PKCS#8 of a P-256 key (RFC 5958).
    #[error("not the PKCS#8 of a P-256 private key (RFC 5958 s2)")]
    NotP256,
    /// A common name that has no encoding.
    #[error("the common name has no encoding: {0}")]
    CommonName(String),
}
