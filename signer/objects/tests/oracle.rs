//! A JOSE library that is not ours (jwcrypto) reads our orders, authorizations and JWK Set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod sample;

use std::process::{Command, Output};

use sample::{KID, Key, X5T};
use semops_objects::jwk::{Jwk, JwkSet};
use semops_objects::jws;

/// Reads argv: a JWK Set, a kid, a JWS; prints the payload once the signature has been verified with that key alone.
const VERIFIER: &str = r#"
import sys
from jwcrypto import jwk, jws
keys = jwk.JWKSet.from_json(sys.argv[1])
key = keys.get_key(sys.argv[2])
assert key is not None, "no such kid"
assert key.thumbprint() == sys.argv[2], "kid is not the RFC 7638 thumbprint"
token = jws.JWS()
token.allowed_algs = ["ES256"]
token.deserialize(sys.argv[3], key)
sys.stdout.write(token.payload.decode())
"#;

/// Runs the verifier with Debian's Python, whose jwcrypto comes from the package python3-jwcrypto.
fn jwcrypto(set: &JwkSet, kid: &str, jws: &str) -> Output {
    Command::new("/usr/bin/python3")
        .args(["-c", VERIFIER, &set.to_json(), kid, jws])
        .output()
        .expect("/usr/bin/python3 with jwcrypto (package python3-jwcrypto)")
}

fn assert_accepts(set: &JwkSet, kid: &str, jws: &str, payload_has: &str) {
    let output = jwcrypto(set, kid, jws);
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{err}");
    assert!(out.contains(payload_has), "{out}");
}

fn assert_refuses(set: &JwkSet, kid: &str, jws: &str) {
    let output = jwcrypto(set, kid, jws);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        err.contains("InvalidJWSSignature"),
        "refused for another reason: {err}"
    );
}

/// The same text with another digit in the amount; the signature stays.
fn corrupted(jws: &str) -> String {
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let dearer = semops_objects::Order {
        amount: semops_objects::Amount::parse("93.72", "CNY").unwrap(),
        ..sample::order()
    };
    let other_input = dearer.signing_input(&KID);
    let (_, payload) = other_input.split_once('.').unwrap();
    format!("{header}.{payload}.{signature}")
}

/// The keys of a phone and a bank, and both in a JWK Set. x5c is not looked at here: certificates have their own oracle.
fn keys() -> (Key, Key, JwkSet) {
    let (phone, bank) = (Key::generate(), Key::generate());
    let jwks = [
        Jwk::new(&phone.public(), b"phone", &[]),
        Jwk::new(&bank.public(), b"bank", &[b"ca"]),
    ];
    (phone, bank, jwks.into_iter().collect())
}

#[test]
fn jwcrypto_verifies_an_order_and_refuses_a_corrupt_one() {
    let (phone, _, set) = keys();
    let (kid, other) = (set.keys()[0].kid(), set.keys()[1].kid());
    let order = phone.compact(&sample::order().signing_input(&KID));
    assert_accepts(
        &set,
        kid,
        &order,
        r#""amount":{"value":"23.72","currency":"CNY"}"#,
    );
    assert_refuses(&set, other, &order);
    assert_refuses(&set, kid, &corrupted(&order));
}

#[test]
fn jwcrypto_verifies_an_authorization_and_refuses_a_corrupt_one() {
    let (_, bank, set) = keys();
    let (kid, other) = (set.keys()[1].kid(), set.keys()[0].kid());
    let authorization = sample::authorization(&sample::order(), [1; 32]);
    let input = authorization.signing_input(&bank.public(), &X5T);
    let jws = bank.compact(&input);
    assert_accepts(&set, kid, &jws, r#""payer":"AwMDAwMDAwMDAwMDAwMDAw""#);
    assert_refuses(&set, other, &jws);
    assert_refuses(&set, kid, &corrupted(&jws));
    let mut signature = bank.sign(&input);
    signature[63] ^= 1;
    assert_refuses(&set, kid, &jws::compact(&input, &signature));
}
