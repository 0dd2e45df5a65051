//! Owns the one signature algorithm in use, the public keys that verify it and the type of a verified
//! signature. `PublicKey::verify_raw` and `verify_der` are the only makers of [`Signature`]: whoever
//! holds one holds a signature that was checked.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, ID_EC_PUBLIC_KEY, SECP_256_R_1};
use der::asn1::ObjectIdentifier;
use der::pem::LineEnding;
use der::{Decode, ErrorKind};
use spki::SubjectPublicKeyInfoRef;

use crate::ecdsa::{der_from_raw, raw_from_der};
use crate::error::{BadSignature, KeyError};

/// The octets of a P-256 SubjectPublicKeyInfo before its point (RFC 5480 s2): the header, id-ecPublicKey,
/// secp256r1 and the header of the BIT STRING.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The longest SubjectPublicKeyInfo looked at: an RSA key of 16,384 bits still gets its own reason.
const MAX_SPKI: usize = 4096;
/// The label of RFC 7468 s13.
const PEM_LABEL: &str = "PUBLIC KEY";

/// SHA-256 (FIPS 180-4) of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, data).as_ref());
    out
}

/// A signature algorithm with its hash and curve; a closed set, so that no algorithm is ever taken
/// from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256: ES256 (RFC 7518 s3.4), ecdsa-with-SHA256 (RFC 5758 s3.2).
    EcdsaP256Sha256,
}

impl SignatureAlgorithm {
    /// The `alg` of JOSE (RFC 7518 s3.1).
    pub fn jose_name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ES256",
        }
    }

    /// The OID of X.509's AlgorithmIdentifier, which has no parameters (RFC 5758 s3.2).
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::EcdsaP256Sha256 => ECDSA_WITH_SHA_256,
        }
    }
}

/// A P-256 public key: a point that is on the curve, in the one encoding that has one SHA-256.
#[derive(Clone)]
pub struct PublicKey {
    spki: [u8; 91],
    x: [u8; 32],
    y: [u8; 32],
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo (RFC 5480 s2).
    ///
    /// # Errors
    /// [`KeyError`] with the precise reason; nothing but an uncompressed P-256 point is accepted.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > MAX_SPKI {
            return Err(KeyError::Malformed);
        }
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|e| match e.kind() {
            ErrorKind::TrailingData { .. } => KeyError::TrailingData,
            _ => KeyError::Malformed,
        })?;
        if spki.algorithm.oid != ID_EC_PUBLIC_KEY {
            return Err(KeyError::NotEc(spki.algorithm.oid));
        }
        let curve = spki.algorithm.parameters.ok_or(KeyError::NoNamedCurve)?;
        let curve: ObjectIdentifier = curve.decode_as().map_err(|_| KeyError::NoNamedCurve)?;
        if curve != SECP_256_R_1 {
            return Err(KeyError::OtherCurve(curve));
        }
        let point = spki
            .subject_public_key
            .as_bytes()
            .ok_or(KeyError::BadPoint)?;
        Self::from_sec1(point)
    }

    /// Reads the PEM of a SubjectPublicKeyInfo (RFC 7468 s13), with white space around it or without.
    ///
    /// # Errors
    /// [`KeyError`], as [`Self::from_spki_der`].
    pub fn from_spki_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.len() > 2 * MAX_SPKI {
            return Err(KeyError::Pem);
        }
        let block = format!("{}\n", pem.trim());
        match der::pem::decode_vec(block.as_bytes()) {
            Ok((PEM_LABEL, der)) if block.starts_with("-----") => Self::from_spki_der(&der),
            _ => Err(KeyError::Pem),
        }
    }

    /// The PEM of the SubjectPublicKeyInfo, with a final line end.
    #[expect(
        clippy::expect_used,
        reason = "PEM fails on lengths that overflow a usize only"
    )]
    pub fn to_spki_pem(&self) -> String {
        der::pem::encode_string(PEM_LABEL, LineEnding::LF, &self.spki)
            .expect("91 octets fit in memory")
    }

    /// Reads an uncompressed point of 65 octets, `04 || X || Y` (SEC 1 s2.3.3), as a PKCS#11 token's
    /// CKA_EC_POINT holds it.
    ///
    /// # Errors
    /// [`KeyError`]: compressed, of another length, or not on the curve.
    pub fn from_sec1(point: &[u8]) -> Result<Self, KeyError> {
        let coordinates = match point {
            [0x02 | 0x03, rest @ ..] if rest.len() == 32 => return Err(KeyError::Compressed),
            [0x04, rest @ ..] => rest,
            _ => return Err(KeyError::BadPoint),
        };
        let (x, y) = coordinates
            .split_first_chunk::<32>()
            .ok_or(KeyError::BadPoint)?;
        let y: &[u8; 32] = y.try_into().map_err(|_| KeyError::BadPoint)?;
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_| KeyError::NotOnCurve)?;
        let mut spki = [0; 91];
        let (prefix, rest) = spki.split_at_mut(SPKI_PREFIX.len());
        prefix.copy_from_slice(&SPKI_PREFIX);
        rest.copy_from_slice(point);
        Ok(Self {
            spki,
            x: *x,
            y: *y,
            parsed,
        })
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The uncompressed point, `04 || X || Y`.
    pub fn sec1(&self) -> &[u8] {
        self.parsed.as_ref()
    }

    /// The X coordinate, big-endian.
    pub fn x(&self) -> &[u8; 32] {
        &self.x
    }

    /// The Y coordinate, big-endian.
    pub fn y(&self) -> &[u8; 32] {
        &self.y
    }

    /// SHA-256 of the DER SubjectPublicKeyInfo: equal for two keys exactly if the keys are equal.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.spki)
    }

    /// The algorithm that this key verifies.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    /// Verifies `r || s` over `message` (which is hashed here), as JWS (RFC 7518 s3.4) and PKCS#11's
    /// CKM_ECDSA give it.
    ///
    /// # Errors
    /// [`BadSignature`] if it does not verify.
    pub fn verify_raw(&self, message: &[u8], rs: &[u8; 64]) -> Result<Signature, BadSignature> {
        self.parsed
            .verify_sig(message, rs)
            .map_err(|_| BadSignature)?;
        Ok(Signature {
            algorithm: self.algorithm(),
            rs: *rs,
        })
    }

    /// Verifies a DER Ecdsa-Sig-Value (RFC 3279 s2.2.3) over `message` (which is hashed here), as X.509
    /// and PKCS#10 give it.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not strict DER, has trailing bytes or does not verify.
    pub fn verify_der(&self, message: &[u8], der: &[u8]) -> Result<Signature, BadSignature> {
        self.verify_raw(message, &raw_from_der(der)?)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    /// Leaves the key out: a device's key is a tracker and has no place in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

/// A signature that a [`PublicKey`] has verified over its message.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    algorithm: SignatureAlgorithm,
    rs: [u8; 64],
}

impl Signature {
    /// `r || s`, each of 32 octets, big-endian (RFC 7518 s3.4).
    pub fn to_raw(&self) -> [u8; 64] {
        self.rs
    }

    /// The DER Ecdsa-Sig-Value (RFC 3279 s2.2.3).
    pub fn to_der(&self) -> Vec<u8> {
        der_from_raw(&self.rs)
    }

    /// The algorithm it was verified with.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    };

    use super::*;

    fn key_pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    }

    fn public(pair: &EcdsaKeyPair) -> PublicKey {
        PublicKey::from_sec1(pair.public_key().as_ref()).unwrap()
    }

    #[test]
    fn sha256_is_that_of_fips_180() {
        let expected = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae,
            0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61,
            0xf2, 0x00, 0x15, 0xad,
        ];
        assert_eq!(sha256(b"abc"), expected);
    }

    #[test]
    fn both_encodings_give_the_same_key() {
        let key = public(&key_pair());
        let again = PublicKey::from_spki_der(key.spki_der()).unwrap();
        assert_eq!(key, again);
        assert_eq!(key.sha256(), sha256(key.spki_der()));
        assert_eq!(key.sec1()[1..33], key.x()[..]);
        assert_eq!(key.sec1()[33..], key.y()[..]);
    }

    #[test]
    fn a_key_survives_pem_and_other_texts_are_refused() {
        let key = public(&key_pair());
        let pem = key.to_spki_pem();
        assert_eq!(PublicKey::from_spki_pem(&pem), Ok(key.clone()));
        assert_eq!(PublicKey::from_spki_pem(pem.trim()), Ok(key.clone()));
        assert_eq!(PublicKey::from_spki_pem(&format!("\n{pem}\n")), Ok(key));
        for text in [
            String::new(),
            "x".repeat(10_000),
            pem.replace("PUBLIC", "PRIVATE"),
            pem.replace("-----END", "----END"),
            format!("{pem}{pem}"),
            format!("words before\n{pem}"),
            format!("{pem}words after"),
        ] {
            assert_eq!(
                PublicKey::from_spki_pem(&text),
                Err(KeyError::Pem),
                "{text}"
            );
        }
    }

    #[test]
    fn a_raw_signature_verifies_and_survives_der() {
        let pair = key_pair();
        let raw = pair.sign(&SystemRandom::new(), b"message").unwrap();
        let raw: [u8; 64] = raw.as_ref().try_into().unwrap();
        let signature = public(&pair).verify_raw(b"message", &raw).unwrap();
        let again = public(&pair)
            .verify_der(b"message", &signature.to_der())
            .unwrap();
        assert_eq!(again.to_raw(), raw);
        assert_eq!(
            public(&pair).verify_raw(b"messagE", &raw),
            Err(BadSignature)
        );
        assert_eq!(
            public(&key_pair()).verify_raw(b"message", &raw),
            Err(BadSignature)
        );
    }

    #[test]
    fn a_der_signature_of_another_library_verifies() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        for n in 0_u8..64 {
            let der = pair.sign(&SystemRandom::new(), &[n]).unwrap();
            let signature = public(&pair).verify_der(&[n], der.as_ref()).unwrap();
            assert_eq!(signature.to_der(), der.as_ref());
            let mut longer = der.as_ref().to_vec();
            longer.push(0);
            assert!(public(&pair).verify_der(&[n], &longer).is_err());
        }
    }

    #[test]
    fn a_signature_of_zeros_is_bad() {
        let key = public(&key_pair());
        assert_eq!(key.verify_raw(b"", &[0; 64]), Err(BadSignature));
        assert_eq!(key.verify_raw(b"", &[0xff; 64]), Err(BadSignature));
        assert_eq!(key.verify_der(b"", &[]), Err(BadSignature));
    }

    #[test]
    fn odd_keys_are_refused_with_their_reason() {
        let key = public(&key_pair());
        let good = key.spki_der().to_vec();
        let refused = |der: &[u8]| PublicKey::from_spki_der(der).unwrap_err();

        assert_eq!(refused(&[]), KeyError::Malformed);
        assert_eq!(refused(&good[..90]), KeyError::Malformed);
        assert_eq!(refused(&[0x30; 5000]), KeyError::Malformed);
        let mut trailing = good.clone();
        trailing.push(0);
        assert_eq!(refused(&trailing), KeyError::TrailingData);
        let mut off_curve = good.clone();
        off_curve[90] ^= 1;
        assert_eq!(refused(&off_curve), KeyError::NotOnCurve);
        let mut curve = good.clone();
        curve[22] = 0x06;
        assert!(matches!(refused(&curve), KeyError::OtherCurve(_)));
        let mut algorithm = good.clone();
        algorithm[12] = 0x02;
        assert!(matches!(refused(&algorithm), KeyError::NotEc(_)));
        let mut hybrid = good;
        hybrid[26] = 0x06;
        assert_eq!(refused(&hybrid), KeyError::BadPoint);

        let mut compressed = vec![0x02];
        compressed.extend_from_slice(key.x());
        let refused = |point: &[u8]| PublicKey::from_sec1(point).unwrap_err();
        assert_eq!(refused(&compressed), KeyError::Compressed);
        assert_eq!(refused(&[0]), KeyError::BadPoint);
        assert_eq!(refused(&[]), KeyError::BadPoint);
        assert_eq!(refused(&key.sec1()[..64]), KeyError::BadPoint);
        assert_eq!(refused(&[4; 66]), KeyError::BadPoint);
    }
}
