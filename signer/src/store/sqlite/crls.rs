//! Owns the verbs that read what a CRL is made from.

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::{
    clock::Timestamp,
    domain::key::KeyId,
    store::{
        CrlState, PublishedCrl, RevokedCertificate, StoreError,
        sqlite::{
            begin,
            columns::{Count, ReasonCode},
            devices, rows,
        },
    },
};

pub(super) const NEWEST: &str = "SELECT l.number, l.revocations, l.next_update, o.ended_at, o.artifact FROM crl l \
    JOIN operation o ON o.id = l.operation WHERE l.issuer_key = ?1 AND o.state = 'AUTHORIZED' \
    ORDER BY l.number DESC LIMIT 1";

pub(super) const REVOKED: &str = "SELECT serial, revoked_at, reason FROM revocation \
    WHERE issuer_key = ?1 AND not_after >= ?2 AND sequence <= ?3 ORDER BY sequence";

/// Those of before a restore: in every CRL until they are surely past.
pub(super) const LISTED: &str =
    "SELECT serial, revoked_at, reason FROM listed WHERE issuer_key = ?1 AND not_after >= ?2";

pub(super) fn crl_state(connection: &Connection, issuer: KeyId) -> Result<CrlState, StoreError> {
    let Count(last_number) = connection
        .prepare_cached(begin::LAST_CRL)?
        .query_row([issuer.as_bytes()], |row| row.get(0))?;
    Ok(CrlState {
        last_number,
        newest: connection
            .prepare_cached(NEWEST)?
            .query_row([issuer.as_bytes()], read_crl)
            .optional()?,
        revocations: devices::last_revocation(connection, issuer)?,
        pending: rows::pending_crl(connection, issuer)?,
    })
}

fn read_crl(row: &Row<'_>) -> rusqlite::Result<PublishedCrl> {
    let (Count(number), Count(revocations)) = (row.get(0)?, row.get(1)?);
    Ok(PublishedCrl {
        number,
        revocations,
        next_update: row.get(2)?,
        signed_at: row.get(3)?,
        der: row.get(4)?,
    })
}

pub(super) fn revoked(
    connection: &Connection,
    issuer: KeyId,
    revocations: u64,
    since: Timestamp,
) -> Result<Vec<RevokedCertificate>, StoreError> {
    let mut statement = connection.prepare_cached(REVOKED)?;
    let entries =
        statement.query_map((issuer.as_bytes(), since, Count(revocations)), read_entry)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    let mut statement = connection.prepare_cached(LISTED)?;
    for entry in statement.query_map((issuer.as_bytes(), since), read_entry)? {
        entries.push(entry?);
    }
    Ok(entries)
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<RevokedCertificate> {
    let ReasonCode(reason) = row.get(2)?;
    Ok(RevokedCertificate {
        serial: row.get(0)?,
        at: row.get(1)?,
        reason,
    })
}
