//! A JOSE library that is not ours (jwcrypto) reads our orders, authorizations and JWK Set.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sample;

use std::process::{Command, Output};

use sample::{KID, Key, X5T};
use semops_objects::jwk::{Jwk, JwkSet};
use semops_objects::{OrderJws, jws};

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

#[test]
fn jwcrypto_verifies_what_we_make_and_refuses_what_is_corrupt() {
    let (phone, bank) = (Key::generate(), Key::generate());
    // x5c is not looked at here: certificates have their own oracle.
    let set: JwkSet = [
        Jwk::new(&phone.public(), b"phone", &[]),
        Jwk::new(&bank.public(), b"bank", &[b"ca"]),
    ]
    .into_iter()
    .collect();
    let [phone_kid, bank_kid]: [&str; 2] = set
        .keys()
        .iter()
        .map(Jwk::kid)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();

    let order = phone.compact(&sample::order().signing_input(&KID));
    assert_accepts(
        &set,
        phone_kid,
        &order,
        r#""amount":{"value":"23.72","currency":"CNY"}"#,
    );
    assert_refuses(&set, bank_kid, &order);
    assert_refuses(&set, phone_kid, &corrupted(&order));

    let digest = OrderJws::parse(&order).unwrap().sha256();
    let input = sample::authorization(&sample::order(), digest).signing_input(&bank.public(), &X5T);
    let authorization = bank.compact(&input);
    assert_accepts(
        &set,
        bank_kid,
        &authorization,
        r#""payer":"AwMDAwMDAwMDAwMDAwMDAw""#,
    );
    let mut signature = bank.sign(&input);
    if let Some(last) = signature.last_mut() {
        *last ^= 1;
    }
    assert_refuses(&set, bank_kid, &jws::compact(&input, &signature));
    assert_refuses(&set, bank_kid, &corrupted(&authorization));
}
