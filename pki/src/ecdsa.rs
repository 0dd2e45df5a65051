//! Owns the two encodings of an ECDSA signature and the way between them: `r || s` of JOSE and PKCS#11,
//! and the DER Ecdsa-Sig-Value (RFC 3279 s2.2.3) of X.509.

use der::asn1::UintRef;
use der::{Decode, Encode, Sequence};

use crate::error::BadSignature;

/// The longest Ecdsa-Sig-Value of P-256: two INTEGERs of 33 octets with their headers.
const MAX_DER_SIGNATURE: usize = 72;

/// Ecdsa-Sig-Value (RFC 3279 s2.2.3).
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// `r || s` of strict DER; every other encoding of the same numbers is refused.
pub(crate) fn raw_from_der(der: &[u8]) -> Result<[u8; 64], BadSignature> {
    if der.len() > MAX_DER_SIGNATURE {
        return Err(BadSignature);
    }
    let value = EcdsaSigValue::from_der(der).map_err(|_| BadSignature)?;
    let mut rs = [0; 64];
    let (r, s) = rs.split_at_mut(32);
    right_align(r, value.r.as_bytes())?;
    right_align(s, value.s.as_bytes())?;
    Ok(rs)
}

/// Copies the big-endian `value` to the end of the zeroed `field`.
fn right_align(field: &mut [u8], value: &[u8]) -> Result<(), BadSignature> {
    let start = field.len().checked_sub(value.len()).ok_or(BadSignature)?;
    let (_, tail) = field.split_at_mut(start);
    tail.copy_from_slice(value);
    Ok(())
}

/// The DER of `r || s`.
#[expect(
    clippy::expect_used,
    reason = "two non-negative integers of at most 33 octets always encode"
)]
pub(crate) fn der_from_raw(rs: &[u8; 64]) -> Vec<u8> {
    let (r, s) = rs.split_at(32);
    UintRef::new(r)
        .and_then(|r| UintRef::new(s).map(|s| EcdsaSigValue { r, s }))
        .and_then(|value| value.to_der())
        .expect("an Ecdsa-Sig-Value of P-256 always encodes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    /// Numbers of 32 octets with leading zeros or a high bit, where the DER form changes its length.
    fn number() -> impl Strategy<Value = [u8; 32]> {
        (any::<[u8; 32]>(), 0_usize..32).prop_map(|(mut number, zeros)| {
            number[..zeros].fill(0);
            number
        })
    }

    proptest! {
        #[test]
        fn raw_and_der_are_each_others_inverse(r in number(), s in number()) {
            let mut rs = [0; 64];
            rs[..32].copy_from_slice(&r);
            rs[32..].copy_from_slice(&s);
            let der = der_from_raw(&rs);
            prop_assert!(der.len() <= MAX_DER_SIGNATURE);
            prop_assert_eq!(raw_from_der(&der), Ok(rs));
        }

        #[test]
        fn any_accepted_der_is_the_only_encoding(der in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(rs) = raw_from_der(&der) {
                prop_assert_eq!(der_from_raw(&rs), der);
            }
        }

        #[test]
        fn integers_with_needless_zeros_are_refused(r in number(), s in number()) {
            let mut der = vec![0x30, 70, 0x02, 34, 0, 0];
            der.extend_from_slice(&r);
            der.extend_from_slice(&[0x02, 32]);
            der.extend_from_slice(&s);
            prop_assert_eq!(raw_from_der(&der), Err(BadSignature));
        }
    }
}
