//! Members of the right type whose values break a rule, and payloads that are no object.

use semops_objects::Rule;
use serde_json::{Value, json};

use crate::{Target, path};

/// Gives each member in turn a value of the right type that breaks its rule, in both objects where they have it.
fn wrong_values(part: &str, pointer: &str, rows: &[(&str, Value)]) {
    for (name, value) in rows {
        let mut tried = 0;
        for target in Target::both() {
            let has = |(of, at, member): &(&str, &str, String)| {
                (*of, *at, member.as_str()) == (part, pointer, *name)
            };
            if !target.members().iter().any(has) {
                continue;
            }
            tried += 1;
            let error = target
                .changed(part, pointer, |object| {
                    drop(object.insert((*name).to_owned(), value.clone()))
                })
                .expect_err(&format!("{name} = {value}"));
            assert_eq!(error.field(), path(part, pointer, name), "{value}");
            assert!(
                !matches!(error.rule(), Rule::Type { .. }),
                "{name} {value} {error}"
            );
        }
        assert!(tried > 0, "no object has {name}");
    }
}

const B64_31: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const B64_32: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const B64_33: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Spellings of 32 octets that are none.
fn not_32_octets(name: &str) -> Vec<(&str, Value)> {
    let padded = format!("{B64_32}=");
    let slack = format!("{}B", &B64_32[1..]);
    let plus = format!("+{}", &B64_32[1..]);
    ["", B64_31, B64_33, &padded, &slack, &plus, " "]
        .map(|text| (name, json!(text)))
        .to_vec()
}

#[test]
fn wrong_headers() {
    let words = [
        "none", "None", "", "HS256", "HS512", "RS256", "PS256", "ES256K", "ES384", "ES512",
        "EdDSA", "es256", "ES256 ",
    ];
    wrong_values("header", "", &words.map(|alg| ("alg", json!(alg))));
    let types = [
        "",
        "JWT",
        "jwt",
        "semops-order-v2+jwt",
        "SEMOPS-ORDER-V1+JWT",
        "application/semops-order-v1+jwt",
        "semops-authorization-v2+jwt",
    ];
    wrong_values("header", "", &types.map(|typ| ("typ", json!(typ))));
    wrong_values("header", "", &not_32_octets("kid"));
    wrong_values("header", "", &not_32_octets("x5t#S256"));
}

#[test]
fn one_object_is_never_the_other() {
    let [order, authorization] = Target::both();
    for (a, b) in [(&order, &authorization), (&authorization, &order)] {
        let jws = a.key.jws(&a.header, &a.payload);
        assert_eq!((b.parse)(&jws).unwrap_err().field(), "header.typ");
        assert!(
            b.refusal(&b.header, &a.payload)
                .field()
                .starts_with("payload.")
        );
    }
}

#[test]
fn wrong_payloads() {
    let jtis = [
        "",
        "01936e0e-0e80-1abc-8def-0123456789ab",
        "01936e0e-0e80-7abc-cdef-0123456789ab",
        "01936E0E-0E80-7ABC-8DEF-0123456789AB",
        "01936e0e0e807abc8def0123456789ab",
        "urn:uuid:01936e0e-0e80-7abc-8def-0123456789ab",
        "00000000-0000-0000-0000-000000000000",
        "x",
    ];
    wrong_values("payload", "", &jtis.map(|jti| ("jti", json!(jti))));
    let institutions = [
        "",
        "Alfa",
        "alfa ",
        "al/fa",
        "spiffe://x",
        "a23456789012345678901234567890123",
    ];
    wrong_values("payload", "", &institutions.map(|id| ("aud", json!(id))));
    wrong_values("payload", "", &institutions.map(|id| ("iss", json!(id))));
    wrong_values(
        "payload",
        "",
        &["", "refund", "Payment", "payment "].map(|kind| ("kind", json!(kind))),
    );
    wrong_values(
        "payload",
        "",
        &["", "pos", "REAL_POS", "real-pos"].map(|channel| ("channel", json!(channel))),
    );
    for name in ["offer_sha256", "order_sha256", "policy"] {
        wrong_values("payload", "", &not_32_octets(name));
    }
    wrong_values(
        "payload",
        "",
        &[
            "",
            "A",
            B64_32,
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAAAA==",
        ]
        .map(|payer| ("payer", json!(payer))),
    );
    wrong_values(
        "payload",
        "",
        &["", "a_b", " a", "012345678901234567890123456789012345"]
            .map(|id| ("end_to_end_id", json!(id))),
    );
    wrong_values(
        "payload",
        "",
        &[
            "",
            "8A562C67-CA16-48BA-B074-65581BE6F001",
            "01936e0e-0e80-7abc-8def-0123456789ab",
        ]
        .map(|uetr| ("uetr", json!(uetr))),
    );
    wrong_values(
        "payload",
        "",
        &[
            ("iat", json!(9_007_199_254_740_992_u64)),
            ("exp", json!(u64::MAX)),
        ],
    );
}

#[test]
fn an_authorization_is_for_the_payees_institution() {
    let [_, authorization] = Target::both();
    let other = authorization.changed("payload", "/payee", |payee| {
        payee.insert("institution".to_owned(), json!("gamma"));
    });
    let error = other.unwrap_err();
    assert_eq!(error.field(), "payload.aud");
    assert_eq!(error.rule(), &Rule::NotPayeesInstitution);
}

#[test]
fn wrong_amounts_and_payees() {
    let values = [
        "",
        "0.00",
        "23.7",
        "23.720",
        "23",
        "023.72",
        ".72",
        "-23.72",
        "+23.72",
        "2,372",
        "2.372e1",
        "23.72 ",
        "10000000000000000.00",
        "\u{662}\u{663}.72",
    ];
    wrong_values(
        "payload",
        "/amount",
        &values.map(|value| ("value", json!(value))),
    );
    wrong_values(
        "payload",
        "/amount",
        &["", "cny", "CN", "XXX", "XAU", "156", "BTC"].map(|code| ("currency", json!(code))),
    );
    wrong_values(
        "payload",
        "/payee",
        &["", "Beta", "be ta"].map(|id| ("institution", json!(id))),
    );
    wrong_values(
        "payload",
        "/payee",
        &[
            "",
            " A",
            "A\n",
            "\u{e9}",
            "012345678901234567890123456789012345",
        ]
        .map(|id| ("id", json!(id))),
    );
    let names = [
        "",
        " ",
        "a\u{0}",
        "a\u{202e}b",
        "a\u{2067}b",
        "Cafe\u{301}",
        &"x".repeat(141),
    ]
    .map(|name| ("name", json!(name)));
    wrong_values("payload", "/payee", &names);
    let [order, _] = Target::both();
    let yen = order.changed("payload", "/amount", |amount| {
        drop(amount.insert("currency".to_owned(), json!("JPY")))
    });
    assert_eq!(yen.unwrap_err().field(), "payload.amount.value");
}

#[test]
fn lifetimes() {
    for target in Target::both() {
        let with = |iat: u64, exp: u64| {
            target.changed("payload", "", |payload| {
                payload.insert("iat".to_owned(), json!(iat));
                payload.insert("exp".to_owned(), json!(exp));
            })
        };
        for (iat, exp) in [
            (0, 1),
            (100, 101),
            (100, 700),
            (9_007_199_254_740_390, 9_007_199_254_740_990),
        ] {
            assert!(with(iat, exp).is_ok(), "{iat} {exp}");
        }
        for (iat, exp) in [
            (100, 100),
            (100, 99),
            (100, 0),
            (100, 701),
            (0, 9_007_199_254_740_991),
        ] {
            let error = with(iat, exp).unwrap_err();
            assert_eq!(
                (error.field(), error.rule()),
                ("payload.exp", &Rule::Lifetime { max: 600 })
            );
        }
    }
}

#[test]
fn numbers_in_other_forms() {
    for target in Target::both() {
        let iat = if target.is_order() {
            "1800000000"
        } else {
            "1800000001"
        };
        for form in [
            format!("{iat}.0"),
            format!("{iat}e0"),
            "18E8".to_owned(),
            format!("-{iat}"),
            format!("\"{iat}\""),
            "1e400".to_owned(),
            format!("0{iat}"),
            format!("+{iat}"),
        ] {
            let error = target.payload_refusal(&target.payload.replacen(iat, &form, 1));
            let blamed = error.field() == "payload.iat" || matches!(error.rule(), Rule::Json(_));
            assert!(blamed, "{form} {error}");
        }
    }
}

#[test]
fn payloads_that_are_no_object() {
    for target in Target::both() {
        let deep = format!("{{\"jti\":{}1{}}}", "{\"a\":".repeat(300), "}".repeat(300));
        let deep_array = format!("{{\"jti\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        let trailing = format!("{}{{}}", target.payload);
        let bom = format!("\u{feff}{}", target.payload);
        for payload in ["", "null", "[]", "\"x\"", "{", "1", &deep, &trailing, &bom] {
            assert_eq!(target.payload_refusal(payload).field(), "payload");
            assert_eq!(target.refusal(payload, &target.payload).field(), "header");
        }
        assert_eq!(target.payload_refusal(&deep_array).field(), "payload.jti");
    }
}
