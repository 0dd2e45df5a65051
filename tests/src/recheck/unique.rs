//! What must not stand twice: read out of the signed objects themselves, not out of the columns that index them.
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value indexed by a name that it does not have is null"
)]

use std::collections::BTreeMap;

use semops_pki::certificate::Certificate;
use uuid::Uuid;

use super::{
    Findings, Rule,
    orders::{device_name, payload},
    record::Record,
};

pub(super) fn check(record: &Record, findings: &mut Findings) {
    orders(record, findings);
    authorizations(record, findings);
    certificates(record, findings);
}

fn orders(record: &Record, findings: &mut Findings) {
    let mut outcomes: BTreeMap<(String, String, String), u32> = BTreeMap::new();
    for order in &record.orders {
        let jti = payload(&order.jws)
            .map(|claims| claims["jti"].to_string())
            .unwrap_or_default();
        let key = (order.institution.clone(), device_name(&order.device), jti);
        *outcomes.entry(key).or_default() += 1;
    }
    for order in &record.gone.orders {
        let jti = Uuid::from_slice(&order.jti).map(|jti| format!("\"{jti}\""));
        let (device, jti) = (device_name(&order.device), jti.unwrap_or_default());
        let key = (order.institution.clone(), device, jti);
        *outcomes.entry(key).or_default() += 1;
    }
    for (order, count) in outcomes.into_iter().filter(|(_, count)| *count > 1) {
        findings.add(Rule::OneOutcome, format!("{order:?} has {count} outcomes"));
    }
}

fn authorizations(record: &Record, findings: &mut Findings) {
    let mut values = Twice::default();
    for operation in record
        .operations
        .values()
        .filter(|o| o.kind == "authorization")
    {
        let jws = operation.signed().and_then(|jws| str::from_utf8(jws).ok());
        let Some(claims) = jws.and_then(|jws| payload(jws).ok()) else {
            continue;
        };
        for member in ["jti", "payer", "order_sha256"] {
            values.see(findings, format!("{member} {}", claims[member]));
        }
    }
}

fn certificates(record: &Record, findings: &mut Findings) {
    let mut values = Twice::default();
    for device in &record.devices {
        let certificate = record.certificate(device).map(Certificate::from_der);
        let Some(Ok(certificate)) = certificate else {
            continue;
        };
        let issuer = certificate.issuer_der();
        values.see(
            findings,
            format!(
                "serial number {:02x?} of {issuer:02x?}",
                certificate.serial()
            ),
        );
        values.see(
            findings,
            format!("public key {:02x?}", certificate.public_key().sha256()),
        );
        let as_indexed = trim(&device.serial) == certificate.serial()
            && certificate.subject_organization() == Some(device.issuer.as_str())
            && certificate.subject_common_name() == Some(device_name(&device.id).as_str());
        findings.must(Rule::Consistent, as_indexed, || {
            format!("the certificate of {device} is another's")
        });
    }
}

/// Without leading zeros.
pub(super) fn trim(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|octet| **octet == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

#[derive(Default)]
struct Twice(std::collections::BTreeSet<String>);

impl Twice {
    fn see(&mut self, findings: &mut Findings, value: String) {
        if let Some(twice) = self.0.replace(value) {
            findings.add(Rule::Unique, format!("{twice} stands there twice"));
        }
    }
}
