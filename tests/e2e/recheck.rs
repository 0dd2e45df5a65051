//! The re-check can fail: each rule is broken in a copy of a good record, and is found.

use std::{fs, path::Path};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    recheck::{Authorities, Rule, check, recheck},
    story::{self, Narrator},
};
use rusqlite::{Connection, OpenFlags};
use softhsm_setup::scheme::Scheme;

/// A moment before everything in the record would be overdue, and one after.
const NEVER: i64 = 0;
const ALWAYS: i64 = i64::MAX;

/// What is done to the record, and the rule that it breaks.
const DOCTORED: [(Rule, &str); 39] = [
    (
        Rule::Signature,
        "UPDATE operation SET artifact = CAST(replace(artifact, '.', '.A') AS BLOB) WHERE kind = 'authorization'",
    ),
    (
        Rule::Signature,
        "UPDATE operation SET to_be_signed = CAST(to_be_signed || x'00' AS BLOB) WHERE kind = 'device-certificate'",
    ),
    (
        Rule::Signature,
        "UPDATE operation SET artifact = CAST(substr(artifact, 1, length(artifact) - 1) || x'00' AS BLOB) WHERE kind = 'crl'",
    ),
    (
        Rule::Signature,
        "UPDATE operation SET key_id = (SELECT id FROM key WHERE purpose = 'signing-ca' AND institution = 'alfa') \
         WHERE kind = 'authorization'",
    ),
    (
        Rule::Signature,
        "UPDATE operation SET ended_at = expires_at WHERE kind = 'authorization'",
    ),
    (
        Rule::Consistent,
        "UPDATE key SET signatures = signatures + 1 WHERE purpose = 'signing-ca' AND institution = 'beta'",
    ),
    (
        Rule::Approved,
        "DELETE FROM approval WHERE person = (SELECT min(person) FROM approval)",
    ),
    (
        Rule::Approved,
        "UPDATE approval SET jws = coalesce((SELECT a.jws FROM approval a WHERE a.person <> approval.person \
         AND a.change = approval.change), jws)",
    ),
    (
        Rule::Approved,
        "UPDATE approval SET jws = substr(jws, 1, length(jws) - 4) || 'AAAA'",
    ),
    (
        Rule::Approved,
        "UPDATE change SET ended_at = expires_at WHERE institution = 'beta'",
    ),
    (
        Rule::Approved,
        "UPDATE change SET bytes = CAST(replace(bytes, 'beta', 'alfa') AS BLOB) WHERE institution = 'beta'",
    ),
    (Rule::Approved, "DELETE FROM approval; DELETE FROM change"),
    (
        Rule::Approved,
        "UPDATE document SET bytes = CAST(bytes || x'0a' AS BLOB) WHERE kind = 'callers' AND institution = 'alfa'",
    ),
    (
        Rule::Approved,
        "INSERT INTO document SELECT institution, kind, version + 1, bytes, loaded_at FROM document WHERE kind = 'trust' AND institution = 'alfa'",
    ),
    (
        Rule::Approved,
        "DELETE FROM document WHERE kind = 'custodians'",
    ),
    (
        Rule::Approved,
        "UPDATE key SET state = 'suspended' WHERE institution = 'alfa' AND purpose = 'signing-ca'",
    ),
    (
        Rule::Approved,
        "INSERT INTO key SELECT randomblob(32), institution, purpose, state, 0, registered_at, NULL, NULL, NULL, NULL FROM key",
    ),
    (
        Rule::AuditPairs,
        "DELETE FROM audit WHERE CAST(leaf AS TEXT) LIKE '%\"change.execute\"%'",
    ),
    (
        Rule::Authorization,
        "UPDATE cosigned_order SET minor = minor + 1",
    ),
    (
        Rule::Authorization,
        "UPDATE cosigned_order SET order_jws = order_jws || 'A'",
    ),
    (
        Rule::Authorization,
        "DELETE FROM document WHERE kind = 'policy' AND institution = 'alfa'",
    ),
    (
        Rule::OneOutcome,
        "INSERT INTO operation SELECT 1000000, institution, kind, content, state, key_id, to_be_signed, expires_at, \
         sign_by, object, device, policy, actor, request, begun_at, ended_at, artifact, reason \
         FROM operation WHERE kind = 'authorization' ORDER BY id LIMIT 1; \
         INSERT INTO cosigned_order SELECT 1000000, institution, device, randomblob(16), order_jws, currency, minor, \
         reserved_at FROM cosigned_order ORDER BY operation LIMIT 1",
    ),
    (
        Rule::Unique,
        "INSERT INTO operation SELECT 1000000, institution, kind, content, state, key_id, to_be_signed, expires_at, \
         sign_by, object, device, policy, actor, request, begun_at, ended_at, artifact, reason \
         FROM operation WHERE kind = 'device-certificate' ORDER BY id LIMIT 1; \
         INSERT INTO device SELECT randomblob(16), 1000000, issuer, issuer_key, NULL, NULL, subscriber, \
         randomblob(16), not_after, NULL FROM device ORDER BY operation LIMIT 1",
    ),
    (
        Rule::AuditPairs,
        "DELETE FROM audit WHERE CAST(leaf AS TEXT) LIKE '%\"result\":\"BEGUN\"%'",
    ),
    (
        Rule::AuditPairs,
        "DELETE FROM audit WHERE CAST(leaf AS TEXT) LIKE '%\"authorization\"%\"AUTHORIZED\"%'",
    ),
    (
        Rule::AuditPairs,
        "INSERT INTO audit (leaf) SELECT leaf FROM audit WHERE CAST(leaf AS TEXT) LIKE '%\"AUTHORIZED\"%'",
    ),
    (
        Rule::AuditPairs,
        "DELETE FROM audit WHERE CAST(leaf AS TEXT) LIKE '%\"revoke\"%'",
    ),
    (
        Rule::AuditPairs,
        "DELETE FROM acceptance WHERE institution = 'alfa'",
    ),
    (
        Rule::AuditPairs,
        "UPDATE audit SET leaf = CAST(replace(leaf, ',', ', ') AS BLOB) WHERE seq = 1",
    ),
    (
        Rule::AuditPairs,
        "DELETE FROM cosigned_order WHERE operation IN (SELECT max(operation) FROM cosigned_order); \
         DELETE FROM operation WHERE kind = 'authorization' AND id NOT IN (SELECT operation FROM cosigned_order)",
    ),
    (
        Rule::AuditPrefix,
        "DELETE FROM audit WHERE seq IN (SELECT max(seq) / 2 FROM audit)",
    ),
    (Rule::AuditPrefix, "UPDATE audit_prefix SET through = 1"),
    (
        Rule::OneOutcome,
        "INSERT INTO pruned_order SELECT institution, device, jti, zeroblob(32), 'FAILED', 'OVERDUE', 0 FROM cosigned_order",
    ),
    (
        Rule::Consistent,
        "INSERT INTO pruned_order SELECT institution, device, randomblob(16), zeroblob(32), 'FAILED', 'OVERDUE', 0 \
         FROM cosigned_order",
    ),
    (
        Rule::Refusals,
        "INSERT INTO audit (leaf) SELECT leaf FROM audit WHERE CAST(leaf AS TEXT) LIKE '%\"admission\"%'",
    ),
    (
        Rule::Refusals,
        "UPDATE audit SET leaf = CAST(replace(leaf, 'RATE_LIMITED', 'ORDER_EXPIRED') AS BLOB)",
    ),
    (Rule::Limits, "UPDATE cosigned_order SET minor = 100000000"),
    (Rule::Crls, "UPDATE crl SET revocations = 0"),
    (
        Rule::Crls,
        "PRAGMA foreign_keys = OFF; UPDATE operation SET id = -id WHERE kind = 'crl'; UPDATE crl SET operation = -operation",
    ),
];

#[tokio::test]
async fn each_broken_rule_is_found() -> Result<(), Failure> {
    let mut deployment = Deployment::limited(Scheme::EXAMPLE).await?;
    story::play(&deployment, &Narrator::silent()).await?;
    recheck(&mut deployment).await?;
    deployment.stop().await?;
    let authorities = Authorities::read(&deployment)?;
    let good = deployment.database();
    assert_eq!(check(&good, &authorities, NEVER)?.1, []);

    for (rule, sql) in DOCTORED {
        let copy = good.with_extension("doctored");
        doctor(&good, &copy, sql)?;
        let (_, findings) = check(&copy, &authorities, NEVER)?;
        assert!(
            findings.iter().any(|finding| finding.rule == rule),
            "{sql}: {rule:?} is not in {findings:#?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_intent_without_end_and_what_openssl_and_jwcrypto_refuse_are_found()
-> Result<(), Failure> {
    let mut deployment = Deployment::limited(Scheme::EXAMPLE).await?;
    story::play(&deployment, &Narrator::silent()).await?;
    recheck(&mut deployment).await?;
    deployment.stop().await?;
    let authorities = Authorities::read(&deployment)?;
    let good = deployment.database();
    let copy = good.with_extension("doctored");

    let pending = "UPDATE operation SET state = 'PENDING', ended_at = NULL, artifact = NULL WHERE kind = 'authorization'";
    doctor(&good, &copy, pending)?;
    let overdue = |now| {
        let findings = check(&copy, &authorities, now).map(|(_, findings)| findings);
        findings.map(|findings| {
            findings
                .iter()
                .any(|finding| finding.rule == Rule::NoOverdueIntent)
        })
    };
    assert!(!overdue(NEVER)?);
    assert!(overdue(ALWAYS)?);

    // One octet of each signature.
    let last = "UPDATE operation SET artifact = CAST(substr(artifact, 1, length(artifact) - 20) || \
                CASE substr(artifact, -20, 1) WHEN x'41' THEN 'B' ELSE 'A' END || substr(artifact, -19) AS BLOB)";
    doctor(&good, &copy, last)?;
    let (_, findings) = check(&copy, &authorities, NEVER)?;
    let oracle: Vec<_> = findings
        .iter()
        .filter(|finding| finding.rule == Rule::Oracle)
        .collect();
    for words in [
        "jwcrypto: ",
        "openssl: certificates of mobilis",
        "openssl: CRL ",
    ] {
        assert!(
            oracle.iter().any(|finding| finding.what.contains(words)),
            "{words}: {findings:#?}"
        );
    }
    Ok(())
}

/// A copy of the record with its constraints switched off and this done to it.
pub(crate) fn doctor(good: &Path, copy: &Path, sql: &str) -> Result<(), Failure> {
    let _ = fs::remove_file(copy);
    // Not by copying the file: what was written last may stand in the write-ahead log.
    let original = Connection::open_with_flags(good, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    original.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
    let connection = Connection::open(copy)?;
    connection.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;")?;
    connection
        .execute_batch(sql)
        .map_err(Failure::during(sql))?;
    assert!(connection.total_changes() > 0, "{sql} changes nothing");
    Ok(())
}
