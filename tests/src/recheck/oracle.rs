//! The same signatures before others' eyes: authorizations and orders before jwcrypto, certificates and CRLs before
//! openssl. Of many, a sample: the last ones, each in one process.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use semops_pki::certificate::Certificate;
use serde_json::json;

use super::{
    Findings, Rule,
    authorities::Authorities,
    record::{Operation, Record},
};
use crate::{deployment::unix_now, failure::Failure, programs};

const SAMPLE: usize = 500;
const VERIFIER: &str = include_str!("oracle.py");

pub(super) fn check(
    record: &Record,
    authorities: &Authorities,
    findings: &mut Findings,
) -> Result<(), Failure> {
    jose(record, authorities, findings)?;
    let folder = tempfile::tempdir()?;
    certificates(record, authorities, folder.path(), findings)?;
    crls(record, authorities, folder.path(), findings)
}

/// jwcrypto over the last orders and their authorizations.
fn jose(
    record: &Record,
    authorities: &Authorities,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let lines = sample_of_signatures(record, authorities);
    let mut verifier = programs::python()?
        .args(["-c", VERIFIER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // It reads all before it is waited for; what it prints of a sound record is nothing.
    if let Some(mut input) = verifier.stdin.take() {
        input.write_all(lines.join("\n").as_bytes())?;
    }
    let output = verifier.wait_with_output()?;
    if !output.status.success() {
        return Err(Failure::new(
            "jwcrypto could not be asked; its words stand above",
        ));
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        findings.add(Rule::Oracle, format!("jwcrypto: {line}"));
    }
    Ok(())
}

/// One line of JSON for each signed object: its name, the certificate of the key that signed it, and its JWS.
fn sample_of_signatures(record: &Record, authorities: &Authorities) -> Vec<String> {
    let mut lines = Vec::new();
    for order in record.orders.iter().rev().take(SAMPLE) {
        let device = record.device(&order.device);
        let certificate = device.and_then(|device| record.certificate(device));
        if let Some(Ok(certificate)) = certificate.map(Certificate::from_der) {
            let name = format!("the order of operation {}", order.operation);
            lines.push(
                json!({"name": name, "pem": certificate.to_pem(), "jws": order.jws}).to_string(),
            );
        }
        let operation = record.operations.get(&order.operation);
        let jws = operation
            .and_then(Operation::signed)
            .map(String::from_utf8_lossy);
        let key = operation.and_then(|operation| authorities.keys.get(&operation.key));
        if let (Some(operation), Some(jws), Some(key)) = (operation, jws, key) {
            let pem = key.certificate.to_pem();
            lines.push(json!({"name": operation.to_string(), "pem": pem, "jws": jws}).to_string());
        }
    }
    lines
}

/// The last certificates of the CA with this key, each with its operation.
fn sample_of_certificates(record: &Record, key: &[u8]) -> Vec<(i64, Certificate)> {
    let devices = record.devices.iter().rev();
    let devices = devices.filter(|device| device.issuer_key == key);
    // One that cannot be read is found with the signatures.
    let certified = devices.filter_map(|device| {
        let certificate = Certificate::from_der(record.certificate(device)?).ok()?;
        Some((device.operation, certificate))
    });
    certified.take(SAMPLE).collect()
}

/// `openssl verify` of the last certificates of each device CA.
fn certificates(
    record: &Record,
    authorities: &Authorities,
    folder: &Path,
    findings: &mut Findings,
) -> Result<(), Failure> {
    for (id, key) in authorities
        .keys
        .iter()
        .filter(|(_, key)| key.purpose == "device-ca")
    {
        let sample = sample_of_certificates(record, id);
        // Of a clock that was ahead for a while, some may begin only later, when others have ended.
        let begins = sample
            .iter()
            .map(|(_, certificate)| certificate.not_before());
        let at = begins.fold(unix_now()?, i64::max);
        let mut files = Vec::new();
        for (operation, certificate) in &sample {
            if certificate.valid_at(at) {
                let file = folder.join(format!("{operation}.pem"));
                fs::write(&file, certificate.to_pem())?;
                files.push(file);
            }
        }
        if files.is_empty() {
            continue;
        }
        let mut command = programs::openssl()?;
        command
            .args(["verify", "-attime", &at.to_string(), "-CAfile"])
            .arg(&authorities.device_root);
        command.arg("-untrusted").arg(&key.file).args(files);
        ask(
            command,
            &format!("certificates of {}", key.institution),
            findings,
        )?;
    }
    Ok(())
}

/// `openssl crl` of the last CRLs of each CA.
fn crls(
    record: &Record,
    authorities: &Authorities,
    folder: &Path,
    findings: &mut Findings,
) -> Result<(), Failure> {
    for (id, key) in authorities
        .keys
        .iter()
        .filter(|(_, key)| key.first_crl.is_some())
    {
        let crls = record.crls.iter().filter(|crl| crl.issuer_key == *id).rev();
        let signed =
            crls.filter_map(|crl| Some((crl, record.operations.get(&crl.operation)?.signed()?)));
        for (crl, der) in signed.take(2) {
            let file = folder.join(format!("{}.crl", crl.operation));
            fs::write(&file, der)?;
            let mut command = programs::openssl()?;
            command
                .args(["crl", "-inform", "DER", "-noout", "-in"])
                .arg(&file)
                .arg("-CAfile")
                .arg(&key.file);
            let name = format!(
                "CRL {} of the {} of {}",
                crl.number, key.purpose, key.institution
            );
            let said = ask(command, &name, findings)?;
            // It exits with 0 whatever it finds.
            findings.must(Rule::Oracle, said.contains("verify OK"), || {
                format!("openssl: {name}: {said}")
            });
        }
    }
    Ok(())
}

fn ask(mut command: Command, about: &str, findings: &mut Findings) -> Result<String, Failure> {
    let output = command.output()?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    findings.must(Rule::Oracle, output.status.success(), || {
        format!("openssl: {about}: {said}")
    });
    Ok(said)
}
