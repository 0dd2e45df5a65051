//! The orders that CosignOrder refuses for their form: each with the member that broke a rule.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    recheck::recheck,
};
use semops_proto::v1;
use serde_json::{Value, json};
use softhsm_setup::scheme::Role;

use crate::bad_input::{members::Met, rows::orders};

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ask(order_jws: impl Into<String>) -> v1::CosignOrderRequest {
    v1::CosignOrderRequest {
        order_jws: order_jws.into(),
        end_to_end_id: None,
        uetr: None,
    }
}

/// Header and payload of a good order, as JSON.
fn members(customer: &Customer) -> Result<(Value, Value), Failure> {
    let input = order("1.00", "EUR")?.signing_input(&customer.phone.kid()?);
    let (header, payload) = input.split_once('.').unwrap();
    let read = |part| -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
    };
    Ok((read(header)?, read(payload)?))
}

/// These texts as a compact JWS, truly signed by the phone.
fn signed(customer: &Customer, header: &str, payload: &str) -> Result<String, Failure> {
    let input = format!("{}.{}", base64url(header), base64url(payload));
    let signature = customer.phone.sign_raw(input.as_bytes())?;
    Ok(format!("{input}.{}", base64url(signature)))
}

/// What is put in place of a member (none: it is left out), and the path that the refusal blames.
fn mistaken_payloads() -> Vec<(&'static str, Option<Value>, &'static str)> {
    let now = unix_now().unwrap();
    let amount = |value: &str, currency: &str| Some(json!({"value": value, "currency": currency}));
    let payee = |id: &str, name: &str| Some(json!({"institution": "beta", "id": id, "name": name}));
    let mut cases = vec![
        (
            "jti",
            Some(json!("b2f1c9e4-7c55-4d8e-9f43-0a1b2c3d4e5f")),
            "jti",
        ), // version 4
        (
            "jti",
            Some(json!("0191D6A0-3C1E-7B7A-9F00-000000000001")),
            "jti",
        ),
        ("iat", Some(json!("1700000000")), "iat"),
        ("iat", Some(json!(1.5)), "iat"),
        ("exp", Some(json!(now + 700)), "exp"), // more than 600 s
        ("exp", Some(json!(now - 5)), "exp"),   // before iat
        ("aud", Some(json!("Alfa")), "aud"),
        ("aud", Some(json!(["alfa"])), "aud"),
        ("kind", Some(json!("refund")), "kind"),
        ("channel", Some(json!("REAL_POS")), "channel"),
        ("amount", amount("12.9", "EUR"), "amount.value"), // EUR has 2 decimals
        ("amount", amount("12.999", "EUR"), "amount.value"),
        ("amount", amount("12", "EUR"), "amount.value"),
        ("amount", amount("12.00", "JPY"), "amount.value"), // JPY has none
        ("amount", amount("1.00", "KWD"), "amount.value"),  // KWD has 3
        ("amount", amount("0.00", "EUR"), "amount.value"),
        ("amount", amount("-1.00", "EUR"), "amount.value"),
        ("amount", amount("1,00", "EUR"), "amount.value"),
        ("amount", amount("01.00", "EUR"), "amount.value"),
        (
            "amount",
            amount("12345678901234567.00", "EUR"),
            "amount.value",
        ), // 19 digits
        ("amount", amount("1.00", "eur"), "amount.currency"),
        ("amount", amount("1.00", "ZZZ"), "amount.currency"),
        ("amount", amount("1.00", "XAU"), "amount.currency"), // no minor unit
        (
            "amount",
            Some(json!({"value": 1.0, "currency": "EUR"})),
            "amount.value",
        ),
        (
            "amount",
            Some(json!({"value": "1.00", "currency": "EUR", "tip": "1"})),
            "amount.tip",
        ),
        ("amount", Some(json!("1.00 EUR")), "amount"),
        ("payee", payee("", "Kiosk"), "payee.id"),
        ("payee", payee(&"x".repeat(36), "Kiosk"), "payee.id"),
        ("payee", payee("caf\u{e9}", "Kiosk"), "payee.id"),
        ("payee", payee("M-17", ""), "payee.name"),
        ("payee", payee("M-17", &"x".repeat(141)), "payee.name"),
        ("payee", payee("M-17", "Ki\nosk"), "payee.name"),
        ("payee", payee("M-17", "Ki\u{202e}osk"), "payee.name"),
        ("payee", payee("M-17", "Cafe\u{301}"), "payee.name"), // not NFC
        (
            "payee",
            Some(json!({"institution": "Beta", "id": "1", "name": "K"})),
            "payee.institution",
        ),
        ("offer_sha256", Some(json!("AAAA")), "offer_sha256"),
        (
            "offer_sha256",
            Some(json!(format!("{}=", "A".repeat(43)))),
            "offer_sha256",
        ),
        (
            "offer_sha256",
            Some(json!(format!("{}B", "A".repeat(42)))),
            "offer_sha256",
        ), // slack bits
        ("surprise", Some(json!(1)), "surprise"),
    ];
    for member in [
        "jti", "iat", "exp", "aud", "kind", "channel", "amount", "payee",
    ] {
        cases.push((member, None, member));
    }
    cases
}

#[tokio::test]
async fn a_malformed_order_is_refused_by_the_member_that_broke_a_rule() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let (header, payload) = members(&customer)?;
    let mut cases: Vec<(String, String)> = Vec::new();
    for (member, value, path) in mistaken_payloads() {
        let mut payload = payload.clone();
        match value {
            Some(value) => payload[member] = value,
            None => drop(payload.as_object_mut().unwrap().remove(member)),
        }
        let jws = signed(&customer, &header.to_string(), &payload.to_string())?;
        cases.push((jws, format!("payload.{path}")));
    }
    let (head, body) = (header.to_string(), payload.to_string());
    let nested = format!("{}1{}", "{\"n\":".repeat(200), "}".repeat(200));
    for (from, to, path) in [
        ("\"ES256\"", "\"none\"", "header.alg"),
        ("\"ES256\"", "\"HS256\"", "header.alg"),
        (
            "semops-order-v1+jwt",
            "semops-authorization-v1+jwt",
            "header.typ",
        ),
        ("semops-order-v1+jwt", "JWT", "header.typ"),
        ("\"kid\"", "\"x5u\"", "header.kid"),
        ("{", "{\"crit\":[],", "header.crit"),
    ] {
        cases.push((
            signed(&customer, &head.replacen(from, to, 1), &body)?,
            path.into(),
        ));
    }
    let twice = body.replacen('{', "{\"kind\":\"payment\",", 1);
    cases.push((signed(&customer, &head, &twice)?, "payload.kind".into()));
    let good = signed(&customer, &head, &body)?;
    let long = body.replacen("Kiosk", &"x".repeat(4_000), 1);
    let parts: Vec<&str> = good.split('.').collect();
    cases.extend([
        (String::new(), "jws".to_owned()),
        ("a.b".to_owned(), "jws".to_owned()),
        (format!("{good}.x"), "jws".to_owned()),
        (signed(&customer, &head, &long)?, "jws".to_owned()),
        (format!("{good}="), "signature".to_owned()),
        (
            format!("{}.{}.AAAA", parts[0], parts[1]),
            "signature".to_owned(),
        ),
        (signed(&customer, &head, "[]")?, "payload".to_owned()),
        (signed(&customer, &head, "{")?, "payload".to_owned()),
        (signed(&customer, &head, &nested)?, "payload".to_owned()),
    ]);
    let mut met = Met::demanding(vec![
        &orders::WRONG_DECIMALS,
        &orders::UNKNOWN_CURRENCY,
        &orders::NESTED_ORDER,
        &orders::WRONG_FIELD,
    ]);
    for (jws, path) in cases {
        let called = alfa.cosign_order(ask(jws)).await;
        met.blames(called, &format!("order_jws.{path}"))
            .map_err(|failure| failure.in_step(&path))?;
    }
    for (end_to_end_id, uetr, field) in [
        (Some(""), None, "end_to_end_id"),
        (Some("x\u{e9}"), None, "end_to_end_id"),
        (
            Some("123456789012345678901234567890123456"),
            None,
            "end_to_end_id",
        ),
        (None, Some("8A562C67-CA16-48BA-B074-65581BE6F001"), "uetr"),
        (None, Some("0191d6a0-3c1e-7b7a-9f00-000000000001"), "uetr"),
    ] {
        let called = alfa.cosign_order(v1::CosignOrderRequest {
            order_jws: good.clone(),
            end_to_end_id: end_to_end_id.map(str::to_owned),
            uetr: uetr.map(str::to_owned),
        });
        met.blames(called.await, field)?;
    }
    met.all()?;
    // The one from which all were made is good.
    alfa.cosign_order(ask(good)).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 1);
    Ok(())
}
