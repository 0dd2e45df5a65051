//! Owns the verbs that remove what is not kept any longer: `prune`, `erase`, and the writing anew of the file.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use semops_objects::institution::InstitutionId;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        device::{DeviceId, Reference},
        key::KeyId,
        retention::Kept,
    },
    store::{
        Earlier, Erased, StoreError,
        removal::{self, Holding, Issued, Prefix},
        sqlite::{
            audit,
            columns::{Count, Text},
            rows,
        },
    },
};

pub(super) const BURIED: &str = "SELECT content, state, reason FROM pruned_order \
    WHERE institution = ?1 AND device = ?2 AND jti = ?3";

pub(super) const DUE_ORDERS: &str = "SELECT id FROM operation WHERE kind = 'authorization' AND state <> 'PENDING' \
    AND ended_at < ?1 AND begun_at < ?1 ORDER BY ended_at LIMIT ?2";

// The newest that is signed stays, and all above it.
pub(super) const DUE_CRLS: &str = "SELECT l.operation FROM crl l JOIN operation o ON o.id = l.operation \
    WHERE l.issuer_key = ?1 AND o.state <> 'PENDING' AND o.ended_at < ?2 AND l.number < (SELECT n.number FROM crl n \
    JOIN operation s ON s.id = n.operation WHERE n.issuer_key = ?1 AND s.state = 'AUTHORIZED' \
    ORDER BY n.number DESC LIMIT 1) ORDER BY l.number LIMIT ?3";

pub(super) const DUE_SUBSCRIBERS: &str = "SELECT id, issuer FROM device \
    WHERE subscriber <> '00000000-0000-0000-0000-000000000000' AND not_after < ?1 ORDER BY not_after LIMIT ?2";

pub(super) const DUE_EVENTS: &str =
    "SELECT seq, leaf FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2";

const KEYS: &str = "SELECT id FROM key";

pub(super) const BURY: &str = "INSERT INTO pruned_order (institution, device, jti, content, state, reason, ended_at) \
    SELECT c.institution, c.device, c.jti, o.content, o.state, o.reason, o.ended_at FROM operation o \
    JOIN cosigned_order c ON c.operation = o.id WHERE o.id = ?1";

pub(super) const COUNT_REMOVED: &str = "INSERT INTO removed (key_id, kind, operations, signatures) \
    SELECT key_id, kind, 1, state = 'AUTHORIZED' FROM operation WHERE id = ?1 \
    ON CONFLICT (key_id, kind) DO UPDATE SET operations = operations + 1, signatures = signatures + excluded.signatures";

pub(super) const REMOVE_ORDER: &str = "DELETE FROM cosigned_order WHERE operation = ?1";

pub(super) const REMOVE_CRL: &str = "DELETE FROM crl WHERE operation = ?1";

pub(super) const REMOVE_OPERATION: &str =
    "DELETE FROM operation WHERE id = ?1 RETURNING institution";

pub(super) const UNNAME: &str = "UPDATE device SET subscriber = ?2 WHERE id = ?1";

pub(super) const REMOVE_EVENTS: &str = "DELETE FROM audit WHERE seq > ?1 AND seq <= ?2";

pub(super) const PREFIX: &str = "SELECT through, leaves, sha256 FROM audit_prefix WHERE one = 1";

pub(super) const EXTEND_PREFIX: &str = "UPDATE audit_prefix SET through = ?1, leaves = ?2, sha256 = ?3, before = max(before, ?4) WHERE one = 1";

pub(super) const ISSUED: &str = "SELECT d.subscriber <> ?3, d.certificate_sha256 IS NOT NULL, r.device IS NOT NULL, d.not_after \
    FROM device d LEFT JOIN revocation r ON r.device = d.id WHERE d.id = ?1 AND d.issuer = ?2";

pub(super) const HELD_ORDERS: &str = "SELECT count(*), count(CASE WHEN o.state = 'PENDING' THEN 1 END), max(c.reserved_at) \
    FROM cosigned_order c JOIN operation o ON o.id = c.operation WHERE c.institution = ?1 AND c.device = ?2";

pub(super) const ORDERS_OF: &str = "SELECT operation FROM cosigned_order WHERE institution = ?1 AND device = ?2 ORDER BY jti LIMIT ?3";

pub(super) const ANY_BURIED: &str =
    "SELECT 1 FROM pruned_order WHERE institution = ?1 AND device = ?2 LIMIT 1";

/// What stays of an order that was removed.
pub(super) fn buried(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
    jti: Uuid,
) -> Result<Option<Earlier>, StoreError> {
    let key = (institution.as_str(), device, jti.into_bytes());
    let read = |row: &rusqlite::Row<'_>| {
        let (content, state, reason) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(removal::buried(content, state, device, reason))
    };
    Ok(connection
        .prepare_cached(BURIED)?
        .query_row(key, read)
        .optional()?)
}

pub(super) fn prune(
    connection: &Connection,
    kept: Kept,
    before: Timestamp,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let removed = match kept {
        Kept::Orders => {
            let due = ids(connection, DUE_ORDERS, params![before, limit])?;
            remove_orders(connection, &due)?
        }
        Kept::Crls => remove_crls(connection, before, limit)?,
        Kept::Subscribers => unname_due(connection, before, limit)?,
        Kept::Events => return remove_events(connection, before, limit, origin, now),
    };
    for event in removal::pruned(kept, &removed, origin) {
        audit::append(connection, &event, now)?;
    }
    Ok(removed.values().sum())
}

/// Rows by institution.
type Rows = BTreeMap<InstitutionId, u64>;

fn ids(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map(parameters, |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Orders with their operations; what refuses their jti stays.
fn remove_orders(connection: &Connection, operations: &[i64]) -> Result<Rows, StoreError> {
    let mut removed = Rows::new();
    for id in operations {
        connection.prepare_cached(BURY)?.execute([id])?;
        connection.prepare_cached(REMOVE_ORDER)?.execute([id])?;
        remove_operation(connection, *id, &mut removed)?;
    }
    Ok(removed)
}

fn remove_crls(connection: &Connection, before: Timestamp, limit: u32) -> Result<Rows, StoreError> {
    let mut statement = connection.prepare_cached(KEYS)?;
    let keys = statement.query_map([], |row| row.get(0).map(KeyId::new))?;
    let keys = keys.collect::<Result<Vec<KeyId>, _>>()?;
    let mut due = Vec::new();
    for key in keys {
        let left = usize::try_from(limit).map_or(0, |limit| limit.saturating_sub(due.len()));
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        due.extend(ids(
            connection,
            DUE_CRLS,
            params![key.as_bytes(), before, left],
        )?);
    }
    let mut removed = Rows::new();
    for id in due {
        connection.prepare_cached(REMOVE_CRL)?.execute([id])?;
        remove_operation(connection, id, &mut removed)?;
    }
    Ok(removed)
}

fn remove_operation(
    connection: &Connection,
    id: i64,
    removed: &mut Rows,
) -> Result<(), StoreError> {
    connection.prepare_cached(COUNT_REMOVED)?.execute([id])?;
    let Text(institution) = connection
        .prepare_cached(REMOVE_OPERATION)?
        .query_row([id], |row| row.get(0))?;
    let rows = removed.entry(institution).or_default();
    *rows = rows.saturating_add(1);
    Ok(())
}

fn unname_due(connection: &Connection, before: Timestamp, limit: u32) -> Result<Rows, StoreError> {
    let mut statement = connection.prepare_cached(DUE_SUBSCRIBERS)?;
    let due = statement.query_map((before, limit), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let due = due.collect::<Result<Vec<(DeviceId, Text<_>)>, _>>()?;
    let mut removed = Rows::new();
    for (device, Text(issuer)) in due {
        unname(connection, device)?;
        let rows = removed.entry(issuer).or_default();
        *rows = rows.saturating_add(1);
    }
    Ok(removed)
}

fn unname(connection: &Connection, device: DeviceId) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(UNNAME)?;
    statement.execute((device, Reference::ERASED))?;
    Ok(())
}

fn remove_events(
    connection: &Connection,
    before: Timestamp,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let standing = connection.prepare_cached(PREFIX)?.query_row([], |row| {
        let Count(leaves) = row.get(1)?;
        Ok(Prefix {
            through: row.get(0)?,
            leaves,
            sha256: row.get(2)?,
        })
    })?;
    let mut statement = connection.prepare_cached(DUE_EVENTS)?;
    let first = statement.query_map((standing.through, limit), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let first = first.collect::<Result<Vec<(i64, Vec<u8>)>, _>>()?;
    let mut prefix = standing;
    let institutions = prefix.extend(first, before)?;
    if institutions.is_empty() {
        return Ok(0);
    }
    // Before the others go, or a record without any event would number from the first again.
    for event in prefix.events(&institutions, origin) {
        audit::append(connection, &event, now)?;
    }
    connection.prepare_cached(EXTEND_PREFIX)?.execute(params![
        prefix.through,
        Count(prefix.leaves),
        prefix.sha256,
        before
    ])?;
    connection
        .prepare_cached(REMOVE_EVENTS)?
        .execute((standing.through, prefix.through))?;
    Ok(prefix.leaves.saturating_sub(standing.leaves))
}

pub(super) fn erase(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
    limit: u32,
    origin: Origin,
    now: Timestamp,
) -> Result<Erased, StoreError> {
    let holding = holding(connection, institution, device)?;
    if let Some(refusal) = holding.refusal(now) {
        return Ok(refusal);
    }
    let of = params![institution.as_str(), device, limit];
    let orders = ids(connection, ORDERS_OF, of)?;
    let removed = remove_orders(connection, &orders)?.values().sum();
    let more = removed < holding.orders;
    let subscriber = !more && holding.issued.is_some_and(|issued| issued.named);
    if subscriber {
        unname(connection, device)?;
    }
    if removed > 0 || subscriber {
        let event = removal::erased(institution, device, removed, origin);
        audit::append(connection, &event, now)?;
    }
    Ok(Erased::Done {
        orders: removed,
        subscriber,
        more,
    })
}

fn holding(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
) -> Result<Holding, StoreError> {
    let owner = institution.as_str();
    let issued = connection
        .prepare_cached(ISSUED)?
        .query_row((device, owner, Reference::ERASED), |row| {
            Ok(Issued {
                named: row.get(0)?,
                certified: row.get(1)?,
                revoked: row.get(2)?,
                not_after: row.get(3)?,
            })
        })
        .optional()?;
    let (Count(orders), Count(pending), reserved_at) = connection
        .prepare_cached(HELD_ORDERS)?
        .query_row((owner, device), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let mut removed = connection.prepare_cached(ANY_BURIED)?;
    Ok(Holding {
        issued,
        accepted: rows::acceptance(connection, institution, device)?.is_some(),
        orders,
        pending,
        reserved_at,
        removed: removed.exists((owner, device))?,
    })
}

/// Writes the whole file anew, then the log into it: an index that was split, or a page that was packed, may hold octets
/// of rows that are gone. Others who write wait for it.
pub(super) fn scrub(connection: &mut Connection) -> Result<(), StoreError> {
    connection.execute_batch("VACUUM")?;
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        return Err(StoreError::Busy);
    }
    Ok(())
}
