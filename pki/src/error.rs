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
