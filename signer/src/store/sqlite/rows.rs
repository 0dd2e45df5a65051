//! Owns the rows that several verbs read: an operation with its outcome, a device, an acceptance, the generation.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use semops_objects::institution::InstitutionId;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        device::{Acceptance, Device, DeviceId, Revocation},
        key::KeyId,
        operation::IntentId,
        outcome::{Outcome, State},
    },
    store::{
        Earlier, Intent, StoreError,
        sqlite::{
            columns::{Count, ReasonCode, Text},
            removal,
        },
    },
};

pub(super) const GENERATION: &str = "SELECT value FROM generation WHERE one = 1";

pub(super) const HOLD: &str = "SELECT until FROM hold WHERE one = 1";

macro_rules! operation {
    ($order_jws:literal, $from:literal) => {
        concat!(
            "SELECT o.content, o.state, o.device, o.artifact, o.reason, ",
            $order_jws,
            ", o.id, o.institution, o.kind, o.key_id, o.to_be_signed, o.expires_at, o.sign_by FROM ",
            $from
        )
    };
}

pub(super) const ORDER: &str = operation!(
    "c.order_jws",
    "cosigned_order c JOIN operation o ON o.id = c.operation WHERE c.institution = ?1 AND c.device = ?2 AND c.jti = ?3"
);

pub(super) const ENROLLMENT: &str = operation!(
    "NULL",
    "device d JOIN operation o ON o.id = d.operation WHERE d.issuer = ?1 AND d.request = ?2"
);

pub(super) const CRL: &str = operation!(
    "NULL",
    "crl l JOIN operation o ON o.id = l.operation WHERE l.issuer_key = ?1 AND l.number = ?2"
);

pub(super) const NEW_KEY: &str = operation!(
    "NULL",
    "new_key n JOIN operation o ON o.id = n.operation WHERE n.key_id = ?1 AND o.state IN ('PENDING', 'AUTHORIZED')"
);

pub(super) const PENDING_CRL: &str = operation!(
    "NULL",
    "operation o WHERE o.key_id = ?1 AND o.state = 'PENDING' AND o.kind = 'crl' ORDER BY o.id DESC LIMIT 1"
);

pub(super) const OPERATION: &str = operation!(
    "c.order_jws",
    "operation o LEFT JOIN cosigned_order c ON c.operation = o.id WHERE o.id = ?1"
);

macro_rules! device {
    ($condition:literal) => {
        concat!(
            "SELECT d.id, d.issuer, d.subscriber, d.issuer_key, o.artifact, d.not_after, r.revoked_at, r.reason ",
            "FROM device d JOIN operation o ON o.id = d.operation LEFT JOIN revocation r ON r.device = d.id WHERE ",
            $condition
        )
    };
}

pub(super) const DEVICE: &str = device!("d.id = ?1 AND d.certificate_sha256 IS NOT NULL");

pub(super) const DEVICE_BY_CERTIFICATE: &str = device!("d.certificate_sha256 = ?1");

/// With a certificate that was replaced: revoked as superseded.
pub(super) const DEVICE_REPLACED: &str = "SELECT d.id, d.issuer, d.subscriber, o.key_id, o.artifact, d.not_after, \
    x.replaced_at, 4 FROM reissue x JOIN device d ON d.id = x.device JOIN operation o ON o.id = x.replaces \
    WHERE x.replaced_sha256 = ?1";

/// What is to replace a certificate, or the one in force if that is another by now.
pub(super) const REISSUE: &str = operation!(
    "NULL",
    "device d JOIN operation o ON o.id = CASE WHEN d.certificate_sha256 <> ?2 THEN d.operation \
     ELSE (SELECT x.operation FROM reissue x WHERE x.replaces = d.operation) END \
     WHERE d.id = ?1 AND d.certificate_sha256 IS NOT NULL"
);

pub(super) const ACCEPTANCE: &str =
    "SELECT account, accepted_at FROM acceptance WHERE institution = ?1 AND device = ?2";

/// The documents' generation.
pub(super) fn generation(connection: &Connection) -> Result<u64, StoreError> {
    Ok(connection
        .prepare_cached(GENERATION)?
        .query_row([], |row| row.get(0).map(|Count(value)| value))?)
}

/// Before when no order is co-signed.
pub(super) fn held_until(connection: &Connection) -> Result<Timestamp, StoreError> {
    Ok(connection
        .prepare_cached(HOLD)?
        .query_row([], |row| row.get(0))?)
}

/// What was recorded under an order's idempotency key, or stays of it.
pub(super) fn order(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
    jti: Uuid,
) -> Result<Option<Earlier>, StoreError> {
    let key: [&dyn ToSql; 3] = [&institution.as_str(), &device, &jti.into_bytes()];
    match earlier(connection, ORDER, &key)? {
        Some(earlier) => Ok(Some(earlier)),
        None => removal::buried(connection, institution, device, jti),
    }
}

/// What was recorded under a certification request and has a certificate or may get one.
pub(super) fn enrollment(
    connection: &Connection,
    institution: &InstitutionId,
    request: [u8; 32],
) -> Result<Option<Earlier>, StoreError> {
    earlier(connection, ENROLLMENT, &[&institution.as_str(), &request])
}

/// What was recorded under a CRLNumber.
pub(super) fn crl(
    connection: &Connection,
    issuer: KeyId,
    number: u64,
) -> Result<Option<Earlier>, StoreError> {
    earlier(connection, CRL, &[issuer.as_bytes(), &Count(number)])
}

/// What was recorded of a new key and is signed or may be.
pub(super) fn new_key(connection: &Connection, key: KeyId) -> Result<Option<Earlier>, StoreError> {
    earlier(connection, NEW_KEY, &[key.as_bytes()])
}

/// The newest CRL of the key that is recorded and not ended.
pub(super) fn pending_crl(
    connection: &Connection,
    issuer: KeyId,
) -> Result<Option<Intent>, StoreError> {
    Ok(earlier(connection, PENDING_CRL, &[issuer.as_bytes()])?.and_then(|earlier| earlier.intent))
}

/// What stands in an operation's row.
pub(super) fn outcome(
    connection: &Connection,
    operation: i64,
) -> Result<Option<Outcome>, StoreError> {
    Ok(earlier(connection, OPERATION, &[&operation])?.map(|earlier| earlier.outcome))
}

fn earlier(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
) -> Result<Option<Earlier>, StoreError> {
    Ok(connection
        .prepare_cached(sql)?
        .query_row(parameters, read_operation)
        .optional()?)
}

fn read_operation(row: &Row<'_>) -> rusqlite::Result<Earlier> {
    let state = row.get(1)?;
    let outcome = Outcome {
        state,
        device: row.get(2)?,
        artifact: row.get(3)?,
        reason: row.get(4)?,
        order_jws: row.get(5)?,
    };
    let intent = (state == State::Pending)
        .then(|| read_intent(row))
        .transpose()?;
    Ok(Earlier {
        content: row.get(0)?,
        intent,
        outcome,
    })
}

fn read_intent(row: &Row<'_>) -> rusqlite::Result<Intent> {
    let Text(institution) = row.get(7)?;
    Ok(Intent {
        id: IntentId {
            row: row.get(6)?,
            key: row.get(9).map(KeyId::new)?,
        },
        institution,
        kind: row.get(8)?,
        to_be_signed: row.get(10)?,
        expires_at: row.get(11)?,
        sign_by: row.get(12)?,
    })
}

/// The certified device with this id.
pub(super) fn device(connection: &Connection, id: DeviceId) -> Result<Option<Device>, StoreError> {
    Ok(connection
        .prepare_cached(DEVICE)?
        .query_row([id], read_device)
        .optional()?)
}

/// The device whose certificate has this SHA-256.
pub(super) fn device_by_certificate(
    connection: &Connection,
    sha256: [u8; 32],
) -> Result<Option<Device>, StoreError> {
    Ok(connection
        .prepare_cached(DEVICE_BY_CERTIFICATE)?
        .query_row([sha256], read_device)
        .optional()?)
}

fn read_device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let Text(issuer) = row.get(1)?;
    let Text(subscriber) = row.get(2)?;
    let revoked = match (row.get(6)?, row.get(7)?) {
        (Some(at), Some(ReasonCode(reason))) => Some(Revocation { at, reason }),
        _ => None,
    };
    Ok(Device {
        id: row.get(0)?,
        issuer,
        subscriber,
        issuer_key: row.get(3).map(KeyId::new)?,
        certificate: row.get(4)?,
        not_after: row.get(5)?,
        revoked,
    })
}

/// The device of which a certificate with this SHA-256 was replaced, as it stands with that one.
pub(super) fn device_replaced(
    connection: &Connection,
    sha256: [u8; 32],
) -> Result<Option<Device>, StoreError> {
    Ok(connection
        .prepare_cached(DEVICE_REPLACED)?
        .query_row([sha256], read_device)
        .optional()?)
}

/// What was recorded to replace the certificate of a device, or what is in its place.
pub(super) fn reissue(
    connection: &Connection,
    device: DeviceId,
    replaces: [u8; 32],
) -> Result<Option<Earlier>, StoreError> {
    earlier(connection, REISSUE, &[&device, &replaces])
}

/// The acceptance of a device by an institution.
pub(super) fn acceptance(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
) -> Result<Option<Acceptance>, StoreError> {
    let read = |row: &Row<'_>| {
        let Text(account) = row.get(0)?;
        Ok(Acceptance {
            account,
            accepted_at: row.get(1)?,
        })
    };
    Ok(connection
        .prepare_cached(ACCEPTANCE)?
        .query_row((institution.as_str(), device), read)
        .optional()?)
}
