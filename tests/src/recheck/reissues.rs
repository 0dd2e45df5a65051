//! Certificates of devices in the place of others: the same device and the same key, once for each that was replaced, which is
//! revoked and told.

use std::collections::BTreeSet;

use rusqlite::Connection;
use semops_pki::certificate::Certificate;

use super::{
    Findings, Rule,
    orders::device_name,
    record::{Device, Operation, Record, all},
};

/// A certificate of a device that is to replace another one, or has.
#[derive(Clone, Debug)]
pub(super) struct Reissue {
    pub(super) operation: i64,
    pub(super) device: Vec<u8>,
    pub(super) replaces: Option<i64>,
    pub(super) replaced_at: Option<i64>,
}

/// Reads them.
pub(super) fn read(c: &Connection) -> rusqlite::Result<Vec<Reissue>> {
    let sql = "SELECT operation, device, replaces, replaced_at FROM reissue ORDER BY operation";
    all(c, sql, |r| {
        Ok(Reissue {
            operation: r.get(0)?,
            device: r.get(1)?,
            replaces: r.get(2)?,
            replaced_at: r.get(3)?,
        })
    })
}

/// The operation by which a device was enrolled, whatever has replaced its certificate since.
pub(super) fn enrolment<'a>(record: &'a Record, device: &Device) -> Option<&'a Operation> {
    let mut id = device.operation;
    while let Some(reissue) = record.reissues.iter().find(|one| one.operation == id) {
        id = reissue.replaces?;
    }
    record.operations.get(&id)
}

pub(super) fn check(record: &Record, findings: &mut Findings) {
    let mut replaced = BTreeSet::new();
    for reissue in &record.reissues {
        if let Err(fault) = check_one(record, reissue) {
            let device = device_name(&reissue.device);
            findings.add(
                Rule::Consistent,
                format!(
                    "operation {} of device {device}: {fault}",
                    reissue.operation
                ),
            );
        }
        if reissue.replaced_at.is_some() {
            let before = reissue.replaces.and_then(|id| record.operations.get(&id));
            let issuer = before.map(|before| before.key.clone());
            let once = replaced.insert((reissue.device.clone(), issuer));
            findings.must(Rule::Unique, once, || {
                let device = device_name(&reissue.device);
                format!("device {device} was certified anew twice for one CA")
            });
        }
    }
    let superseded = record.revocations.iter().filter(|one| one.device.is_none());
    findings.must(
        Rule::Consistent,
        superseded.count() == replaced.len(),
        || "not every certificate that was replaced is revoked once".to_owned(),
    );
}

fn check_one(record: &Record, reissue: &Reissue) -> Result<(), String> {
    let operation = record.operations.get(&reissue.operation);
    let operation = operation.ok_or("is not in the record")?;
    let (signed, replaced) = (operation.signed(), reissue.replaced_at.is_some());
    let ended = operation.ended_at.is_some();
    let of_device = operation.device.as_ref() == Some(&reissue.device);
    if signed.is_some() != replaced || !of_device || operation.kind != "device-certificate" {
        return Err("is of another kind, device or end".to_owned());
    }
    if ended && !replaced && reissue.replaces.is_some() {
        return Err("ended without a certificate and keeps its place".to_owned());
    }
    let Some(new) = signed else {
        return Ok(());
    };
    let before = reissue.replaces.and_then(|id| record.operations.get(&id));
    let before = before.ok_or("replaces nothing")?;
    let old = certificate(before.signed().ok_or("replaces what was not signed")?)?;
    let new = certificate(new)?;
    if old.public_key() != new.public_key() || old.subject_der() != new.subject_der() {
        return Err("is of another key or name than what it replaces".to_owned());
    }
    if new.not_after() > old.not_after() || before.key == operation.key {
        return Err("is longer valid than what it replaces, or of the same CA".to_owned());
    }
    is_revoked(record, before, &old)
}

fn is_revoked(record: &Record, before: &Operation, old: &Certificate) -> Result<(), String> {
    let same = |serial: &[u8]| super::unique::trim(serial) == super::unique::trim(old.serial());
    let mut revocations = record.revocations.iter();
    let found = revocations
        .any(|one| one.device.is_none() && one.issuer_key == before.key && same(&one.serial));
    found
        .then_some(())
        .ok_or_else(|| "what it replaces is not revoked".to_owned())
}

fn certificate(der: &[u8]) -> Result<Certificate, String> {
    Certificate::from_der(der).map_err(|error| error.to_string())
}
