//! Trust documents: what a good one holds, and how the others are refused.

use semops_objects::TrustDocument;
use semops_objects::trust::MAX_LENGTH;
use semops_pki::algorithm::sha256;

use crate::hierarchy::{Hierarchy, oids};
use crate::{id, trust};

#[test]
fn a_document_says_what_it_holds() {
    let scheme = Hierarchy::new();
    let text = scheme.document();
    let document = trust(&text);
    assert_eq!(
        (document.institution(), document.version()),
        (&id("beta"), 3)
    );
    assert_eq!(document.sha256(), sha256(text.as_bytes()));
    assert_eq!(document.signing_root().der(), scheme.root.der());
    assert_eq!(document.device_root().der(), scheme.device_root.der());
    let [alfa, beta] = document.trusted() else {
        unreachable!()
    };
    assert_eq!(
        (alfa.institution(), beta.institution()),
        (&id("alfa"), &id("beta"))
    );
    let ca = &alfa.signing_cas()[0];
    assert_eq!(ca.certificate().der(), scheme.alfa.ca.der());
    assert_eq!(ca.crl().der(), scheme.alfa.crl.der());
    assert_eq!(
        ca.authorization_certificates()[0].der(),
        scheme.alfa.leaf.der()
    );
    let set: serde_json::Value = serde_json::from_str(&document.jwk_set().to_json()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    assert_eq!(set["keys"][0]["x5c"].as_array().unwrap().len(), 2);
}

/// A good document with `from` replaced by `to`, once, is refused: it blames `field` and says `rule`.
fn refused(good: &str, from: &str, to: &str, field: &str, rule: &str) {
    assert!(good.contains(from), "nothing to replace: {from}");
    let text = good.replacen(from, to, 1);
    let error = TrustDocument::parse(text.as_bytes(), &oids()).unwrap_err();
    assert_eq!(error.field(), field, "{error}");
    assert!(error.rule().to_string().contains(rule), "{rule}: {error}");
}

#[test]
fn wrong_texts() {
    let good = Hierarchy::new().document();
    let last = "[[trusted]]\ninstitution = \"beta\"";
    for (from, to, field, rule) in [
        ("version = 3", "", "document", "missing field"),
        (
            "version = 3",
            "version = 3\nx = 1",
            "document",
            "unknown field",
        ),
        (
            last,
            "[[trusted]]\nx = 1\ninstitution = \"beta\"",
            "document",
            "unknown field",
        ),
        (
            "version = 3",
            "version = 3\nversion = 3",
            "document",
            "duplicate key",
        ),
        ("version = 3", "version = 0", "version", "1 or more"),
        ("version = 3", "version = -1", "document", "invalid value"),
        ("version = 3", "version = \"3\"", "document", "invalid type"),
        ("\"beta\"", "\"Beta\"", "document", "must be 1 to 32 of a-z"),
        (
            "\"alfa\"",
            "\"gamma\"",
            "trusted.gamma.signing_ca[0]",
            "organization gamma",
        ),
        (
            "\"alfa\"",
            "\"beta\"",
            "trusted.beta.signing_ca[0]",
            "organization beta",
        ),
    ] {
        refused(&good, from, to, field, rule);
    }
}

#[test]
fn texts_that_are_none() {
    assert!(TrustDocument::parse(b"", &oids()).is_err());
    assert!(TrustDocument::parse(b"\xff", &oids()).is_err());
    let long = TrustDocument::parse(&vec![b' '; MAX_LENGTH + 1], &oids()).unwrap_err();
    assert_eq!(
        long.to_string(),
        "`document`: must be at most 8388608 octets long"
    );
}

#[test]
fn the_same_institution_twice() {
    let scheme = Hierarchy::new();
    let text = scheme.document() + &scheme.entry("alfa", &scheme.alfa);
    refused(&text, "", "", "trusted.alfa", "more than once");
}

#[test]
fn wrong_cas() {
    let (scheme, other) = (Hierarchy::new(), Hierarchy::new());
    let good = scheme.document();
    let (root, ca) = (scheme.root.to_pem(), scheme.alfa.ca.to_pem());
    let first = "trusted.alfa.signing_ca[0]";
    for (from, to, field, rule) in [
        (
            &root,
            other.root.to_pem(),
            "signing_root_crl",
            "issuer is not this CA",
        ),
        (
            &root,
            scheme.device_root.to_pem(),
            "signing_root",
            "another root",
        ),
        (&root, ca.clone(), "signing_root", "RFC 5280"),
        (
            &root,
            root.replace("CERTIFICATE", "PUBLIC KEY"),
            "signing_root",
            "PEM",
        ),
        (&ca, other.alfa.ca.to_pem(), first, "RFC 5280"),
        (&ca, scheme.alfa.leaf.to_pem(), first, "RFC 5280"),
        (&ca, root.clone(), first, "organization alfa"),
        (&ca, scheme.beta.ca.to_pem(), first, "organization alfa"),
        (&ca, String::new(), "trusted.alfa.signing_ca", "PEM"),
        (
            &ca,
            format!("{ca}{ca}"),
            "trusted.alfa.signing_ca[1]",
            "more than once",
        ),
    ] {
        refused(&good, from, &to, field, rule);
    }
}

#[test]
fn wrong_authorization_certificates() {
    let (scheme, other) = (Hierarchy::new(), Hierarchy::new());
    let good = scheme.document();
    let leaf = scheme.alfa.leaf.to_pem();
    let field = |at| format!("trusted.alfa.authorization_certificates[{at}]");
    for (to, at, rule) in [
        (scheme.beta.leaf.to_pem(), 0, "organization alfa"),
        (
            other.alfa.leaf.to_pem(),
            0,
            "none of the institution's signing CAs",
        ),
        (scheme.alfa.device.to_pem(), 0, "RFC 5280"),
        (
            scheme.alfa.ca.to_pem(),
            0,
            "none of the institution's signing CAs",
        ),
        (String::new(), 0, "PEM"),
        (format!("{leaf}\"\"\", \"\"\"{leaf}"), 1, "more than once"),
    ] {
        refused(&good, &leaf, &to, &field(at), rule);
    }
}

#[test]
fn wrong_crls() {
    let (scheme, other) = (Hierarchy::new(), Hierarchy::new());
    let good = scheme.document();
    let crl = scheme.alfa.crl_base64();
    let ca = "trusted.alfa.signing_ca[0]";
    let list = "trusted.alfa.signing_ca_crls[0]";
    for (to, field, rule) in [
        (format!("{crl}\", \"{crl}"), ca, "more than one CRL"),
        (
            scheme.beta.crl_base64(),
            list,
            "none of the institution's signing CAs",
        ),
        (
            other.alfa.crl_base64(),
            list,
            "none of the institution's signing CAs",
        ),
        ("AAAA".to_owned(), list, "DER"),
        ("AB=".to_owned(), list, "base64"),
    ] {
        refused(&good, &crl, &to, field, rule);
    }
    refused(&good, &format!("\"{crl}\""), "", ca, "no CRL");
}
