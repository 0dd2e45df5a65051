//! Owns the verb that lists devices: a bounded walk along an index, in the order of ids. The index holds the asking
//! institution's devices alone, so that neither the length of a page nor its time tells of another's.

use rusqlite::{Connection, Rows};
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::device::{DeviceId, Relation, Status},
    store::{DevicePage, DeviceQuery, StoreError, sqlite::rows},
};

macro_rules! walk {
    ($id:literal, $from:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            $id,
            ", d.not_after, r.device IS NOT NULL FROM ",
            $from,
            " LEFT JOIN revocation r ON r.device = d.id WHERE ",
            $condition,
            " AND ",
            $id,
            " > ?2 ORDER BY ",
            $id
        )
    };
}

pub(super) const ISSUED: &str = walk!(
    "d.id",
    "device d",
    "d.issuer = ?1 AND d.certificate_sha256 IS NOT NULL"
);

pub(super) const ISSUED_TO: &str = walk!(
    "d.id",
    "device d",
    "d.issuer = ?1 AND d.subscriber = ?3 AND d.certificate_sha256 IS NOT NULL"
);

// CROSS JOIN is SQLite's word for the order of the loops.
pub(super) const ACCEPTED: &str = walk!(
    "a.device",
    "acceptance a CROSS JOIN device d ON d.id = a.device",
    "a.institution = ?1"
);

pub(super) const ACCEPTED_FOR: &str = walk!(
    "a.device",
    "acceptance a CROSS JOIN device d ON d.id = a.device",
    "a.institution = ?1 AND a.account = ?3"
);

pub(super) fn devices(
    connection: &Connection,
    institution: &InstitutionId,
    query: &DeviceQuery,
) -> Result<DevicePage, StoreError> {
    let (sql, reference) = match &query.filter.relation {
        Relation::Issued(None) => (ISSUED, None),
        Relation::Issued(Some(subscriber)) => (ISSUED_TO, Some(subscriber)),
        Relation::Accepted(None) => (ACCEPTED, None),
        Relation::Accepted(Some(account)) => (ACCEPTED_FOR, Some(account)),
    };
    let after = query.after.map(|id| id.uuid().into_bytes());
    // No octets come before all others.
    let after = after.as_ref().map_or(&[][..], |octets| octets.as_slice());
    let mut statement = connection.prepare_cached(sql)?;
    let rows = match reference {
        None => statement.query((institution.as_str(), after))?,
        Some(reference) => statement.query((institution.as_str(), after, reference.as_str()))?,
    };
    let (ids, next) = walk(rows, query)?;
    let mut devices = Vec::with_capacity(ids.len());
    for id in ids {
        let device = rows::device(connection, id)?
            .ok_or_else(|| StoreError::Corrupt(format!("device {id} has no certificate")))?;
        devices.push((device, rows::acceptance(connection, institution, id)?));
    }
    Ok(DevicePage {
        generation: rows::generation(connection)?,
        devices,
        next,
    })
}

/// The ids that the filter lets through, and the last that was looked at if there is one behind it.
fn walk(
    mut rows: Rows<'_>,
    query: &DeviceQuery,
) -> Result<(Vec<DeviceId>, Option<DeviceId>), StoreError> {
    let (mut ids, mut last, mut looked_at) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        if ids.len() >= query.at_most || looked_at >= query.rows {
            return Ok((ids, last));
        }
        let (id, not_after, revoked): (DeviceId, Timestamp, bool) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let status = Status::of(revoked, not_after, query.now);
        if query.filter.status.is_none_or(|wanted| wanted == status) {
            ids.push(id);
        }
        last = Some(id);
        looked_at += 1;
    }
    Ok((ids, None))
}
