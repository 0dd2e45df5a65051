//! Owns the rows of what is recorded as PENDING: the operations of a wave in one statement, and one for each kind of
//! subject.

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::operation::{
        CertificateRecord, CrlRecord, DeviceRecord, IntentId, Operation, OrderRecord, Subject,
    },
    store::{
        Intent, columns,
        postgres::{
            begin::{IDS, Placed},
            error::Failure,
            reissue,
            session::{Parameter, Session},
        },
    },
};

pub(super) const OPERATIONS: &str = "INSERT INTO operation (id, institution, kind, content, state, key_id, to_be_signed, \
    expires_at, sign_by, object, device, policy, actor, request, begun_at) \
    SELECT id, institution, kind, content, 'PENDING', key_id, to_be_signed, expires_at, sign_by, object, device, policy, \
    actor, request, $14::bigint FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], \
    $7::bigint[], $8::bigint[], $9::text[], $10::uuid[], $11::bytea[], $12::text[], $13::text[]) \
    AS w (id, institution, kind, content, key_id, to_be_signed, expires_at, sign_by, object, device, policy, actor, request)";

pub(super) const REPLACE: &str = "UPDATE operation SET key_id = $3, to_be_signed = $4, sign_by = $5, policy = $6, \
    actor = $7, request = $8, begun_at = $9 WHERE id = $1 AND key_id = $2 AND state = 'PENDING' AND EXISTS (SELECT 1 FROM key k \
    WHERE k.id = $3 AND k.institution = operation.institution AND k.purpose = 'authorization' AND k.state = 'active' \
    AND coalesce(k.active_from <= $9, true) AND coalesce($9 < k.active_until, true))";

pub(super) const ORDERS: &str = "INSERT INTO cosigned_order (operation, institution, device, jti, order_jws, currency, minor, \
    reserved_at) SELECT operation, institution, device, jti, order_jws, currency, minor, $8::bigint \
    FROM unnest($1::bigint[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[]) \
    AS w (operation, institution, device, jti, order_jws, currency, minor)";

pub(super) const DEVICES: &str = "INSERT INTO device (id, operation, issuer, issuer_key, request, public_key, subscriber, \
    serial, not_after) SELECT id, operation, issuer, issuer_key, request, public_key, subscriber, serial, not_after \
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::text[], $8::bytea[], \
    $9::bigint[]) AS w (id, operation, issuer, issuer_key, request, public_key, subscriber, serial, not_after)";

pub(super) const OF_NEW_KEYS: &str = "UPDATE new_key n SET operation = w.operation \
    FROM unnest($1::bytea[], $2::bigint[]) AS w (key_id, operation) WHERE n.key_id = w.key_id";

pub(super) const CRLS: &str = "INSERT INTO crl (issuer_key, number, operation, revocations, next_update) \
    SELECT issuer_key, number, operation, revocations, next_update FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], \
    $4::bigint[], $5::bigint[]) AS w (issuer_key, number, operation, revocations, next_update)";

/// One column of an array parameter.
pub(super) fn column<'a, T, R>(rows: &'a [T], of: impl Fn(&'a T) -> R) -> Vec<R> {
    rows.iter().map(of).collect()
}

type Recorded<'a, R> = (i64, &'a Operation, &'a R);

/// Records the operations; answers with their intents, in order.
pub(super) async fn record(
    session: &Session,
    admitted: &[Placed<'_>],
    now: Timestamp,
) -> Result<Vec<Intent>, Failure> {
    if admitted.is_empty() {
        return Ok(Vec::new());
    }
    let count = i64::try_from(admitted.len()).unwrap_or(i64::MAX);
    let ids = session.query(IDS, &[&count]).await?;
    let ids: Vec<i64> = ids
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let operations: Vec<&Operation> = column(admitted, |placed| placed.1);
    operations_rows(session, &ids, &operations, now).await?;
    subjects(session, &ids, &operations, now).await?;
    let intents = ids.into_iter().zip(operations);
    Ok(intents
        .map(|(id, operation)| intent(id, operation))
        .collect())
}

/// The row of an intent that its token did not sign goes over to another key, with what it has reserved. Nothing if somebody
/// else has ended it or had it go over meanwhile.
pub(super) async fn replace(
    session: &Session,
    operation: &Operation,
    former: IntentId,
    now: Timestamp,
) -> Result<Option<Intent>, Failure> {
    let policy = operation.subject.policy();
    let parameters: [Parameter<'_>; 9] = [
        &former.row,
        &former.key.as_bytes().as_slice(),
        &operation.key.as_bytes().as_slice(),
        &operation.to_be_signed,
        &operation.sign_by.micros(),
        &policy.as_ref().map(|policy| policy.as_slice()),
        &operation.origin.actor.to_string(),
        &operation.origin.request.to_string(),
        &now.micros(),
    ];
    let changed = session.execute(REPLACE, &parameters).await?;
    Ok((changed == 1).then(|| intent(former.row, operation)))
}

fn intent(row: i64, operation: &Operation) -> Intent {
    Intent {
        id: IntentId {
            row,
            key: operation.key,
        },
        institution: operation.institution.clone(),
        kind: operation.subject.kind(),
        to_be_signed: operation.to_be_signed.clone(),
        expires_at: operation.expires_at,
        sign_by: operation.sign_by,
    }
}

async fn operations_rows(
    session: &Session,
    ids: &[i64],
    operations: &[&Operation],
    now: Timestamp,
) -> Result<(), Failure> {
    let policies: Vec<Option<[u8; 32]>> = column(operations, |o| o.subject.policy());
    let parameters: [Parameter<'_>; 14] = [
        &ids,
        &column(operations, |o| o.institution.as_str()),
        &column(operations, |o| o.subject.kind().name()),
        &column(operations, |o| o.content.as_slice()),
        &column(operations, |o| o.key.as_bytes().as_slice()),
        &column(operations, |o| o.to_be_signed.as_slice()),
        &column(operations, |o| o.expires_at.micros()),
        &column(operations, |o| o.sign_by.micros()),
        &column(operations, |o| o.subject.object()),
        &column(operations, |o| o.subject.device().map(|id| id.uuid())),
        &column(&policies, |policy| policy.as_ref().map(|p| p.as_slice())),
        &column(operations, |o| o.origin.actor.to_string()),
        &column(operations, |o| o.origin.request.to_string()),
        &now.micros(),
    ];
    session.execute(OPERATIONS, &parameters).await.map(drop)
}

async fn subjects(
    session: &Session,
    ids: &[i64],
    operations: &[&Operation],
    now: Timestamp,
) -> Result<(), Failure> {
    let (mut orders, mut phones, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    let mut reissues = Vec::new();
    let (mut keys, mut of_keys): (Vec<&[u8]>, Vec<i64>) = (Vec::new(), Vec::new());
    for (id, operation) in ids.iter().zip(operations) {
        match &operation.subject {
            Subject::Authorization(order) => orders.push((*id, *operation, order)),
            Subject::DeviceCertificate(device) => phones.push((*id, *operation, device)),
            Subject::Reissue(device) => reissues.push((*id, device)),
            Subject::Crl(crl) => lists.push((*id, *operation, crl)),
            Subject::AuthorizationCertificate(CertificateRecord { key, .. })
            | Subject::KeyCertificate(CertificateRecord { key, .. })
            | Subject::CertificationRequest(key) => {
                keys.push(key.as_bytes());
                of_keys.push(*id);
            }
        }
    }
    if !orders.is_empty() {
        record_orders(session, &orders, now).await?;
    }
    if !phones.is_empty() {
        record_devices(session, &phones).await?;
    }
    if !reissues.is_empty() {
        reissue::record(session, &reissues).await?;
    }
    if !lists.is_empty() {
        record_crls(session, &lists).await?;
    }
    if !keys.is_empty() {
        session.execute(OF_NEW_KEYS, &[&keys, &of_keys]).await?;
    }
    Ok(())
}

async fn record_orders(
    session: &Session,
    orders: &[Recorded<'_, OrderRecord>],
    now: Timestamp,
) -> Result<(), Failure> {
    let parameters: [Parameter<'_>; 8] = [
        &column(orders, |(id, ..)| *id),
        &column(orders, |(_, operation, _)| operation.institution.as_str()),
        &column(orders, |(.., order)| order.device.uuid()),
        &column(orders, |(.., order)| order.jti),
        &column(orders, |(.., order)| order.order_jws.as_str()),
        &column(orders, |(.., order)| order.amount.currency().code()),
        &column(orders, |(.., order)| columns::version(order.amount.minor())),
        &now.micros(),
    ];
    session.execute(ORDERS, &parameters).await.map(drop)
}

async fn record_devices(
    session: &Session,
    phones: &[Recorded<'_, DeviceRecord>],
) -> Result<(), Failure> {
    let parameters: [Parameter<'_>; 9] = [
        &column(phones, |(.., device)| -> Uuid { device.device.uuid() }),
        &column(phones, |(id, ..)| *id),
        &column(phones, |(_, operation, _)| operation.institution.as_str()),
        &column(phones, |(_, operation, _)| {
            operation.key.as_bytes().as_slice()
        }),
        &column(phones, |(.., device)| device.request.as_slice()),
        &column(phones, |(.., device)| device.public_key.as_slice()),
        &column(phones, |(.., device)| device.subscriber.as_str()),
        &column(phones, |(.., device)| device.serial.as_slice()),
        &column(phones, |(.., device)| device.not_after.micros()),
    ];
    session.execute(DEVICES, &parameters).await.map(drop)
}

async fn record_crls(session: &Session, lists: &[Recorded<'_, CrlRecord>]) -> Result<(), Failure> {
    let parameters: [Parameter<'_>; 5] = [
        &column(lists, |(_, operation, _)| {
            operation.key.as_bytes().as_slice()
        }),
        &column(lists, |(.., crl)| columns::version(crl.number)),
        &column(lists, |(id, ..)| *id),
        &column(lists, |(.., crl)| columns::version(crl.revocations)),
        &column(lists, |(.., crl)| crl.next_update.micros()),
    ];
    session.execute(CRLS, &parameters).await.map(drop)
}
