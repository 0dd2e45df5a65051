//! Owns SIGNED{} (RFC 5280 s4.1.1): what stands between bytes to be signed and a certificate, CRL or
//! request. Everything is wrapped and unwrapped here alike, always around the exact bytes that were signed.

use std::fmt;

use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Header, Length, Reader, SliceReader, Tag};
use spki::AlgorithmIdentifierRef;

use crate::algorithm::{PublicKey, Signature, SignatureAlgorithm};
use crate::error::{BadSignature, SignedError};

/// DER that may be signed: made only by an [`Issuer`](crate::issuer::Issuer), by
/// [`root`](crate::issuer::root) or as a [request](crate::request::to_be_signed), after its profile was checked.
#[derive(Clone, PartialEq, Eq)]
pub struct ToBeSigned {
    bytes: Vec<u8>,
}

impl ToBeSigned {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The exact octets to hash and sign.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same octets, to be stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Debug for ToBeSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToBeSigned")
            .field("octets", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Puts the signed octets and their signature together: `SEQUENCE { tbs, algorithm, BIT STRING }`.
///
/// It takes octets and not [`ToBeSigned`], because a crash may lie between building and signing and the
/// octets then come from a store. The caller has verified `signature` over them.
pub fn assemble(tbs: &[u8], signature: &Signature) -> Vec<u8> {
    let algorithm = algorithm_identifier(signature.algorithm());
    wrap(tbs, &algorithm, &signature.to_der())
}

#[expect(
    clippy::expect_used,
    reason = "an encoding fails above 256 MiB only, and nothing here comes near"
)]
fn wrap(tbs: &[u8], algorithm: &AlgorithmIdentifierRef<'_>, signature: &[u8]) -> Vec<u8> {
    let tail = BitStringRef::from_bytes(signature)
        .and_then(|bits| Ok([algorithm.to_der()?, bits.to_der()?].concat()))
        .expect("an algorithm and a signature always encode");
    let mut der = Length::try_from(tbs.len().saturating_add(tail.len()))
        .and_then(|length| Header::new(Tag::Sequence, length).to_der())
        .expect("the length of a signed structure always encodes");
    der.extend_from_slice(tbs);
    der.extend_from_slice(&tail);
    der
}

pub(crate) fn algorithm_identifier(
    algorithm: SignatureAlgorithm,
) -> AlgorithmIdentifierRef<'static> {
    AlgorithmIdentifierRef {
        oid: algorithm.oid(),
        parameters: None,
    }
}

/// A signed structure taken apart. The caller bounds its length first.
pub(crate) struct Signed<'a> {
    /// The octets that were signed, as they came.
    pub(crate) tbs: &'a [u8],
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(crate) fn from_der(der: &'a [u8]) -> Result<Self, SignedError> {
        let mut outer = SliceReader::new(der).map_err(|_| SignedError::Malformed)?;
        let content = AnyRef::decode(&mut outer).map_err(|_| SignedError::Malformed)?;
        if !outer.is_finished() {
            return Err(SignedError::TrailingData);
        }
        if content.header().tag() != Tag::Sequence {
            return Err(SignedError::Malformed);
        }
        Self::parts(content.value()).map_err(|_| SignedError::Malformed)
    }

    fn parts(content: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = SliceReader::new(content)?;
        let tbs = reader.tlv_bytes()?;
        let algorithm = AlgorithmIdentifierRef::decode(&mut reader)?;
        let bits = BitStringRef::decode(&mut reader)?;
        reader.finish()?;
        let signature = bits
            .as_bytes()
            .ok_or_else(|| Tag::BitString.value_error())?;
        Ok(Self {
            tbs,
            algorithm,
            signature,
        })
    }

    pub(crate) fn check_algorithm(&self) -> Result<(), SignedError> {
        check_algorithm(&self.algorithm)
    }

    pub(crate) fn verify(&self, key: &PublicKey) -> Result<Signature, BadSignature> {
        key.verify_der(self.tbs, self.signature)
    }
}

/// Inside and outside of the signed part the algorithm must be the same one (RFC 5280 s4.1.1.2).
pub(crate) fn check_algorithm(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<(), SignedError> {
    if *algorithm == algorithm_identifier(SignatureAlgorithm::EcdsaP256Sha256) {
        Ok(())
    } else {
        Err(SignedError::Algorithm(algorithm.oid))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::local_key::LocalKey;

    fn signed() -> (LocalKey, Vec<u8>) {
        let key = LocalKey::generate().unwrap();
        let tbs = [0x30, 0x03, 0x02, 0x01, 0x07];
        let signature = key.sign(&tbs).unwrap();
        (key, assemble(&tbs, &signature))
    }

    #[test]
    fn what_is_assembled_comes_apart_and_verifies() {
        let (key, der) = signed();
        let parts = Signed::from_der(&der).unwrap();
        assert_eq!(parts.tbs, [0x30, 0x03, 0x02, 0x01, 0x07]);
        assert_eq!(parts.check_algorithm(), Ok(()));
        assert!(parts.verify(key.public_key()).is_ok());
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        let (_, mut der) = signed();
        let shorter = Signed::from_der(&der[..der.len() - 1]).map(|_| ());
        assert_eq!(shorter.unwrap_err(), SignedError::Malformed);
        der.push(0);
        let longer = Signed::from_der(&der).map(|_| ());
        assert_eq!(longer.unwrap_err(), SignedError::TrailingData);
    }

    #[test]
    fn parameters_and_other_algorithms_are_refused() {
        let with_null = AlgorithmIdentifierRef {
            oid: SignatureAlgorithm::EcdsaP256Sha256.oid(),
            parameters: Some(AnyRef::NULL),
        };
        assert!(check_algorithm(&with_null).is_err());
        let other = AlgorithmIdentifierRef {
            oid: const_oid::db::rfc5912::ECDSA_WITH_SHA_384,
            parameters: None,
        };
        assert_eq!(
            check_algorithm(&other),
            Err(SignedError::Algorithm(other.oid))
        );
    }

    #[test]
    fn a_certificate_longer_than_64_kib_gets_a_long_length() {
        let (key, _) = signed();
        let mut tbs = vec![0x30, 0x83, 0x01, 0x00, 0x00];
        tbs.resize(5 + 0x1_0000, 0);
        let signature = key.sign(&tbs).unwrap();
        let der = assemble(&tbs, &signature);
        assert_eq!(Signed::from_der(&der).unwrap().tbs, tbs);
    }
}
