//! Owns the verb by which a record that was put back from a backup takes over what it has lost, and the reading of its
//! hold.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    clock::Timestamp,
    domain::{actor::Origin, key::KeyId, operation::Kind},
    store::{
        RevokedCertificate, StoreError,
        restoration::{LastPublished, Owner, Restoration, Restored, RestoredIssuer},
        sqlite::{
            audit, begin,
            columns::{Count, ReasonCode},
            complete, devices, rows,
        },
    },
};

pub(super) const EXTEND: &str = "UPDATE hold SET until = max(until, ?1) WHERE one = 1";

pub(super) const KNOWN: &str = "SELECT 1 FROM revocation WHERE issuer_key = ?1 AND serial = ?2 \
    UNION ALL SELECT 1 FROM listed WHERE issuer_key = ?1 AND serial = ?2";

pub(super) const OWNER: &str = "SELECT d.id, d.not_after, o.object FROM device d JOIN operation o ON o.id = d.operation \
    WHERE d.issuer_key = ?1 AND d.serial = ?2";

pub(super) const REMEMBER: &str = "INSERT INTO listed (issuer_key, serial, not_after, reason, revoked_at) \
    VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const PUBLISHED: &str = "INSERT INTO operation (institution, kind, content, state, key_id, to_be_signed, \
    expires_at, sign_by, object, actor, request, begun_at, ended_at, artifact) \
    VALUES (?1, ?2, ?3, 'AUTHORIZED', ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?10, ?11)";

pub(super) fn restore(
    connection: &Connection,
    restoration: &Restoration,
    now: Timestamp,
) -> Result<Restored, StoreError> {
    let lists = restoration.lists.iter();
    let issuers = lists.map(|list| take_over(connection, restoration, list, now));
    let issuers = issuers.collect::<Result<_, _>>()?;
    connection
        .prepare_cached(EXTEND)?
        .execute([restoration.hold_until])?;
    let hold_until = rows::held_until(connection)?;
    for event in restoration.events(hold_until) {
        audit::append(connection, &event, now)?;
    }
    Ok(Restored {
        hold_until,
        issuers,
    })
}

fn take_over(
    connection: &Connection,
    restoration: &Restoration,
    list: &LastPublished,
    now: Timestamp,
) -> Result<RestoredIssuer, StoreError> {
    let Count(held) = connection
        .prepare_cached(begin::LAST_CRL)?
        .query_row([list.issuer.as_bytes()], |row| row.get(0))?;
    let (mut revoked, mut remembered) = (Vec::new(), Vec::new());
    for entry in &list.entries {
        let mut known = connection.prepare_cached(KNOWN)?;
        if known.exists((list.issuer.as_bytes(), &entry.serial))? {
            continue;
        }
        let owner = owner(connection, list.issuer, &entry.serial)?;
        match &owner {
            Some(owner) => {
                revoke(connection, list.issuer, entry, owner)?;
                revoked.push(owner.device);
            }
            None => {
                remember(connection, list.issuer, entry, restoration.expired_after)?;
                remembered.push(entry.serial.clone());
            }
        }
        let event = list.revoked(entry, owner.as_ref(), &restoration.origin);
        audit::append(connection, &event, now)?;
    }
    if list.number > held {
        publish(connection, list, &restoration.origin, now)?;
    }
    Ok(RestoredIssuer {
        issuer: list.issuer,
        held,
        number: held.max(list.number),
        revoked,
        remembered,
    })
}

fn owner(
    connection: &Connection,
    issuer: KeyId,
    serial: &[u8],
) -> Result<Option<Owner>, StoreError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Owner {
            device: row.get(0)?,
            not_after: row.get(1)?,
            object: row.get(2)?,
        })
    };
    Ok(connection
        .prepare_cached(OWNER)?
        .query_row((issuer.as_bytes(), serial), read)
        .optional()?)
}

fn revoke(
    connection: &Connection,
    issuer: KeyId,
    entry: &RevokedCertificate,
    owner: &Owner,
) -> Result<(), StoreError> {
    let last = devices::last_revocation(connection, issuer)?;
    connection
        .prepare_cached(devices::REVOKE)?
        .execute(params![
            issuer.as_bytes(),
            Count(last.saturating_add(1)),
            owner.device,
            entry.serial,
            owner.not_after,
            ReasonCode(entry.reason),
            entry.at,
        ])?;
    Ok(())
}

fn remember(
    connection: &Connection,
    issuer: KeyId,
    entry: &RevokedCertificate,
    expired_after: Timestamp,
) -> Result<(), StoreError> {
    let reason = ReasonCode(entry.reason);
    let row = (
        issuer.as_bytes(),
        &entry.serial,
        expired_after,
        reason,
        entry.at,
    );
    connection.prepare_cached(REMEMBER)?.execute(row)?;
    Ok(())
}

/// The CRL stands as if it had been made here, up to no revocation: if there is any, the next one is due at once.
fn publish(
    connection: &Connection,
    list: &LastPublished,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection.prepare_cached(PUBLISHED)?.execute(params![
        list.institution.as_str(),
        Kind::Crl.name(),
        list.content(),
        list.issuer.as_bytes(),
        list.to_be_signed,
        list.next_update,
        list.number.to_string(),
        origin.actor.to_string(),
        origin.request.to_string(),
        list.this_update,
        list.der,
    ])?;
    let (number, operation) = (Count(list.number), connection.last_insert_rowid());
    connection.prepare_cached(begin::CRL)?.execute((
        list.issuer.as_bytes(),
        number,
        operation,
        Count(0),
        list.next_update,
    ))?;
    connection
        .prepare_cached(complete::COUNT)?
        .execute((list.issuer.as_bytes(), Count(1)))?;
    for event in list.published(origin) {
        audit::append(connection, &event, now)?;
    }
    Ok(())
}
