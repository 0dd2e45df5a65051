//! CRLs: their numbers rise in the order in which they were signed, above the ceremony's, and each lists all that was
//! revoked up to it (RFC 5280 s5.2.3, s3.3).

use std::collections::BTreeMap;

use semops_pki::crl::CertificateRevocationList;

use super::{
    Findings, MICROS, Rule,
    authorities::Authorities,
    record::{Crl, Operation, Record},
    unique::trim,
};

/// A CRL that was signed: its row, the operation that signed it, and what was signed.
type Signed<'a> = (&'a Crl, &'a Operation, CertificateRevocationList);

pub(super) fn check(record: &Record, authorities: &Authorities, findings: &mut Findings) {
    for (key, mut crls) in signed_by_key(record, findings) {
        crls.sort_by_key(|(_, operation, _)| operation.id);
        let first = authorities
            .keys
            .get(key)
            .and_then(|key| key.first_crl)
            .unwrap_or_default();
        check_sequence(record, first, &crls, findings);
        let last = crls.last().map_or(0, |(crl, _, _)| crl.revocations);
        let all = record
            .revocations
            .iter()
            .filter(|r| r.issuer_key == key)
            .map(|r| r.sequence)
            .max()
            .unwrap_or(0);
        findings.must(Rule::Crls, last >= all, || {
            format!("the newest CRL goes up to revocation {last} of {all}")
        });
    }
}

/// The signed CRLs of each issuer's key.
fn signed_by_key<'a>(
    record: &'a Record,
    findings: &mut Findings,
) -> BTreeMap<&'a [u8], Vec<Signed<'a>>> {
    let mut by_key: BTreeMap<&[u8], Vec<Signed<'_>>> = BTreeMap::new();
    for crl in &record.crls {
        let Some(operation) = record.operations.get(&crl.operation) else {
            findings.add(
                Rule::Consistent,
                format!("a CRL without operation {}", crl.operation),
            );
            continue;
        };
        // One that cannot be read is found with the signatures.
        if let Some(Ok(list)) = operation.signed().map(CertificateRevocationList::from_der) {
            by_key
                .entry(&crl.issuer_key)
                .or_default()
                .push((crl, operation, list));
        }
    }
    by_key
}

/// The CRLs of one key, in the order in which they were begun: numbers rise from `first`, the ceremony's, and moments do
/// not fall unless the clock was set back meanwhile.
fn check_sequence(record: &Record, first: u64, crls: &[Signed<'_>], findings: &mut Findings) {
    let (mut number, mut this_update, mut ended_at) = (first, i64::MIN, None);
    for (crl, operation, list) in crls {
        let set_back = Some(operation.begun_at) < ended_at;
        let rises = list.number() > number && (set_back || list.this_update() >= this_update);
        findings.must(Rule::Crls, rises, || {
            format!("{operation}: CRLNumber {} after {number}", list.number())
        });
        findings.must(
            Rule::Consistent,
            u64::try_from(crl.number) == Ok(list.number()),
            || format!("{operation} is stored as number {}", crl.number),
        );
        (number, this_update, ended_at) = (list.number(), list.this_update(), operation.ended_at);
        lists_all(record, crl, list, findings);
    }
}

fn lists_all(
    record: &Record,
    crl: &Crl,
    list: &CertificateRevocationList,
    findings: &mut Findings,
) {
    let due = record.revocations.iter().filter(|revocation| {
        revocation.issuer_key == crl.issuer_key
            && revocation.sequence <= crl.revocations
            && revocation.not_after > list.this_update().saturating_mul(MICROS)
    });
    let mut count = 0;
    for revocation in due {
        count += 1;
        findings.must(
            Rule::Crls,
            list.entry(trim(&revocation.serial)).is_some(),
            || {
                format!(
                    "CRL {} lacks revocation {}",
                    list.number(),
                    revocation.sequence
                )
            },
        );
    }
    findings.must(Rule::Crls, list.entries().len() >= count, || {
        format!("CRL {} is too short", list.number())
    });
    let known = |serial: &[u8]| {
        let mut revoked = record.revocations.iter();
        let mut listed = record.listed.iter();
        revoked.any(|revocation| trim(&revocation.serial) == serial)
            || listed.any(|(key, of)| *key == crl.issuer_key && trim(of) == serial)
    };
    let unknown = list.entries().filter(|(serial, _)| !known(serial)).count();
    findings.must(Rule::Crls, unknown == 0, || {
        format!("CRL {} lists {unknown} that nobody revoked", list.number())
    });
}
