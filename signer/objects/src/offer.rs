//! The offer: whatever the payee handed to the payer, known here by the SHA-256 of its exact bytes alone.
//! It may be a web request, an NFC record or the text of a QR code; nothing is normalised.

/// The `offer_sha256` of an order that answers this offer.
pub fn sha256(exact_bytes: &[u8]) -> [u8; 32] {
    semops_pki::algorithm::sha256(exact_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64url;

    #[test]
    fn every_byte_counts() {
        // The one-block example of FIPS 180-4.
        assert_eq!(
            base64url::encode(&sha256(b"abc")),
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
        );
        assert_ne!(sha256(b"abc\n"), sha256(b"abc"));
    }
}
