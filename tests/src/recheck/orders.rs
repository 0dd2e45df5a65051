//! Orders and their authorizations, read as plain JSON: the phone signed the order, the authorization says the same.
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value indexed by a name that it does not have is null"
)]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::Amount;
use semops_pki::{algorithm::sha256, certificate::Certificate};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Findings, MICROS, Rule,
    record::{Device, Operation, Order, Record},
    signatures::verify_compact,
};

/// Copied from the order to the authorization.
const COPIED: [&str; 5] = ["kind", "channel", "amount", "payee", "offer_sha256"];

pub(super) fn check(record: &Record, findings: &mut Findings) {
    for order in &record.orders {
        let Some(operation) = record.operations.get(&order.operation) else {
            findings.add(
                Rule::Consistent,
                format!("an order without operation {}", order.operation),
            );
            continue;
        };
        check_reservation(order, operation, findings);
        if let Err(fault) = check_order(record, order, operation) {
            findings.add(Rule::Authorization, format!("{operation}: order: {fault}"));
        }
        if let Some(artifact) = operation.signed()
            && let Err(fault) = check_authorization(record, order, operation, artifact)
        {
            findings.add(Rule::Authorization, format!("{operation}: {fault}"));
        }
    }
    check_count(record, findings);
}

/// Money is reserved for an order as long as it may be, or is, authorized.
fn check_reservation(order: &Order, operation: &Operation, findings: &mut Findings) {
    let reserved = ["PENDING", "AUTHORIZED"].contains(&operation.state.as_str());
    findings.must(
        Rule::Limits,
        reserved == order.reserved_at.is_some(),
        || {
            format!(
                "{operation} is {} and its money is reserved at {:?}",
                operation.state, order.reserved_at
            )
        },
    );
}

/// As many authorizations as orders.
fn check_count(record: &Record, findings: &mut Findings) {
    let authorizations = record
        .operations
        .values()
        .filter(|o| o.kind == "authorization")
        .count();
    findings.must(
        Rule::Consistent,
        authorizations == record.orders.len(),
        || {
            format!(
                "{authorizations} authorizations of {} orders",
                record.orders.len()
            )
        },
    );
}

fn check_order(record: &Record, order: &Order, operation: &Operation) -> Result<(), String> {
    let kid = header(&order.jws)?["kid"].clone();
    let of_kid = |der: &&[u8]| kid == URL_SAFE_NO_PAD.encode(sha256(der));
    let certificate = record
        .certificates(&order.device, operation.begun_at)
        .find(of_kid)
        .ok_or("its device had no such certificate")?;
    let certificate = Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    verify_compact(&order.jws, certificate.public_key())?;
    let claims = payload(&order.jws)?;
    let amount = Amount::parse(
        text(&claims, "/amount/value"),
        text(&claims, "/amount/currency"),
    );
    let amount = amount.map_err(|e| e.to_string())?;
    let jti = Uuid::parse_str(text(&claims, "/jti")).map_err(|e| e.to_string())?;
    all([
        (
            "aud",
            claims["aud"] == order.institution.as_str()
                && order.institution == operation.institution,
        ),
        (
            "jti",
            jti.as_bytes().as_slice() == order.jti && operation.object == jti.to_string(),
        ),
        ("device", operation.device.as_ref() == Some(&order.device)),
        ("currency", amount.currency().code() == order.currency),
        ("amount", i64::try_from(amount.minor()) == Ok(order.minor)),
        (
            "exp",
            claims["exp"].as_i64().map(|exp| exp.saturating_mul(MICROS))
                == Some(operation.expires_at),
        ),
    ])
}

fn check_authorization(
    record: &Record,
    order: &Order,
    operation: &Operation,
    jws: &[u8],
) -> Result<(), String> {
    let jws = str::from_utf8(jws).map_err(|e| e.to_string())?;
    let (ordered, claims) = (payload(&order.jws)?, payload(jws)?);
    let policy = operation.policy.as_deref().unwrap_or_default();
    let known = record.documents.iter().any(|document| {
        document.kind == "policy"
            && document.institution == order.institution
            && sha256(&document.bytes) == policy
    });
    let (iat, exp) = (
        claims["iat"].as_i64().unwrap_or(0),
        claims["exp"].as_i64().unwrap_or(0),
    );
    all([
        ("typ", header(jws)?["typ"] == "semops-authorization-v1+jwt"),
        ("iss", claims["iss"] == order.institution.as_str()),
        ("aud", claims["aud"] == ordered["payee"]["institution"]),
        (
            "order_sha256",
            claims["order_sha256"] == URL_SAFE_NO_PAD.encode(sha256(order.jws.as_bytes())),
        ),
        (
            "a member of the order",
            COPIED
                .iter()
                .all(|member| claims[member] == ordered[member]),
        ),
        (
            "policy",
            known && claims["policy"] == URL_SAFE_NO_PAD.encode(policy),
        ),
        (
            "iat",
            iat <= operation.begun_at / MICROS && operation.begun_at / MICROS - iat <= 10,
        ),
        ("exp", iat < exp && exp - iat <= 600),
    ])
}

fn all<const N: usize>(members: [(&str, bool); N]) -> Result<(), String> {
    let wrong: Vec<&str> = members
        .into_iter()
        .filter(|(_, right)| !right)
        .map(|(name, _)| name)
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("wrong {}", wrong.join(", ")))
    }
}

/// The payload of a compact JWS as JSON.
pub(super) fn payload(jws: &str) -> Result<Value, String> {
    part(jws, 1)
}

fn header(jws: &str) -> Result<Value, String> {
    part(jws, 0)
}

fn part(jws: &str, index: usize) -> Result<Value, String> {
    let part = jws.split('.').nth(index).ok_or("not three parts")?;
    let octets = URL_SAFE_NO_PAD.decode(part).map_err(|e| e.to_string())?;
    serde_json::from_slice(&octets).map_err(|e| e.to_string())
}

fn text<'a>(claims: &'a Value, pointer: &str) -> &'a str {
    claims
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A device id as text.
pub(super) fn device_name(id: &[u8]) -> String {
    Uuid::from_slice(id).map_or_else(|_| format!("{id:02x?}"), |id| id.to_string())
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "device {} of {}", device_name(&self.id), self.issuer)
    }
}
