//! Members of the right type whose values break a rule, and payloads that are no object.

use semops_objects::Rule;
use serde_json::{Map, Value, json};

use crate::{Target, path};

/// Gives the string at `member`, as `payload.payee.id`, each of `texts` in turn, in both objects if they have it.
fn wrong(member: &str, texts: &[&str]) {
    let targets: Vec<_> = Target::both()
        .into_iter()
        .filter_map(|target| {
            let place = target
                .members()
                .into_iter()
                .find(|(part, pointer, name)| path(part, pointer, name) == member);
            Some((target, place?))
        })
        .collect();
    assert!(!targets.is_empty(), "no object has {member}");
    for (target, (part, pointer, name)) in &targets {
        for text in texts {
            let change =
                |object: &mut Map<String, Value>| drop(object.insert(name.clone(), json!(text)));
            let error = target.changed(part, pointer, change).expect_err(text);
            assert_eq!(error.field(), member, "{text}");
            assert!(!matches!(error.rule(), Rule::Type { .. }), "{text} {error}");
        }
    }
}

/// 32 octets in base64url, and texts of nearly the same length that are not.
const B64_32: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn wrong_digest(member: &str) {
    let (shorter, longer) = (&B64_32[1..], format!("{B64_32}A"));
    let padded = format!("{B64_32}=");
    let slack = format!("{shorter}B");
    let other_alphabet = format!("+{shorter}");
    wrong(
        member,
        &["", " ", shorter, &longer, &padded, &slack, &other_alphabet],
    );
}

#[test]
fn wrong_headers() {
    wrong(
        "header.alg",
        &[
            "none", "None", "", "HS256", "RS256", "PS256", "ES256K", "ES384", "ES512",
        ],
    );
    wrong("header.alg", &["EdDSA", "es256", "ES256 ", "ES256\u{0}"]);
    wrong(
        "header.typ",
        &[
            "",
            "JWT",
            "jwt",
            "semops-order-v2+jwt",
            "SEMOPS-ORDER-V1+JWT",
        ],
    );
    wrong(
        "header.typ",
        &[
            "application/semops-order-v1+jwt",
            "semops-authorization-v2+jwt",
        ],
    );
    wrong_digest("header.kid");
    wrong_digest("header.x5t#S256");
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
    wrong(
        "payload.jti",
        &["", "x", "00000000-0000-0000-0000-000000000000"],
    );
    wrong("payload.jti", &["01936e0e-0e80-1abc-8def-0123456789ab"]); // version 1
    wrong("payload.jti", &["01936e0e-0e80-7abc-cdef-0123456789ab"]); // another variant
    wrong(
        "payload.jti",
        &[
            "01936E0E-0E80-7ABC-8DEF-0123456789AB",
            "01936e0e0e807abc8def0123456789ab",
        ],
    );
    wrong(
        "payload.jti",
        &["urn:uuid:01936e0e-0e80-7abc-8def-0123456789ab"],
    );
}

#[test]
fn wrong_words_and_references() {
    for member in ["payload.aud", "payload.iss", "payload.payee.institution"] {
        wrong(
            member,
            &["", "Alfa", "alfa ", "al/fa", "spiffe://x", &"a".repeat(33)],
        );
    }
    wrong("payload.kind", &["", "refund", "Payment", "payment "]);
    wrong("payload.channel", &["", "pos", "REAL_POS", "real-pos"]);
    for member in [
        "payload.offer_sha256",
        "payload.order_sha256",
        "payload.policy",
    ] {
        wrong_digest(member);
    }
    wrong(
        "payload.payer",
        &[
            "",
            "A",
            B64_32,
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAAAA==",
        ],
    );
    wrong("payload.end_to_end_id", &["", "a_b", " a", &"1".repeat(36)]);
    wrong(
        "payload.uetr",
        &["", "8A562C67-CA16-48BA-B074-65581BE6F001"],
    );
    wrong("payload.uetr", &["01936e0e-0e80-7abc-8def-0123456789ab"]); // version 7
}

#[test]
fn the_orders_jti_is_of_version_7() {
    let [order, authorization] = Target::both();
    let version_4 = "8a562c67-ca16-48ba-b074-65581be6f001";
    let with = |target: &Target| {
        target.changed("payload", "", |payload| {
            payload.insert("jti".to_owned(), json!(version_4));
        })
    };
    assert_eq!(with(&order).unwrap_err().rule(), &Rule::Uuid("7"));
    assert!(with(&authorization).is_ok());
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
    wrong(
        "payload.amount.value",
        &[
            "", "0.00", "23.7", "23.720", "23", "023.72", ".72", "23.72 ",
        ],
    );
    wrong(
        "payload.amount.value",
        &["-23.72", "+23.72", "2,372", "2.372e1", "\u{662}\u{663}.72"],
    );
    wrong("payload.amount.value", &["10000000000000000.00"]);
    wrong(
        "payload.amount.currency",
        &["", "cny", "CN", "XXX", "XAU", "156", "BTC"],
    );
    wrong(
        "payload.payee.id",
        &["", " A", "A\n", "\u{e9}", &"1".repeat(36)],
    );
    wrong(
        "payload.payee.name",
        &["", " ", "a\u{0}", "a\u{202e}b", "a\u{2067}b", "Cafe\u{301}"],
    );
    wrong("payload.payee.name", &[&"x".repeat(141)]);
    let [order, _] = Target::both();
    let yen = order.changed("payload", "/amount", |amount| {
        amount.insert("currency".to_owned(), json!("JPY"));
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
fn times_no_reader_keeps_exact() {
    for target in Target::both() {
        for name in ["iat", "exp"] {
            let change = |payload: &mut Map<String, Value>| {
                drop(payload.insert(name.to_owned(), json!(1_u64 << 53)))
            };
            let error = target.changed("payload", "", change).unwrap_err();
            assert_eq!(
                (error.field(), error.rule()),
                (path("payload", "", name).as_str(), &Rule::TimeRange)
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
        let few = ["", "null", "[]", "\"x\"", "{", "1"];
        for payload in few
            .into_iter()
            .chain([&*deep, &deep_array, &trailing, &bom])
        {
            assert_eq!(target.payload_refusal(payload).field(), "payload");
            assert_eq!(target.refusal(payload, &target.payload).field(), "header");
        }
    }
}
