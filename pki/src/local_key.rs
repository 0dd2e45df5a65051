//! Owns private keys held in memory: those of offline roots, of TLS and of phones that are played here.
//! The keys of institutions live in a token and never come near this module.

use std::fmt;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use der::SecretDocument;
use der::pem::LineEnding;
use der::zeroize::Zeroizing;

use crate::algorithm::{PublicKey, Signature};
use crate::error::LocalKeyError;
use crate::signed::assemble;
use crate::{name, request};

const PEM_LABEL: &str = "PRIVATE KEY";

/// A P-256 private key in memory. Its text forms are zeroed when dropped.
pub struct LocalKey {
    pair: EcdsaKeyPair,
    public_key: PublicKey,
}

impl LocalKey {
    /// Makes a new key from the system's random source.
    ///
    /// # Errors
    /// [`LocalKeyError::Library`] if that source fails.
    pub fn generate() -> Result<Self, LocalKeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| LocalKeyError::Library)?;
        Self::from_pair(pair)
    }

    /// Reads unencrypted PKCS#8 (RFC 5958).
    ///
    /// # Errors
    /// [`LocalKeyError::NotP256`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, LocalKeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|_| LocalKeyError::NotP256)?;
        Self::from_pair(pair)
    }

    /// Reads PEM of unencrypted PKCS#8 (RFC 7468 s10).
    ///
    /// # Errors
    /// [`LocalKeyError::Pem`] or [`LocalKeyError::NotP256`].
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, LocalKeyError> {
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| LocalKeyError::Pem)?;
        if label != PEM_LABEL {
            return Err(LocalKeyError::Pem);
        }
        Self::from_pkcs8_der(document.as_bytes())
    }

    fn from_pair(pair: EcdsaKeyPair) -> Result<Self, LocalKeyError> {
        let public_key =
            PublicKey::from_sec1(pair.public_key().as_ref()).map_err(|_| LocalKeyError::NotP256)?;
        Ok(Self { pair, public_key })
    }

    /// The key as unencrypted PKCS#8.
    ///
    /// # Errors
    /// [`LocalKeyError::Library`].
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, LocalKeyError> {
        let document = self.pair.to_pkcs8v1().map_err(|_| LocalKeyError::Library)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The key as PEM of unencrypted PKCS#8.
    ///
    /// # Errors
    /// [`LocalKeyError::Library`].
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, LocalKeyError> {
        let der = self.to_pkcs8_der()?;
        SecretDocument::try_from(der.as_slice())
            .and_then(|document| document.to_pem(PEM_LABEL, LineEnding::LF))
            .map_err(|_| LocalKeyError::Library)
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Signs `message` (which is hashed here) and gives `r || s`.
    ///
    /// # Errors
    /// [`LocalKeyError::Library`].
    pub fn sign_raw(&self, message: &[u8]) -> Result<[u8; 64], LocalKeyError> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| LocalKeyError::Library)?;
        signature
            .as_ref()
            .try_into()
            .map_err(|_| LocalKeyError::Library)
    }

    /// Signs a message whose SHA-256 is `digest`, as a token does (CKM_ECDSA), and gives `r || s`.
    ///
    /// # Errors
    /// [`LocalKeyError::Library`].
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], LocalKeyError> {
        let signature = Digest::import_less_safe(digest, &SHA256)
            .and_then(|digest| self.pair.sign_digest(&digest))
            .map_err(|_| LocalKeyError::Library)?;
        signature
            .as_ref()
            .try_into()
            .map_err(|_| LocalKeyError::Library)
    }

    /// Signs `message` and verifies the result.
    ///
    /// # Errors
    /// [`LocalKeyError::Library`].
    pub fn sign(&self, message: &[u8]) -> Result<Signature, LocalKeyError> {
        self.public_key
            .verify_raw(message, &self.sign_raw(message)?)
            .map_err(|_| LocalKeyError::Library)
    }

    /// A certification request (RFC 2986) of this key in DER, with `common_name` as its whole subject
    /// and without attributes.
    ///
    /// # Errors
    /// [`LocalKeyError`].
    pub fn certification_request(&self, common_name: &str) -> Result<Vec<u8>, LocalKeyError> {
        let info = name::common_name(common_name)
            .and_then(|subject| request::info(subject, &self.public_key))
            .map_err(|e| LocalKeyError::CommonName(e.to_string()))?;
        Ok(assemble(&info, &self.sign(&info)?))
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_key_survives_pem() {
        let key = LocalKey::generate().unwrap();
        let pem = key.to_pkcs8_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let again = LocalKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let raw = again.sign_raw(b"message").unwrap();
        assert!(key.public_key().verify_raw(b"message", &raw).is_ok());
    }

    #[test]
    fn other_texts_are_refused() {
        let key = LocalKey::generate().unwrap();
        let pem = key.to_pkcs8_pem().unwrap();
        let other = pem.replace("PRIVATE KEY", "EC PRIVATE KEY");
        assert_eq!(
            LocalKey::from_pkcs8_pem(&other).unwrap_err(),
            LocalKeyError::Pem
        );
        assert_eq!(
            LocalKey::from_pkcs8_der(b"x").unwrap_err(),
            LocalKeyError::NotP256
        );
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        let key = LocalKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "LocalKey { .. }");
    }
}
