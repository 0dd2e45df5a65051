//! JSON Web Keys (RFC 7517): the thumbprint that names a signing key, and the JWK Set in which it is published.
//!
//! A JWK Set is a convenience. Whoever uses one first checks `x5c` up to the signing root that it trusts, that the
//! certificate's O is the authorization's `iss`, and that the JWK's key is that of `x5c[0]`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use semops_pki::algorithm::{PublicKey, sha256};
use serde::Serialize;

use crate::base64url;

/// The JWK thumbprint of a key with SHA-256 (RFC 7638 s3): the `kid` of authorizations.
pub fn thumbprint(key: &PublicKey) -> [u8; 32] {
    sha256(required_members(&base64url::encode(key.x()), &base64url::encode(key.y())).as_bytes())
}

/// The required members of an EC key in lexicographic order, without white space (RFC 7638 s3.2).
fn required_members(x: &str, y: &str) -> String {
    format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

/// A public key of purpose signature, with the certificates that say whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    key_use: &'static str,
    #[serde(rename = "x5t#S256")]
    x5t_s256: String,
    x5c: Vec<String>,
}

impl Jwk {
    /// `leaf` is the DER of the certificate of `key`, `issuers` that of the CAs above it in order, without the root.
    pub fn new(key: &PublicKey, leaf: &[u8], issuers: &[&[u8]]) -> Self {
        Self {
            kty: "EC",
            crv: "P-256",
            x: base64url::encode(key.x()),
            y: base64url::encode(key.y()),
            kid: base64url::encode(&thumbprint(key)),
            alg: key.algorithm().jose_name(),
            key_use: "sig",
            x5t_s256: base64url::encode(&sha256(leaf)),
            x5c: [leaf]
                .iter()
                .chain(issuers)
                .map(|der| STANDARD.encode(der))
                .collect(),
        }
    }

    /// The `kid`: base64url of the thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

/// A JWK Set (RFC 7517 s5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// The keys in the order in which they are published.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The set as JSON.
    #[expect(
        clippy::expect_used,
        reason = "serde_json fails on maps with keys that are no strings and on failing Serialize implementations; there are none here"
    )]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings serialize")
    }
}

impl FromIterator<Jwk> for JwkSet {
    fn from_iter<I: IntoIterator<Item = Jwk>>(keys: I) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The EC key of RFC 7517 appendix A.1.
    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn key() -> PublicKey {
        let coordinate = |text| base64url::decode_array::<32>(text).unwrap();
        PublicKey::from_sec1(&[&[4][..], &coordinate(X), &coordinate(Y)].concat()).unwrap()
    }

    #[test]
    fn thumbprint_of_a_published_key() {
        // As computed by jwcrypto 1.1.0 and by `sha256sum` over the text of RFC 7638 s3.2.
        assert_eq!(
            base64url::encode(&thumbprint(&key())),
            "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
        );
    }

    #[test]
    fn members_of_a_set() {
        let set: JwkSet = [Jwk::new(&key(), b"leaf", &[b"ca"])].into_iter().collect();
        let json: serde_json::Value = serde_json::from_str(&set.to_json()).unwrap();
        let expected = serde_json::json!({"keys": [{
            "kty": "EC", "crv": "P-256", "x": X, "y": Y, "alg": "ES256", "use": "sig",
            "kid": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s",
            "x5t#S256": base64url::encode(&sha256(b"leaf")), "x5c": ["bGVhZg==", "Y2E="],
        }]});
        assert_eq!(json, expected);
        assert_eq!(
            set.keys().iter().map(Jwk::kid).collect::<Vec<_>>(),
            [key_id()]
        );
        assert_eq!(JwkSet::default().to_json(), r#"{"keys":[]}"#);
    }

    fn key_id() -> String {
        base64url::encode(&thumbprint(&key()))
    }
}
