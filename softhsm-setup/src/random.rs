//! Owns the randomness of a ceremony: PINs, serial numbers and nonces.

use std::fmt::Write as _;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::error::SetupError;

/// 128 random bits: for a certificate's serial number (RFC 5280 s4.1.2.2), for a proposal's nonce.
pub(crate) fn octets() -> Result<[u8; 16], SetupError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| SetupError::Random)?;
    Ok(bytes)
}

/// A PIN of 128 random bits, as 32 hexadecimal digits.
pub(crate) fn pin() -> Result<Zeroizing<String>, SetupError> {
    let mut bytes = Zeroizing::new([0; 16]);
    rand::fill(&mut *bytes).map_err(|_| SetupError::Random)?;
    let mut pin = Zeroizing::new(String::with_capacity(32));
    for byte in bytes.iter() {
        write!(pin, "{byte:02x}").map_err(|_| SetupError::Random)?;
    }
    Ok(pin)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn pins_are_32_hexadecimal_digits_and_differ() {
        let (one, other) = (pin().unwrap(), pin().unwrap());
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }
}
