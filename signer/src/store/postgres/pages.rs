//! Owns the verb that lists devices: a bounded walk along an index, in the order of ids, and then one picture of what was
//! found. The index holds the asking institution's devices alone, so that neither the length of a page nor its time tells
//! of another's.

use semops_objects::institution::InstitutionId;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::device::{Acceptance, Device, DeviceId, Relation, Status},
    store::{
        DevicePage, DeviceQuery, StoreError,
        postgres::{
            columns::Count,
            error::Failure,
            rows::{self, device_columns},
            session::{Parameter, Session},
        },
    },
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
            " AND ($2::uuid IS NULL OR ",
            $id,
            " > $2) ORDER BY ",
            $id,
            " LIMIT $3"
        )
    };
}

pub(super) const ISSUED: &str = walk!(
    "d.id",
    "device d",
    "d.issuer = $1 AND $4::text IS NULL AND d.certificate_sha256 IS NOT NULL"
);

pub(super) const ISSUED_TO: &str = walk!(
    "d.id",
    "device d",
    "d.issuer = $1 AND d.subscriber = $4 AND d.certificate_sha256 IS NOT NULL"
);

pub(super) const ACCEPTED: &str = walk!(
    "a.device",
    "acceptance a JOIN device d ON d.id = a.device",
    "a.institution = $1 AND $4::text IS NULL"
);

pub(super) const ACCEPTED_FOR: &str = walk!(
    "a.device",
    "acceptance a JOIN device d ON d.id = a.device",
    "a.institution = $1 AND a.account = $4"
);

pub(super) const PICTURE: &str = concat!(
    "SELECT g.value, ",
    device_columns!(),
    ", a.account, a.accepted_at FROM generation g LEFT JOIN device d ON d.id = ANY($2) \
     LEFT JOIN operation m ON m.id = d.operation LEFT JOIN revocation r ON r.device = d.id \
     LEFT JOIN acceptance a ON a.institution = $1 AND a.device = d.id WHERE g.one = 1 ORDER BY d.id"
);

pub(super) async fn devices(
    session: &Session,
    institution: &InstitutionId,
    query: &DeviceQuery,
) -> Result<DevicePage, Failure> {
    let (sql, reference) = match &query.filter.relation {
        Relation::Issued(None) => (ISSUED, None),
        Relation::Issued(Some(subscriber)) => (ISSUED_TO, Some(subscriber.as_str())),
        Relation::Accepted(None) => (ACCEPTED, None),
        Relation::Accepted(Some(account)) => (ACCEPTED_FOR, Some(account.as_str())),
    };
    let (institution, after) = (institution.as_str(), query.after.map(DeviceId::uuid));
    // One more than is looked at says whether the list goes on.
    let rows = i64::try_from(query.rows.saturating_add(1)).unwrap_or(i64::MAX);
    let parameters: [Parameter<'_>; 4] = [&institution, &after, &rows, &reference];
    let found = session.query(sql, &parameters).await?;
    let (ids, next) = walk(&found, query)?;
    let picture = session.query(PICTURE, &[&institution, &ids]).await?;
    let (mut generation, mut devices) = (None, Vec::with_capacity(ids.len()));
    for row in &picture {
        let Count(value) = row.try_get(0)?;
        generation = Some(value);
        if let Some(device) = rows::device(row, 1)? {
            let acceptance = rows::acceptance(row, 1 + rows::DEVICE)?;
            if still_listed(&device, acceptance.as_ref(), query) {
                devices.push((device, acceptance));
            }
        }
    }
    let missing = || StoreError::Corrupt("there is no generation".to_owned());
    Ok(DevicePage {
        generation: generation.ok_or_else(missing)?,
        devices,
        next,
    })
}

/// The ids that the filter lets through, and the last that was looked at if there is one behind it.
fn walk(found: &[Row], query: &DeviceQuery) -> Result<(Vec<Uuid>, Option<DeviceId>), Failure> {
    let (mut ids, mut last) = (Vec::new(), None);
    for (looked_at, row) in found.iter().enumerate() {
        if ids.len() >= query.at_most || looked_at >= query.rows {
            return Ok((ids, last));
        }
        let (id, not_after, revoked): (DeviceId, Timestamp, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let status = Status::of(revoked, not_after, query.now);
        if query.filter.status.is_none_or(|wanted| wanted == status) {
            ids.push(id.uuid());
        }
        last = Some(id);
    }
    Ok((ids, None))
}

/// Whether the filter still lets it through, for the walk was a moment before the picture.
fn still_listed(device: &Device, acceptance: Option<&Acceptance>, query: &DeviceQuery) -> bool {
    let status = device.status(query.now);
    let related = match &query.filter.relation {
        // Neither ever changes.
        Relation::Issued(_) => true,
        Relation::Accepted(None) => acceptance.is_some(),
        Relation::Accepted(Some(account)) => {
            acceptance.is_some_and(|acceptance| acceptance.account == *account)
        }
    };
    related && query.filter.status.is_none_or(|wanted| wanted == status)
}
