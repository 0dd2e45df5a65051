//! Owns the verbs that remove what is not kept any longer: `prune` and `erase`. A group costs a fixed number of
//! statements. Nothing goes while a program may serve that does not look for what stays.

use std::collections::BTreeMap;

use semops_objects::institution::InstitutionId;
use tokio_postgres::Row;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        device::{DeviceId, Reference},
        retention::Kept,
    },
    store::{
        Erased, columns,
        postgres::{
            audit,
            columns::{Count, Octets, Text},
            error::Failure,
            locks, reads, schema,
            session::{Parameter, Session},
        },
        removal::{self, Holding, Issued, Prefix},
    },
};

pub(super) const DUE_ORDERS: &str = "SELECT id, institution FROM operation WHERE kind = 'authorization' \
    AND state <> 'PENDING' AND ended_at < $1 AND begun_at < $1 ORDER BY ended_at LIMIT $2";

// Of each key the first ones: the newest that is signed stays, and all above it.
pub(super) const DUE_CRLS: &str = "SELECT p.operation, p.institution FROM key k CROSS JOIN LATERAL \
    (SELECT l.operation, o.institution FROM crl l JOIN operation o ON o.id = l.operation \
    WHERE l.issuer_key = k.id AND o.state <> 'PENDING' AND o.ended_at < $1 AND l.number < (SELECT n.number FROM crl n \
    JOIN operation s ON s.id = n.operation WHERE n.issuer_key = k.id AND s.state = 'AUTHORIZED' \
    ORDER BY n.number DESC LIMIT 1) ORDER BY l.number LIMIT $2) p LIMIT $2";

pub(super) const DUE_SUBSCRIBERS: &str = "SELECT id, issuer FROM device \
    WHERE subscriber <> '00000000-0000-0000-0000-000000000000' AND not_after < $1 ORDER BY not_after LIMIT $2";

pub(super) const DUE_EVENTS: &str =
    "SELECT seq, leaf FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";

pub(super) const BURY: &str = "INSERT INTO pruned_order (institution, device, jti, content, state, reason, ended_at) \
    SELECT c.institution, c.device, c.jti, o.content, o.state, o.reason, o.ended_at FROM operation o \
    JOIN cosigned_order c ON c.operation = o.id WHERE o.id = ANY($1::bigint[])";

pub(super) const COUNT_REMOVED: &str = "INSERT INTO removed (key_id, kind, operations, signatures) \
    SELECT key_id, kind, count(*), count(*) FILTER (WHERE state = 'AUTHORIZED') FROM operation \
    WHERE id = ANY($1::bigint[]) GROUP BY key_id, kind ON CONFLICT (key_id, kind) DO UPDATE \
    SET operations = removed.operations + excluded.operations, signatures = removed.signatures + excluded.signatures";

pub(super) const REMOVE_ORDERS: &str =
    "DELETE FROM cosigned_order WHERE operation = ANY($1::bigint[])";

pub(super) const REMOVE_CRLS: &str = "DELETE FROM crl WHERE operation = ANY($1::bigint[])";

pub(super) const REMOVE_OPERATIONS: &str = "DELETE FROM operation WHERE id = ANY($1::bigint[])";

pub(super) const UNNAME: &str = "UPDATE device SET subscriber = $2 WHERE id = ANY($1::uuid[])";

pub(super) const REMOVE_EVENTS: &str = "DELETE FROM audit WHERE seq > $1 AND seq <= $2";

pub(super) const PREFIX: &str = "SELECT through, leaves, sha256 FROM audit_prefix WHERE one = 1";

pub(super) const EXTEND_PREFIX: &str = "UPDATE audit_prefix SET through = $1, leaves = $2, sha256 = $3, \
    before = greatest(before, $4) WHERE one = 1";

pub(super) const HOLDING: &str = "SELECT d.id IS NOT NULL, coalesce(d.subscriber <> $3, false), \
    coalesce(d.certificate_sha256 IS NOT NULL, false), r.device IS NOT NULL, coalesce(d.not_after, 0), s.orders, s.pending, \
    s.reserved_at, EXISTS (SELECT 1 FROM pruned_order p WHERE p.institution = $2 AND p.device = $1) \
    FROM (SELECT count(*) AS orders, count(*) FILTER (WHERE o.state = 'PENDING') AS pending, \
    max(c.reserved_at) AS reserved_at FROM cosigned_order c JOIN operation o ON o.id = c.operation \
    WHERE c.institution = $2 AND c.device = $1) s \
    LEFT JOIN device d ON d.id = $1 AND d.issuer = $2 LEFT JOIN revocation r ON r.device = d.id";

pub(super) const ORDERS_OF: &str = "SELECT operation FROM cosigned_order WHERE institution = $1 AND device = $2 ORDER BY jti LIMIT $3";

pub(super) async fn prune(
    session: &Session,
    kept: Kept,
    before: Timestamp,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<Option<u64>, Failure> {
    session.in_time()?;
    locks::remove(session).await?;
    if !schema::may_remove(session).await? {
        return Ok(None);
    }
    let sql = match kept {
        Kept::Orders => DUE_ORDERS,
        Kept::Crls => DUE_CRLS,
        Kept::Subscribers => DUE_SUBSCRIBERS,
        Kept::Events => {
            let removed = remove_events(session, before, limit, origin, now).await?;
            return Ok(Some(removed));
        }
    };
    let parameters: [Parameter<'_>; 2] = [&before.micros(), &i64::from(limit)];
    let due = session.query(sql, &parameters).await?;
    let mut rows: BTreeMap<InstitutionId, u64> = BTreeMap::new();
    for row in &due {
        let Text(institution) = row.try_get(1)?;
        let rows = rows.entry(institution).or_default();
        *rows = rows.saturating_add(1);
    }
    match kept {
        Kept::Orders => remove_orders(session, &first_column(&due)?).await?,
        Kept::Crls => remove_crls(session, &first_column(&due)?).await?,
        Kept::Subscribers | Kept::Events => unname(session, &first_column(&due)?).await?,
    }
    let events = removal::pruned(kept, &rows, origin);
    audit::append(session, &events, now).await?;
    Ok(Some(rows.values().sum()))
}

fn first_column<'a, T: tokio_postgres::types::FromSql<'a>>(
    rows: &'a [Row],
) -> Result<Vec<T>, Failure> {
    rows.iter()
        .map(|row| row.try_get(0).map_err(Into::into))
        .collect()
}

/// Orders with their operations; what refuses their jti stays.
async fn remove_orders(session: &Session, operations: &Vec<i64>) -> Result<(), Failure> {
    for sql in [BURY, COUNT_REMOVED, REMOVE_ORDERS, REMOVE_OPERATIONS] {
        session.execute(sql, &[operations]).await?;
    }
    Ok(())
}

async fn remove_crls(session: &Session, operations: &Vec<i64>) -> Result<(), Failure> {
    for sql in [COUNT_REMOVED, REMOVE_CRLS, REMOVE_OPERATIONS] {
        session.execute(sql, &[operations]).await?;
    }
    Ok(())
}

async fn unname(session: &Session, devices: &Vec<uuid::Uuid>) -> Result<(), Failure> {
    let parameters: [Parameter<'_>; 2] = [devices, &Reference::ERASED];
    session.execute(UNNAME, &parameters).await.map(drop)
}

async fn remove_events(
    session: &Session,
    before: Timestamp,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<u64, Failure> {
    let row = session.one(PREFIX, &[]).await?;
    let (Count(leaves), Octets(sha256)) = (row.try_get(1)?, row.try_get(2)?);
    let standing = Prefix {
        through: row.try_get(0)?,
        leaves,
        sha256,
    };
    let parameters: [Parameter<'_>; 2] = [&standing.through, &i64::from(limit)];
    let rows = session.query(DUE_EVENTS, &parameters).await?;
    let leaf = |row: &Row| -> Result<_, Failure> { Ok((row.try_get(0)?, row.try_get(1)?)) };
    let first = rows.iter().map(leaf).collect::<Result<Vec<_>, _>>()?;
    let mut prefix = standing;
    let institutions = prefix.extend(first, before)?;
    if institutions.is_empty() {
        return Ok(0);
    }
    let extended: [Parameter<'_>; 4] = [
        &prefix.through,
        &columns::version(prefix.leaves),
        &prefix.sha256.as_slice(),
        &before.micros(),
    ];
    session.execute(EXTEND_PREFIX, &extended).await?;
    let range: [Parameter<'_>; 2] = [&standing.through, &prefix.through];
    session.execute(REMOVE_EVENTS, &range).await?;
    audit::append(session, &prefix.events(&institutions, origin), now).await?;
    Ok(prefix.leaves.saturating_sub(standing.leaves))
}

pub(super) async fn erase(
    session: &Session,
    institution: &InstitutionId,
    device: DeviceId,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<Erased, Failure> {
    session.in_time()?;
    locks::remove(session).await?;
    locks::devices(session, &[device.uuid()]).await?;
    if !schema::may_remove(session).await? {
        return Ok(Erased::NotYet);
    }
    let holding = holding(session, institution, device).await?;
    if let Some(refusal) = holding.refusal(now) {
        return Ok(refusal);
    }
    let of: [Parameter<'_>; 3] = [&institution.as_str(), &device.uuid(), &i64::from(limit)];
    let orders: Vec<i64> = first_column(&session.query(ORDERS_OF, &of).await?)?;
    remove_orders(session, &orders).await?;
    let removed = u64::try_from(orders.len()).unwrap_or(u64::MAX);
    let more = removed < holding.orders;
    let subscriber = !more && holding.issued.is_some_and(|issued| issued.named);
    if subscriber {
        unname(session, &vec![device.uuid()]).await?;
    }
    if removed > 0 || subscriber {
        let event = removal::erased(institution, device, removed, origin.clone());
        audit::append(session, &[event], now).await?;
    }
    Ok(Erased::Done {
        orders: removed,
        subscriber,
        more,
    })
}

async fn holding(
    session: &Session,
    institution: &InstitutionId,
    device: DeviceId,
) -> Result<Holding, Failure> {
    let accepted = reads::device(session, institution, device).await?;
    let parameters: [Parameter<'_>; 3] =
        [&device.uuid(), &institution.as_str(), &Reference::ERASED];
    let row = session.one(HOLDING, &parameters).await?;
    let own: bool = row.try_get(0)?;
    let issued = Issued {
        named: row.try_get(1)?,
        certified: row.try_get(2)?,
        revoked: row.try_get(3)?,
        not_after: row.try_get(4)?,
    };
    let (Count(orders), Count(pending)) = (row.try_get(5)?, row.try_get(6)?);
    Ok(Holding {
        issued: own.then_some(issued),
        accepted: accepted.acceptance.is_some(),
        orders,
        pending,
        reserved_at: row.try_get(7)?,
        removed: row.try_get(8)?,
    })
}
