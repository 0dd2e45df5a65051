//! Owns the certificates of devices that replace others: what stands about one, its record, and what its end brings about.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{actor::Origin, device::DeviceId, key::KeyId, operation::ReissueRecord},
    store::{
        ReissueRecall, Reissues, StoreError,
        reissue::{Replaced, SUPERSEDED},
        sqlite::{
            SqliteStore, audit,
            columns::{Count, ReasonCode, Text},
            devices, rows,
        },
    },
};

pub(super) const CONTENT: &str = "SELECT o.content FROM device d JOIN operation o ON o.id = d.operation \
    WHERE d.id = ?1 AND d.issuer = ?2";

pub(super) const RECORD: &str = "INSERT INTO reissue (operation, device, replaces, serial, not_after) \
    SELECT ?1, id, operation, ?3, ?4 FROM device WHERE id = ?2";

pub(super) const STANDING: &str = "SELECT r.sequence IS NOT NULL FROM device d LEFT JOIN revocation r ON r.device = d.id \
    WHERE d.id = ?1 AND d.issuer = ?2 AND d.certificate_sha256 IS NOT NULL";

pub(super) const REVOKED: &str = "SELECT EXISTS (SELECT 1 FROM revocation r WHERE r.device = x.device) \
    FROM reissue x WHERE x.operation = ?1";

pub(super) const REPLACED: &str = "SELECT d.issuer, d.id, d.issuer_key, d.serial, d.not_after, o.object FROM reissue x \
    JOIN device d ON d.id = x.device JOIN operation o ON o.id = d.operation WHERE x.operation = ?1";

pub(super) const KEEP: &str = "UPDATE reissue SET replaced_at = ?2, \
    replaced_sha256 = (SELECT certificate_sha256 FROM device d WHERE d.id = reissue.device) WHERE operation = ?1";

pub(super) const REPLACE: &str = "UPDATE device SET operation = ?1, certificate_sha256 = ?2, \
    issuer_key = (SELECT key_id FROM operation WHERE id = ?1), \
    serial = (SELECT serial FROM reissue WHERE operation = ?1), \
    not_after = (SELECT not_after FROM reissue WHERE operation = ?1) \
    WHERE id = (SELECT device FROM reissue WHERE operation = ?1)";

pub(super) const GIVE_UP: &str = "UPDATE reissue SET replaces = NULL WHERE operation = ?1";

#[async_trait]
impl Reissues for SqliteStore {
    async fn recall_reissue(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
    ) -> Result<ReissueRecall, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| recall(connection, &institution, device))
            .await
    }
}

fn recall(
    connection: &Connection,
    institution: &InstitutionId,
    id: DeviceId,
) -> Result<ReissueRecall, StoreError> {
    let device = rows::device(connection, id)?;
    let content = connection
        .prepare_cached(CONTENT)?
        .query_row((id, institution.as_str()), |row| row.get(0))
        .optional()?;
    Ok(ReissueRecall {
        generation: rows::generation(connection)?,
        device: device.zip(content),
    })
}

/// Whether the institution has no such device, or has revoked it.
pub(super) fn is_revoked(
    connection: &Connection,
    institution: &str,
    device: DeviceId,
) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(STANDING)?;
    let revoked = statement
        .query_row((device, institution), |row| row.get(0))
        .optional()?;
    Ok(revoked.unwrap_or(true))
}

pub(super) fn record(
    connection: &Connection,
    id: i64,
    reissue: &ReissueRecord,
) -> Result<usize, StoreError> {
    let row = params![id, reissue.device, reissue.serial, reissue.not_after];
    Ok(connection.prepare_cached(RECORD)?.execute(row)?)
}

/// Whether the device of an intent is revoked; nothing if that is no certificate in another's place.
pub(super) fn revoked_since(connection: &Connection, id: i64) -> Result<Option<bool>, StoreError> {
    Ok(connection
        .prepare_cached(REVOKED)?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

/// Puts the certificate of an operation in the place of the one before, which is revoked as superseded.
pub(super) fn replace(
    connection: &Connection,
    id: i64,
    sha256: [u8; 32],
    origin: &Origin,
    now: Timestamp,
) -> Result<(), StoreError> {
    let read = |row: &Row<'_>| {
        let Text(issuer) = row.get(0)?;
        let replaced = Replaced {
            issuer,
            device: row.get(1)?,
            key: row.get(2).map(KeyId::new)?,
            object: row.get(5)?,
        };
        let (serial, not_after): (Vec<u8>, Timestamp) = (row.get(3)?, row.get(4)?);
        Ok((replaced, serial, not_after))
    };
    let (replaced, serial, not_after) =
        connection.prepare_cached(REPLACED)?.query_row([id], read)?;
    let last = devices::last_revocation(connection, replaced.key)?;
    connection
        .prepare_cached(devices::REVOKE)?
        .execute(params![
            replaced.key.as_bytes(),
            Count(last.saturating_add(1)),
            None::<DeviceId>,
            serial,
            not_after,
            ReasonCode(SUPERSEDED),
            now,
        ])?;
    connection.prepare_cached(KEEP)?.execute((id, now))?;
    connection.prepare_cached(REPLACE)?.execute((id, sha256))?;
    audit::append(connection, &replaced.told(origin), now)
}
