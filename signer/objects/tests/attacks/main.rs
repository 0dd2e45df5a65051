//! The attack table: orders and authorizations whose signatures are good and whose content is not. Each row
//! changes one thing of an accepted object and must be refused with the member and the reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod compact_form;
#[path = "../sample/mod.rs"]
mod sample;
mod values;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sample::{KID, Key, X5T};
use semops_objects::{AuthorizationJws, ObjectError, OrderJws, Rule};
use serde_json::{Map, Value, json};

/// One kind of object: the texts of an accepted one, and its parser.
struct Target {
    key: Key,
    header: String,
    payload: String,
    parse: fn(&str) -> Result<String, ObjectError>,
}

impl Target {
    fn both() -> [Self; 2] {
        let key = Key::generate();
        let order_jws = key.compact(&sample::order().signing_input(&KID));
        let digest = OrderJws::parse(&order_jws).unwrap().sha256();
        let authorization = sample::authorization(&sample::order(), digest);
        let input = authorization.signing_input(&key.public(), &X5T);
        let authorization_jws = key.compact(&input);
        let parse_order = |text: &str| Ok(OrderJws::parse(text)?.signing_input().to_owned());
        let parse_authorization =
            |text: &str| Ok(AuthorizationJws::parse(text)?.signing_input().to_owned());
        [
            Self::new(&order_jws, parse_order),
            Self::new(&authorization_jws, parse_authorization),
        ]
    }

    fn new(jws: &str, parse: fn(&str) -> Result<String, ObjectError>) -> Self {
        let parts: Vec<_> = jws
            .split('.')
            .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
            .collect();
        let text = |part: usize| String::from_utf8(parts[part].clone()).unwrap();
        Self {
            key: Key::generate(),
            header: text(0),
            payload: text(1),
            parse,
        }
    }

    fn refusal(&self, header: &str, payload: &str) -> ObjectError {
        match (self.parse)(&self.key.jws(header, payload)) {
            Ok(_) => panic!("accepted: {header} {payload}"),
            Err(error) => error,
        }
    }

    fn payload_refusal(&self, payload: &str) -> ObjectError {
        self.refusal(&self.header, payload)
    }

    fn is_order(&self) -> bool {
        self.header.contains("order")
    }

    /// All members: name of the part, path of the object in it, name of the member.
    fn members(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut all = Vec::new();
        for (part, text) in [("header", &self.header), ("payload", &self.payload)] {
            let value: Value = serde_json::from_str(text).unwrap();
            for pointer in ["", "/amount", "/payee"] {
                let Some(object) = value.pointer(pointer) else {
                    continue;
                };
                let names = object.as_object().unwrap().keys();
                all.extend(names.map(|name| (part, pointer, name.clone())));
            }
        }
        all
    }

    /// The refusal when `change` has been done to the object at `pointer` of `part`.
    fn changed(
        &self,
        part: &str,
        pointer: &str,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<String, ObjectError> {
        let edit = |text: &str| {
            let mut value: Value = serde_json::from_str(text).unwrap();
            change(value.pointer_mut(pointer).unwrap().as_object_mut().unwrap());
            value.to_string()
        };
        let (header, payload) = match part {
            "header" => (edit(&self.header), self.payload.clone()),
            _ => (self.header.clone(), edit(&self.payload)),
        };
        (self.parse)(&self.key.jws(&header, &payload))
    }
}

fn path(part: &str, pointer: &str, name: &str) -> String {
    format!("{part}{}.{name}", pointer.replace('/', "."))
}

#[test]
fn the_unchanged_objects_are_accepted() {
    for target in Target::both() {
        let jws = target.key.jws(&target.header, &target.payload);
        let input = (target.parse)(&jws).unwrap();
        assert!(jws.starts_with(&input));
        assert!(
            target.changed("payload", "", |_| {}).is_ok(),
            "other order of members"
        );
    }
}

#[test]
fn every_missing_member() {
    let optional = ["offer_sha256", "end_to_end_id", "uetr"];
    for target in Target::both() {
        for (part, pointer, name) in target.members() {
            let result = target.changed(part, pointer, |object| drop(object.remove(&name)));
            if optional.contains(&name.as_str()) {
                assert!(result.is_ok(), "{name}");
                continue;
            }
            let error = result.unwrap_err();
            assert_eq!(error.field(), path(part, pointer, &name));
            assert_eq!(error.rule(), &Rule::Missing);
        }
    }
}

#[test]
fn every_duplicate_member() {
    for target in Target::both() {
        for (part, pointer, name) in target.members() {
            let whole = if part == "header" {
                &target.header
            } else {
                &target.payload
            };
            let object: Value = serde_json::from_str(whole).unwrap();
            let object = object.pointer(pointer).unwrap();
            let member = format!("\"{name}\":{}", object[&name]);
            // The first member of the object that has one of this name is where the second is put.
            let opened = pointer
                .rsplit_once('/')
                .map_or("{".to_owned(), |(_, outer)| format!("\"{outer}\":{{"));
            let doubled = whole.replacen(&opened, &format!("{opened}{member},"), 1);
            let error = match part {
                "header" => target.refusal(&doubled, &target.payload),
                _ => target.payload_refusal(&doubled),
            };
            assert_eq!(error.field(), path(part, pointer, &name));
            assert_eq!(error.rule(), &Rule::Duplicate);
        }
    }
}

#[test]
fn every_mistyped_member() {
    for target in Target::both() {
        for (part, pointer, name) in target.members() {
            for value in [
                json!(null),
                json!(true),
                json!([]),
                json!(["ES256"]),
                json!(-1),
                json!(1.5),
                json!({"a": 1}),
                json!(7),
                json!("\u{0}"),
            ] {
                let is_time = ["iat", "exp"].contains(&name.as_str());
                let is_object = ["amount", "payee"].contains(&name.as_str());
                if (is_time && value.is_u64()) || (is_object && value.is_object()) {
                    continue;
                }
                let error = target
                    .changed(part, pointer, |object| {
                        drop(object.insert(name.clone(), value.clone()))
                    })
                    .expect_err(&name);
                assert_eq!(error.field(), path(part, pointer, &name), "{value}");
                let mistyped = matches!(error.rule(), Rule::Type { .. });
                assert_eq!(
                    mistyped,
                    is_time || is_object || !value.is_string(),
                    "{name} {value} {error}"
                );
            }
        }
    }
}

/// What other kinds of token have, and what tells a library where to find a key or how to read the rest.
const UNKNOWN: &str = "x Alg crit b64 jwk jku x5c x5u cty zip nbf sub __proto__";

#[test]
fn every_unknown_member() {
    let objects = [
        ("header", ""),
        ("payload", ""),
        ("payload", "/amount"),
        ("payload", "/payee"),
    ];
    for target in Target::both() {
        for (part, pointer) in objects {
            for name in UNKNOWN.split(' ').chain([""]) {
                let error = target
                    .changed(part, pointer, |object| {
                        drop(object.insert(name.to_owned(), json!(["exp"])))
                    })
                    .expect_err(name);
                assert_eq!(error.field(), path(part, pointer, name));
                assert_eq!(error.rule(), &Rule::Unknown);
            }
        }
    }
}

#[test]
fn members_of_the_other_object_are_unknown() {
    let [order, authorization] = Target::both();
    let with_x5t = order.changed("header", "", |header| {
        header.insert("x5t#S256".to_owned(), json!("A"));
    });
    assert_eq!(with_x5t.unwrap_err().field(), "header.x5t#S256");
    let with_account = authorization.changed("payload", "", |payload| {
        payload.insert("account".to_owned(), json!("A"));
    });
    assert_eq!(with_account.unwrap_err().field(), "payload.account");
}
