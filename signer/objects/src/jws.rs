//! The JWS Compact Serialization (RFC 7515 s7.1), strictly: three parts, one spelling of each, a P-256 signature's 64 octets.

use std::fmt;

use semops_pki::algorithm::{PublicKey, Signature};
use semops_pki::error::BadSignature;
use serde::Serialize;

use crate::base64url;
use crate::error::{ObjectError, Rule};
use crate::json::Object;

/// A compact JWS taken apart. Nothing says yet whether its signature is good or its content makes sense.
#[derive(Clone, PartialEq, Eq)]
pub struct Compact {
    text: String,
    signing_input_length: usize,
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: [u8; 64],
}

impl Compact {
    /// Takes apart `text`, of at most `max_length` octets.
    pub fn parse(text: &str, max_length: usize) -> Result<Self, ObjectError> {
        if text.len() > max_length {
            return Err(ObjectError::new("jws", Rule::TooLong { max: max_length }));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ObjectError::new("jws", Rule::Parts));
        };
        let decode = |field: &str, part: &str| {
            base64url::decode(part).map_err(|rule| ObjectError::new(field, rule))
        };
        Ok(Self {
            signing_input_length: header.len() + 1 + payload.len(),
            header: decode("header", header)?,
            payload: decode("payload", payload)?,
            signature: base64url::decode_array(signature)
                .map_err(|rule| ObjectError::new("signature", rule))?,
            text: text.to_owned(),
        })
    }

    /// The whole JWS, as it was received.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the signature is over: the first two parts and the dot between them (RFC 7515 s5.1).
    pub fn signing_input(&self) -> &str {
        self.text
            .split_at_checked(self.signing_input_length)
            .map_or("", |(input, _)| input)
    }

    /// The octets of the JOSE header.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The octets of the payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signature: r || s (RFC 7518 s3.4).
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// SHA-256 of the ASCII of the whole JWS.
    pub fn sha256(&self) -> [u8; 32] {
        semops_pki::algorithm::sha256(self.text.as_bytes())
    }

    /// Checks the signature.
    pub fn verify(&self, key: &PublicKey) -> Result<Signature, BadSignature> {
        key.verify_raw(self.signing_input().as_bytes(), &self.signature)
    }

    /// The header's members, once `alg` and `typ` are what this kind of object has (RFC 8725 s3.1, s3.11).
    pub(crate) fn header_members(&self, typ: &'static str) -> Result<Object, ObjectError> {
        let mut header = Object::parse("header", &self.header)?;
        header.word("alg", "ES256")?;
        header.word("typ", typ)?;
        Ok(header)
    }
}

/// Shows no content: orders and authorizations do not belong in logs.
impl fmt::Debug for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compact({} octets)", self.text.len())
    }
}

/// The JOSE header of an object. Members stand in this order.
#[derive(Serialize)]
pub(crate) struct Header<'a> {
    pub(crate) alg: &'static str,
    pub(crate) kid: &'a str,
    pub(crate) typ: &'static str,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub(crate) x5t_s256: Option<&'a str>,
}

pub(crate) fn signing_input(header: &Header<'_>, payload: &impl Serialize) -> String {
    format!("{}.{}", part(header), part(payload))
}

#[expect(
    clippy::expect_used,
    reason = "serde_json fails on maps with keys that are no strings and on failing Serialize implementations; there are none here"
)]
fn part(members: &impl Serialize) -> String {
    base64url::encode(&serde_json::to_vec(members).expect("plain members serialize"))
}

/// The compact serialization of a signing input and its signature, r || s.
pub fn compact(signing_input: &str, signature: &[u8; 64]) -> String {
    format!("{signing_input}.{}", base64url::encode(signature))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// RFC 7515 appendix A.3: a JWS with ES256, and its key.
    const A3: &str = "eyJhbGciOiJFUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const A3_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const A3_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn a3_key() -> PublicKey {
        let coordinate = |text| base64url::decode_array::<32>(text).unwrap();
        let point = [&[4][..], &coordinate(A3_X), &coordinate(A3_Y)].concat();
        PublicKey::from_sec1(&point).unwrap()
    }

    #[test]
    fn the_example_of_rfc_7515_verifies() {
        let jws = Compact::parse(A3, 1000).unwrap();
        assert_eq!(jws.header(), br#"{"alg":"ES256"}"#);
        assert!(jws.payload().starts_with(b"{\"iss\":\"joe\",\r\n"));
        assert!(jws.verify(&a3_key()).is_ok());
        assert_eq!(compact(jws.signing_input(), jws.signature()), A3);
        assert_eq!(jws.as_str(), A3);
        let other = A3.replacen("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Uj", 1);
        assert!(
            Compact::parse(&other, 1000)
                .unwrap()
                .verify(&a3_key())
                .is_err()
        );
    }

    #[test]
    fn refused_spellings() {
        let refuse = |text: &str| Compact::parse(text, 1000).unwrap_err().field().to_owned();
        let (input, signature) = A3.rsplit_once('.').unwrap();
        for (text, field) in [
            (String::new(), "jws"),
            ("..".to_owned(), "signature"),
            (input.to_owned(), "jws"),
            (format!("{A3}."), "jws"),
            (format!("{A3}.{signature}"), "jws"),
            (format!(".{A3}"), "jws"),
            (format!("{A3}=="), "signature"),
            (format!("{A3}\n"), "signature"),
            (format!(" {A3}"), "header"),
            (format!("{input}.{}R", &signature[..85]), "signature"), // slack bits: Q has none
            (format!("{input}.{}", &signature[..84]), "signature"),
            (format!("{input}.{signature}AA"), "signature"),
            (format!("{input}."), "signature"),
            (A3.replacen("NiJ9", "NiJ9Cg==", 1), "header"),
            (A3.replacen("NiJ9", "NiJ9Ch", 1), "header"), // slack bits
            (A3.replacen("fQ.", "fR.", 1), "payload"),    // slack bits
            (A3.replacen('-', "+", 1), "signature"),
        ] {
            assert_eq!(refuse(&text), field, "{text}");
        }
        assert!(Compact::parse(A3, A3.len()).is_ok());
        let long = Compact::parse(A3, A3.len() - 1).unwrap_err();
        assert_eq!(
            long.to_string(),
            format!("`jws` must be at most {} octets long", A3.len() - 1)
        );
    }
}
