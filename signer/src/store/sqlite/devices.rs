//! Owns the verbs that change what a certified device may do: acceptance, release, revocation.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use semops_objects::institution::InstitutionId;
use semops_pki::crl::Reason;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::Event,
        device::{Acceptance, DeviceId, Reference, Revocation},
        key::KeyId,
    },
    store::{
        Accepted, Revoked, StoreError,
        decision::done,
        sqlite::{
            audit,
            columns::{Count, ReasonCode},
            rows,
        },
    },
};

pub(super) const ACCEPT: &str =
    "INSERT INTO acceptance (institution, device, account, accepted_at) VALUES (?1, ?2, ?3, ?4)";

pub(super) const RELEASE: &str = "DELETE FROM acceptance WHERE institution = ?1 AND device = ?2";

pub(super) const ISSUED: &str = "SELECT d.issuer_key, d.serial, d.not_after, o.object, r.revoked_at, r.reason \
    FROM device d JOIN operation o ON o.id = d.operation LEFT JOIN revocation r ON r.device = d.id \
    WHERE d.id = ?1 AND d.issuer = ?2 AND d.certificate_sha256 IS NOT NULL";

pub(super) const LAST_REVOCATION: &str =
    "SELECT coalesce(max(sequence), 0) FROM revocation WHERE issuer_key = ?1";

pub(super) const REVOKE: &str = "INSERT INTO revocation (issuer_key, sequence, device, serial, not_after, reason, revoked_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) fn accept(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
    account: Reference,
    generation: u64,
    origin: Origin,
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    if rows::generation(connection)? != generation {
        return Ok(Accepted::Stale);
    }
    if rows::device(connection, device)?.is_none_or(|device| device.revoked.is_some()) {
        return Ok(Accepted::NotAcceptable);
    }
    if let Some(standing) = rows::acceptance(connection, institution, device)? {
        return Ok(if standing.account == account {
            Accepted::Accepted(standing)
        } else {
            Accepted::Otherwise
        });
    }
    let mut statement = connection.prepare_cached(ACCEPT)?;
    statement.execute((institution.as_str(), device, account.as_str(), now))?;
    audit::append(
        connection,
        &done(institution, "accept", device, origin),
        now,
    )?;
    Ok(Accepted::Accepted(Acceptance {
        account,
        accepted_at: now,
    }))
}

pub(super) fn release(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
    origin: Origin,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let stood = connection
        .prepare_cached(RELEASE)?
        .execute((institution.as_str(), device))?
        > 0;
    if stood {
        audit::append(
            connection,
            &done(institution, "release", device, origin),
            now,
        )?;
    }
    Ok(stood)
}

pub(super) fn revoke(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
    reason: Reason,
    origin: Origin,
    now: Timestamp,
) -> Result<Revoked, StoreError> {
    let Some(issued) = issued(connection, institution, device)? else {
        return Ok(Revoked::NotFound);
    };
    if let Some(revocation) = issued.revoked {
        return Ok(Revoked::Revoked(revocation));
    }
    connection.prepare_cached(REVOKE)?.execute(params![
        issued.key.as_bytes(),
        Count(last_revocation(connection, issued.key)?.saturating_add(1)),
        device,
        issued.serial,
        issued.not_after,
        ReasonCode(reason),
        now,
    ])?;
    let event = done(institution, "revoke", device, origin);
    let event = Event {
        object: Some(issued.object),
        reason: Some(reason.name().to_owned()),
        ..event
    };
    audit::append(connection, &event, now)?;
    Ok(Revoked::Revoked(Revocation { at: now, reason }))
}

/// The sequence number of the key's last revocation; 0 when there is none.
pub(super) fn last_revocation(connection: &Connection, issuer: KeyId) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(LAST_REVOCATION)?;
    Ok(statement.query_row([issuer.as_bytes()], |row| {
        row.get(0).map(|Count(last)| last)
    })?)
}

struct Issued {
    key: KeyId,
    serial: Vec<u8>,
    not_after: Timestamp,
    object: String,
    revoked: Option<Revocation>,
}

fn issued(
    connection: &Connection,
    issuer: &InstitutionId,
    device: DeviceId,
) -> Result<Option<Issued>, StoreError> {
    let read = |row: &Row<'_>| {
        let revoked = match (row.get(4)?, row.get(5)?) {
            (Some(at), Some(ReasonCode(reason))) => Some(Revocation { at, reason }),
            _ => None,
        };
        Ok(Issued {
            key: row.get(0).map(KeyId::new)?,
            serial: row.get(1)?,
            not_after: row.get(2)?,
            object: row.get(3)?,
            revoked,
        })
    };
    Ok(connection
        .prepare_cached(ISSUED)?
        .query_row((device, issuer.as_str()), read)
        .optional()?)
}
