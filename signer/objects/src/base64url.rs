//! Strict base64url (RFC 7515 s2): no padding, no slack bits, no other alphabet; so every value has one spelling.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::error::Rule;

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Rule> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Rule::Base64url(None))
}

pub(crate) fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], Rule> {
    decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Rule::Base64url(Some(N)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_per_value() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("AA", Some(&[0][..])),
            ("-_8", Some(&[0xfb, 0xff][..])),
            ("AB", None),   // slack bits
            ("-_9", None),  // slack bits
            ("AA==", None), // padding
            ("+/8", None),  // the other alphabet
            ("A", None),    // no such length
            ("AA\n", None),
            (" AA", None),
            ("A\u{e9}", None),
        ] {
            assert_eq!(decode(text).ok().as_deref(), bytes, "{text:?}");
        }
        assert_eq!(decode_array::<2>("AA"), Err(Rule::Base64url(Some(2))));
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }
}
