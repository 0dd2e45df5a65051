//! Every stored signature: over the recorded bytes, by a key of the operation's institution and of the right purpose.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::jwk::thumbprint;
use semops_pki::{
    algorithm::PublicKey, certificate::Certificate, crl::CertificateRevocationList,
    request::CertificationRequest,
};

use super::{
    Findings, Rule,
    authorities::{Authorities, Key},
    record::{Operation, Record},
};

/// The most octets before the TBS in a SIGNED{}: tag and length of the outer SEQUENCE.
const MAX_HEADER: usize = 6;

pub(super) fn check(record: &Record, authorities: &Authorities, findings: &mut Findings) {
    for operation in record.operations.values() {
        let ended = operation.state != "PENDING";
        findings.must(
            Rule::Consistent,
            ended == operation.ended_at.is_some(),
            || {
                format!(
                    "{operation} is {} and has {:?} as its end",
                    operation.state, operation.ended_at
                )
            },
        );
        let Some(artifact) = operation.signed() else {
            continue;
        };
        let in_time = operation
            .ended_at
            .is_some_and(|ended| ended < operation.expires_at);
        findings.must(Rule::Signature, in_time, || {
            format!("{operation} was signed past its time")
        });
        if let Err(fault) = check_signature(record, authorities, operation, artifact) {
            findings.add(Rule::Signature, format!("{operation}: {fault}"));
        }
    }
}

/// By a key that may sign it, over the recorded bytes.
fn check_signature(
    record: &Record,
    authorities: &Authorities,
    operation: &Operation,
    artifact: &[u8],
) -> Result<(), String> {
    if operation.kind == "certification-request" {
        // Signed by the new key itself, which nobody has certified.
        return verify_request(record, operation, artifact);
    }
    let key = authorities.keys.get(&operation.key);
    let key = key.ok_or("names a key that nobody has")?;
    let own = key.institution == operation.institution;
    if !own || !may_sign(key.purpose, &operation.kind) {
        return Err(format!(
            "was signed by the {} key of {}",
            key.purpose, key.institution
        ));
    }
    verify(operation, artifact, key)?;
    if operation.kind == "key-certificate" {
        return check_usage(record, authorities, operation, artifact);
    }
    Ok(())
}

/// Of the key that was asked for, by whoever certifies keys of its purpose, and for that purpose alone.
fn check_usage(
    record: &Record,
    authorities: &Authorities,
    operation: &Operation,
    artifact: &[u8],
) -> Result<(), String> {
    let certificate = Certificate::from_der(artifact).map_err(|e| e.to_string())?;
    let mut made = record.new_keys.iter();
    let made = made.find(|new| new.operation == Some(operation.id));
    let made = made.ok_or("certifies a key that was not made for it")?;
    let by = authorities.keys.get(&operation.key).map(|key| key.purpose);
    let of = Some(thumbprint(certificate.public_key()).to_vec()) == made.key;
    let usage = authorities.usage(&certificate);
    let right =
        usage.is_some_and(|(purpose, issuer)| purpose == made.purpose && by == Some(issuer));
    (of && right)
        .then_some(())
        .ok_or_else(|| "certifies another key, or for another purpose".to_owned())
}

/// Nothing was begun before the key's time, or after it.
pub(super) fn check_times(record: &Record, findings: &mut Findings) {
    for operation in record.operations.values() {
        let Some((from, until)) = record.active.get(&operation.key) else {
            continue;
        };
        let ended = until.is_some_and(|until| until <= operation.begun_at);
        // A CA that issues no more goes on with its CRLs, and a new key of a CA asks to be certified.
        let early = from.is_some_and(|from| operation.begun_at < from);
        let (late, early) = match operation.kind.as_str() {
            "crl" => (false, early),
            "certification-request" => (false, false),
            _ => (ended, early),
        };
        findings.must(Rule::Signature, !late && !early, || {
            format!("{operation} was begun outside its key's time")
        });
    }
}

/// What is counted with each key is what is stored of it, and what is not kept any longer.
pub(super) fn check_counters(record: &Record, findings: &mut Findings) {
    let mut stored = BTreeMap::new();
    for operation in record.operations.values() {
        if operation.signed().is_some() {
            *stored.entry(&operation.key).or_default() += 1;
        }
    }
    for removed in &record.gone.counts {
        *stored.entry(&removed.key).or_default() += removed.signatures;
    }
    for (key, counted) in &record.counters {
        let stored = stored.remove(key).unwrap_or(0);
        findings.must(Rule::Consistent, *counted == stored, || {
            let key = URL_SAFE_NO_PAD.encode(key);
            format!("{stored} signatures of key {key} are stored and {counted} are counted")
        });
    }
    for key in stored.keys() {
        findings.add(
            Rule::Consistent,
            format!("signatures of key {key:02x?}, which is not registered"),
        );
    }
}

fn may_sign(purpose: &str, kind: &str) -> bool {
    match kind {
        "authorization" => purpose == "authorization",
        "device-certificate" => purpose == "device-ca",
        "authorization-certificate" => purpose == "signing-ca",
        "key-certificate" | "crl" => ["device-ca", "signing-ca"].contains(&purpose),
        _ => false,
    }
}

fn verify(operation: &Operation, artifact: &[u8], key: &Key) -> Result<(), String> {
    let to_be_signed = operation.to_be_signed.as_slice();
    match operation.kind.as_str() {
        "authorization" => {
            let compact = str::from_utf8(artifact).map_err(|_| "not ASCII")?;
            let input = verify_compact(compact, key.certificate.public_key())?;
            same_bytes(input.as_bytes() == to_be_signed)
        }
        "device-certificate" | "authorization-certificate" | "key-certificate" => {
            let certificate = Certificate::from_der(artifact).map_err(|e| e.to_string())?;
            certificate
                .verify_issued_by(&key.certificate)
                .map_err(|e| e.to_string())?;
            same_bytes(wraps(artifact, to_be_signed))
        }
        _ => {
            let crl = CertificateRevocationList::from_der(artifact).map_err(|e| e.to_string())?;
            crl.verify_issued_by(&key.certificate)
                .map_err(|e| e.to_string())?;
            same_bytes(wraps(artifact, to_be_signed))
        }
    }
}

/// A CertificationRequest of the key that signed it, which was made as an institution's CA.
fn verify_request(record: &Record, operation: &Operation, artifact: &[u8]) -> Result<(), String> {
    let made = record.new_keys.iter().find(|new| {
        new.key.as_ref() == Some(&operation.key) && new.operation == Some(operation.id)
    });
    let made = made.ok_or("names a key that was not made for it")?;
    let request = CertificationRequest::parse(artifact).map_err(|e| e.to_string())?;
    let own = Some(request.public_key().sec1()) == made.public.as_deref()
        && thumbprint(request.public_key()).as_slice() == operation.key;
    if !own || made.institution != operation.institution || !made.purpose.ends_with("-ca") {
        return Err("is of another key, institution or purpose".to_owned());
    }
    same_bytes(wraps(artifact, &operation.to_be_signed))
}

/// The signing input of a compact JWS, once its ES256 signature verifies.
pub(super) fn verify_compact<'a>(compact: &'a str, key: &PublicKey) -> Result<&'a str, String> {
    let (input, signature) = compact.rsplit_once('.').ok_or("not three parts")?;
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|e| e.to_string())?;
    let signature: [u8; 64] = signature
        .try_into()
        .map_err(|_| "a signature of another length than 64 octets")?;
    key.verify_raw(input.as_bytes(), &signature)
        .map_err(|e| e.to_string())?;
    Ok(input)
}

/// Whether the first member of the outer SEQUENCE is just these octets.
fn wraps(signed: &[u8], to_be_signed: &[u8]) -> bool {
    (2..=MAX_HEADER).any(|header| {
        signed
            .get(header..)
            .is_some_and(|rest| rest.starts_with(to_be_signed))
    })
}

fn same_bytes(same: bool) -> Result<(), String> {
    same.then_some(())
        .ok_or_else(|| "other bytes were signed than recorded".to_owned())
}
