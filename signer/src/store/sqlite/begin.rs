//! Owns `begin`: the decision about one operation under the writer's lock, in the order of the contract, and its record.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::{
    clock::Timestamp,
    domain::{
        audit::Resulted,
        key::KeyId,
        operation::{
            CertificateRecord, CrlRecord, DeviceRecord, IntentId, Kind, MONEY_WINDOW_SECONDS,
            Operation, OrderRecord, Subject,
        },
        outcome::Ending,
    },
    store::{
        Begun, Earlier, Intent, Limit, Refusal, StoreError,
        decision::{Day, Rules, Standing, Step, Uses, begun, limited, may_be_signed_of, may_sign},
        sqlite::{audit, columns::Count, complete, reissue, replace, rows},
    },
};

pub(super) const KEY: &str = "SELECT purpose FROM key WHERE id = ?1 AND institution = ?2 AND state = 'active' \
    AND coalesce(active_from <= ?3, true) AND coalesce(?3 < active_until, true)";

// Retired, a CA issues nothing more and goes on listing what it has revoked.
pub(super) const CRL_KEY: &str = "SELECT purpose FROM key WHERE id = ?1 AND institution = ?2 \
    AND (state IN ('active', 'deactivated') OR state = 'suspended' AND active_until <= ?3) AND coalesce(active_from <= ?3, true)";

pub(super) const NEW_KEY: &str =
    "SELECT purpose FROM key WHERE id = ?1 AND institution = ?2 AND state = 'pre-activation'";

pub(super) const STANDING: &str = "SELECT r.sequence IS NOT NULL, a.device IS NOT NULL FROM device d \
    LEFT JOIN revocation r ON r.device = d.id LEFT JOIN acceptance a ON a.device = d.id AND a.institution = ?2 \
    WHERE d.id = ?1 AND d.certificate_sha256 IS NOT NULL";

pub(super) const DAY: &str = "SELECT count(*), \
    coalesce(sum(CASE WHEN currency = ?4 THEN minor / 1000000000 END), 0), \
    coalesce(sum(CASE WHEN currency = ?4 THEN minor % 1000000000 END), 0) \
    FROM cosigned_order WHERE institution = ?1 AND device = ?2 AND reserved_at > ?3";

pub(super) const SUBSCRIBER: &str = "SELECT count(*) FROM device d WHERE d.issuer = ?1 AND d.subscriber = ?2 \
    AND d.public_key IS NOT NULL AND (d.certificate_sha256 IS NULL OR d.not_after >= ?3) AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.device = d.id)";

pub(super) const PUBLIC_KEY: &str = "SELECT 1 FROM device WHERE public_key = ?1";

pub(super) const LAST_CRL: &str = "SELECT coalesce(max(number), 0) FROM crl WHERE issuer_key = ?1";

// Once for a group; those that are pending are few, and found in their index.
pub(super) const USES: &str = "SELECT signatures + (SELECT count(*) FROM operation \
    WHERE state = 'PENDING' AND expires_at > 0 AND key_id = key.id) FROM key WHERE id = ?1";

pub(super) const OPERATION: &str = "INSERT INTO operation (institution, kind, content, state, key_id, to_be_signed, \
    expires_at, sign_by, object, device, policy, actor, request, begun_at) \
    VALUES (?1, ?2, ?3, 'PENDING', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

pub(super) const ORDER: &str = "INSERT INTO cosigned_order (operation, institution, device, jti, order_jws, currency, \
    minor, reserved_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(super) const DEVICE: &str = "INSERT INTO device (id, operation, issuer, issuer_key, request, public_key, subscriber, \
    serial, not_after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

pub(super) const CRL: &str = "INSERT INTO crl (issuer_key, number, operation, revocations, next_update) \
    VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const OF_NEW_KEY: &str = "UPDATE new_key SET operation = ?2 WHERE key_id = ?1";

pub(super) fn begin(
    connection: &Connection,
    operations: Vec<Operation>,
    now: Timestamp,
) -> Result<Vec<Begun>, StoreError> {
    let rules = Rules {
        generation: rows::generation(connection)?,
        held_until: rows::held_until(connection)?,
    };
    let mut uses = uses(connection, &operations)?;
    operations
        .into_iter()
        .map(|operation| begin_one(connection, operation, rules, &mut uses, now))
        .collect()
}

fn uses(connection: &Connection, operations: &[Operation]) -> Result<Uses, StoreError> {
    let mut uses = Vec::new();
    for key in limited(operations) {
        let mut statement = connection.prepare_cached(USES)?;
        let found = statement
            .query_row([key.as_bytes()], |row| row.get(0))
            .optional()?;
        uses.extend(found.map(|Count(count)| (key, count)));
    }
    Ok(Uses::new(uses))
}

fn begin_one(
    connection: &Connection,
    operation: Operation,
    rules: Rules,
    uses: &mut Uses,
    now: Timestamp,
) -> Result<Begun, StoreError> {
    let earlier = earlier(connection, &operation)?;
    match Step::of(&operation, earlier, rules, now) {
        Step::Answer(begun) => Ok(begun),
        Step::Conflict(event) => {
            audit::append(connection, &event, now)?;
            Ok(Begun::Conflict)
        }
        Step::Resume(intent) => resume(connection, &operation, intent, now),
        Step::Replace(intent) => {
            if let Some(refusal) = refusal(connection, &operation, intent.id.key, now)? {
                return Ok(Begun::Refused(refusal));
            }
            replace::replace(connection, operation, &intent, uses, now)
        }
        Step::Admit => admit(connection, operation, uses, now),
    }
}

fn earlier(connection: &Connection, operation: &Operation) -> Result<Option<Earlier>, StoreError> {
    match &operation.subject {
        Subject::Authorization(order) => {
            rows::order(connection, &operation.institution, order.device, order.jti)
        }
        Subject::DeviceCertificate(device) => {
            rows::enrollment(connection, &operation.institution, device.request)
        }
        Subject::Reissue(device) => rows::reissue(connection, device.device, device.replaces),
        Subject::Crl(crl) => rows::crl(connection, operation.key, crl.number),
        Subject::AuthorizationCertificate(CertificateRecord { key, .. })
        | Subject::KeyCertificate(CertificateRecord { key, .. })
        | Subject::CertificationRequest(key) => rows::new_key(connection, *key),
    }
}

/// The recorded bytes are signed with the key that was recorded with them, if all of it is still allowed.
fn resume(
    connection: &Connection,
    operation: &Operation,
    intent: Intent,
    now: Timestamp,
) -> Result<Begun, StoreError> {
    let Some(refusal) = refusal(connection, operation, intent.id.key, now)? else {
        return Ok(Begun::Resumed(intent));
    };
    let ending = Ending::Denied(refusal.reason());
    let ended = complete::end(connection, intent.id, ending, &operation.origin, now)?;
    Ok(Begun::Done(ended.outcome))
}

pub(super) fn intent(row: i64, operation: Operation) -> Intent {
    Intent {
        id: IntentId {
            row,
            key: operation.key,
        },
        kind: operation.subject.kind(),
        institution: operation.institution,
        to_be_signed: operation.to_be_signed,
        expires_at: operation.expires_at,
        sign_by: operation.sign_by,
    }
}

fn admit(
    connection: &Connection,
    operation: Operation,
    uses: &mut Uses,
    now: Timestamp,
) -> Result<Begun, StoreError> {
    if let Some(refusal) = refusal(connection, &operation, operation.key, now)? {
        return Ok(Begun::Refused(refusal));
    }
    let institution = operation.institution.as_str();
    let stop = match &operation.subject {
        Subject::Authorization(order) => {
            over_money_limit(connection, institution, order, now)?.map(Begun::OverLimit)
        }
        Subject::DeviceCertificate(device) => {
            enrollment_stop(connection, institution, device, now)?
        }
        Subject::Crl(crl) => crl_number_taken(connection, operation.key, crl)?.map(Begun::Refused),
        Subject::Reissue(_)
        | Subject::AuthorizationCertificate(_)
        | Subject::KeyCertificate(_)
        | Subject::CertificationRequest(_) => None,
    };
    if let Some(stop) = stop {
        return Ok(stop);
    }
    if let Err(refusal) = uses.one_more(&operation) {
        return Ok(Begun::Refused(refusal));
    }
    record(connection, operation, now).map(Begun::Recorded)
}

fn refusal(
    connection: &Connection,
    operation: &Operation,
    key: KeyId,
    now: Timestamp,
) -> Result<Option<Refusal>, StoreError> {
    let institution = operation.institution.as_str();
    let kind = operation.subject.kind();
    let purpose = |row: &Row<'_>| row.get::<_, String>(0);
    let new = match operation.subject.new_key() {
        Some(new) => connection
            .prepare_cached(NEW_KEY)?
            .query_row((new.as_bytes(), institution), purpose)
            .optional()?,
        None => None,
    };
    let signs = match kind {
        Kind::CertificationRequest => new.clone(),
        _ => {
            let sql = if kind == Kind::Crl { CRL_KEY } else { KEY };
            let mut statement = connection.prepare_cached(sql)?;
            statement
                .query_row((key.as_bytes(), institution, now), purpose)
                .optional()?
        }
    };
    let (signs, new) = (signs.as_deref(), new.as_deref());
    if !may_sign(kind, signs) || !may_be_signed_of(kind, signs, new) {
        return Ok(Some(Refusal::KeyNotActive));
    }
    device_refusal(connection, operation)
}

/// Why nothing is begun for the device that is concerned.
fn device_refusal(
    connection: &Connection,
    operation: &Operation,
) -> Result<Option<Refusal>, StoreError> {
    let institution = operation.institution.as_str();
    let order = match &operation.subject {
        Subject::Authorization(order) => order,
        Subject::Reissue(device) => {
            let revoked = reissue::is_revoked(connection, institution, device.device)?;
            return Ok(revoked.then_some(Refusal::DeviceRevoked));
        }
        _ => return Ok(None),
    };
    let mut statement = connection.prepare_cached(STANDING)?;
    let standing = statement
        .query_row((order.device, institution), |row| {
            Ok(Standing {
                revoked: row.get(0)?,
                accepted: row.get(1)?,
            })
        })
        .optional()?;
    Ok(Standing::refusal(standing))
}

fn over_money_limit(
    connection: &Connection,
    institution: &str,
    order: &OrderRecord,
    now: Timestamp,
) -> Result<Option<Limit>, StoreError> {
    let since = now.plus_seconds(-MONEY_WINDOW_SECONDS);
    let currency = order.amount.currency().code();
    let mut statement = connection.prepare_cached(DAY)?;
    let (Count(orders), Count(billions), Count(units)) = statement
        .query_row((institution, order.device, since, currency), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let day = Day {
        orders,
        billions,
        units,
    };
    Ok(day.limit(order))
}

fn enrollment_stop(
    connection: &Connection,
    institution: &str,
    device: &DeviceRecord,
    now: Timestamp,
) -> Result<Option<Begun>, StoreError> {
    let mut statement = connection.prepare_cached(SUBSCRIBER)?;
    let Count(devices) = statement
        .query_row((institution, device.subscriber.as_str(), now), |row| {
            row.get(0)
        })?;
    if devices >= device.devices_per_subscriber {
        return Ok(Some(Begun::OverLimit(Limit::DevicesPerSubscriber)));
    }
    let taken = connection
        .prepare_cached(PUBLIC_KEY)?
        .exists([device.public_key])?;
    Ok(taken.then_some(Begun::Refused(Refusal::PublicKeyTaken)))
}

fn crl_number_taken(
    connection: &Connection,
    key: KeyId,
    crl: &CrlRecord,
) -> Result<Option<Refusal>, StoreError> {
    let Count(last) = connection
        .prepare_cached(LAST_CRL)?
        .query_row([key.as_bytes()], |row| row.get(0))?;
    Ok((crl.number <= last).then_some(Refusal::CrlNumberTaken))
}

fn record(
    connection: &Connection,
    operation: Operation,
    now: Timestamp,
) -> Result<Intent, StoreError> {
    let event = begun(&operation, Resulted::Begun);
    let kind = operation.subject.kind();
    connection.prepare_cached(OPERATION)?.execute(params![
        operation.institution.as_str(),
        kind.name(),
        operation.content,
        operation.key.as_bytes(),
        operation.to_be_signed,
        operation.expires_at,
        operation.sign_by,
        event.object,
        event.device,
        event.policy,
        operation.origin.actor.to_string(),
        operation.origin.request.to_string(),
        now,
    ])?;
    let id = connection.last_insert_rowid();
    record_subject(connection, &operation, id, now)?;
    audit::append(connection, &event, now)?;
    Ok(intent(id, operation))
}

fn record_subject(
    connection: &Connection,
    operation: &Operation,
    id: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let institution = operation.institution.as_str();
    match &operation.subject {
        Subject::Authorization(order) => connection.prepare_cached(ORDER)?.execute(params![
            id,
            institution,
            order.device,
            order.jti.into_bytes(),
            order.order_jws,
            order.amount.currency().code(),
            Count(order.amount.minor()),
            now,
        ])?,
        Subject::DeviceCertificate(device) => {
            connection.prepare_cached(DEVICE)?.execute(params![
                device.device,
                id,
                institution,
                operation.key.as_bytes(),
                device.request,
                device.public_key,
                device.subscriber.as_str(),
                device.serial,
                device.not_after,
            ])?
        }
        Subject::Reissue(device) => reissue::record(connection, id, device)?,
        Subject::Crl(crl) => {
            let (issuer, number) = (operation.key.as_bytes(), Count(crl.number));
            let row = (issuer, number, id, Count(crl.revocations), crl.next_update);
            connection.prepare_cached(CRL)?.execute(row)?
        }
        Subject::AuthorizationCertificate(CertificateRecord { key, .. })
        | Subject::KeyCertificate(CertificateRecord { key, .. })
        | Subject::CertificationRequest(key) => connection
            .prepare_cached(OF_NEW_KEY)?
            .execute((key.as_bytes(), id))?,
    };
    Ok(())
}
