//! Owns what is fixed: one key, which everybody knows, the root and the CA that it signs for, and how a bit is changed.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use const_oid::ObjectIdentifier;
use semops_pki::algorithm::{PublicKey, sha256};
use semops_pki::certificate::Certificate;
use semops_pki::issuer::{Content, Issuer, root};
use semops_pki::local_key::LocalKey;
use semops_pki::profile::Oids;
use semops_pki::signed::assemble;

/// The private key that RFC 7515 publishes in its appendix A.3.1, as PKCS#8.
const PUBLISHED_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIffH1136cspYG6+0iY7\
    X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt";

static KEY: LazyLock<LocalKey> = LazyLock::new(|| {
    let der = STANDARD.decode(PUBLISHED_KEY).unwrap();
    LocalKey::from_pkcs8_der(&der).unwrap()
});

static ROOT: LazyLock<Issuer> = LazyLock::new(|| {
    let tbs = root(&content("scheme", 1), "Root", &oids()).unwrap();
    Issuer::new(certificate(tbs.bytes())).unwrap()
});

/// The middle of every validity here, in unix seconds.
pub const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// The one key.
pub fn key() -> &'static LocalKey {
    &KEY
}

/// Its public half.
pub fn public() -> &'static PublicKey {
    KEY.public_key()
}

/// The root, whose key is the one key.
pub fn issuer() -> &'static Issuer {
    &ROOT
}

/// The object identifiers of the scheme.
pub fn oids() -> Oids {
    let under = |arc: &str| ObjectIdentifier::new_unwrap(&format!("1.3.6.1.4.1.32473.{arc}"));
    Oids {
        device_eku: under("1"),
        authorization_eku: under("2"),
        audit_eku: Some(under("4")),
        statement_eku: Some(under("5")),
        device_policy: under("3"),
    }
}

/// What is asked for in a certificate of the one key.
pub fn content(organization: &str, serial: u8) -> Content<'_> {
    Content {
        organization,
        public_key: public(),
        serial: [serial; 16],
        not_before: NOW - 100 * DAY,
        not_after: NOW + 200 * DAY,
    }
}

/// SIGNED{} around `tbs`, with a good signature of the one key, whatever `tbs` is.
///
/// # Panics
/// The system has no randomness.
pub fn signed(tbs: &[u8]) -> Vec<u8> {
    assemble(tbs, &KEY.sign(tbs).unwrap())
}

fn certificate(tbs: &[u8]) -> Certificate {
    Certificate::from_der(&signed(tbs)).unwrap()
}

/// `bytes` with one bit changed. Which one follows from the bytes alone, so that a finding stays one.
///
/// # Panics
/// There are no bytes.
pub fn with_one_bit_changed(bytes: &[u8]) -> Vec<u8> {
    let digest = sha256(bytes);
    let number = u64::from_be_bytes(*digest.first_chunk().unwrap());
    let bits = u64::try_from(bytes.len()).unwrap() * 8;
    let bit = number % bits;
    let mut changed = bytes.to_vec();
    changed[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
    changed
}
