//! Owns the verb by which a record that was put back from a backup takes over what it has lost, with a number of
//! statements that does not depend on how long the lists are.

use tokio_postgres::Row;

use crate::{
    clock::Timestamp,
    domain::{actor::Origin, audit::Event, key::KeyId, operation::Kind},
    store::{
        RevokedCertificate, columns,
        postgres::{
            audit,
            begin::IDS,
            columns::Count,
            error::Failure,
            locks, reads, record,
            session::{Parameter, Session},
        },
        restoration::{LastPublished, Owner, Restoration, Restored, RestoredIssuer},
    },
};

const EXTEND: &str = "UPDATE hold SET until = greatest(until, $1) WHERE one = 1";

// Programs of before this version know of no hold.
const NO_OLDER: &str =
    "UPDATE schema_version SET serves_from = greatest(serves_from, 3) WHERE one = 1";

const HELD: &str = "SELECT coalesce(max(number), 0) FROM crl WHERE issuer_key = $1";

pub(super) const LOST: &str = "SELECT w.n, d.id, d.not_after, o.object FROM unnest($2::bytea[]) WITH ORDINALITY \
    AS w (serial, n) LEFT JOIN device d ON d.issuer_key = $1 AND d.serial = w.serial \
    LEFT JOIN operation o ON o.id = d.operation \
    WHERE NOT EXISTS (SELECT 1 FROM revocation r WHERE r.issuer_key = $1 AND r.serial = w.serial) \
    AND NOT EXISTS (SELECT 1 FROM listed l WHERE l.issuer_key = $1 AND l.serial = w.serial) ORDER BY w.n";

const REVOKE: &str = "INSERT INTO revocation (issuer_key, sequence, device, serial, not_after, reason, revoked_at) \
    SELECT $1, n + (SELECT coalesce(max(sequence), 0) FROM revocation WHERE issuer_key = $1), device, serial, not_after, \
    reason, revoked_at FROM unnest($2::uuid[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[]) WITH ORDINALITY \
    AS w (device, serial, not_after, reason, revoked_at, n)";

const REMEMBER: &str = "INSERT INTO listed (issuer_key, serial, not_after, reason, revoked_at) \
    SELECT $1, serial, $2, reason, revoked_at FROM unnest($3::bytea[], $4::bigint[], $5::bigint[]) \
    AS w (serial, reason, revoked_at)";

const PUBLISHED: &str = "INSERT INTO operation (id, institution, kind, content, state, key_id, to_be_signed, expires_at, \
    sign_by, object, actor, request, begun_at, ended_at, artifact) \
    VALUES ($1, $2, $3, $4, 'AUTHORIZED', $5, $6, $7, $7, $8, $9, $10, $11, $11, $12)";

const COUNT: &str = "UPDATE key_use SET signatures = signatures + 1 WHERE key_id = $1";

pub(super) async fn restore(
    session: &Session,
    restoration: &Restoration,
    now: Timestamp,
) -> Result<Restored, Failure> {
    // Whoever decides by the record waits, and then sees the hold.
    locks::change_rules(session).await?;
    let keys: Vec<KeyId> = restoration.lists.iter().map(|list| list.issuer).collect();
    locks::issuing_keys(session, &keys).await?;
    let (mut issuers, mut events) = (Vec::new(), Vec::new());
    for list in &restoration.lists {
        issuers.push(take_over(session, restoration, list, &mut events).await?);
    }
    session.execute(NO_OLDER, &[]).await?;
    let until = restoration.hold_until.micros();
    session.execute(EXTEND, &[&until]).await?;
    let hold_until = reads::held_until(session).await?;
    events.extend(restoration.events(hold_until));
    audit::append(session, &events, now).await?;
    Ok(Restored {
        hold_until,
        issuers,
    })
}

async fn take_over(
    session: &Session,
    restoration: &Restoration,
    list: &LastPublished,
    events: &mut Vec<Event>,
) -> Result<RestoredIssuer, Failure> {
    let issuer = list.issuer.as_bytes().as_slice();
    let Count(held) = session.one(HELD, &[&issuer]).await?.try_get(0)?;
    let (owned, unknown) = lost(session, list).await?;
    revoke(session, issuer, &owned).await?;
    remember(session, issuer, &unknown, restoration.expired_after).await?;
    let origin = &restoration.origin;
    let revoked = owned.iter();
    events.extend(revoked.map(|(entry, owner)| list.revoked(entry, Some(owner), origin)));
    let listed = unknown.iter();
    events.extend(listed.map(|entry| list.revoked(entry, None, origin)));
    if list.number > held {
        publish(session, list, origin).await?;
        events.extend(list.published(origin));
    }
    Ok(RestoredIssuer {
        issuer: list.issuer,
        held,
        number: held.max(list.number),
        revoked: owned.iter().map(|(_, owner)| owner.device).collect(),
        remembered: unknown.iter().map(|entry| entry.serial.clone()).collect(),
    })
}

type Owned<'a> = (&'a RevokedCertificate, Owner);

/// The entries that the record does not show as revoked: those of its devices, and the others.
async fn lost<'a>(
    session: &Session,
    list: &'a LastPublished,
) -> Result<(Vec<Owned<'a>>, Vec<&'a RevokedCertificate>), Failure> {
    let serials: Vec<&[u8]> = list.entries.iter().map(|e| e.serial.as_slice()).collect();
    let issuer = list.issuer.as_bytes().as_slice();
    let rows = session.query(LOST, &[&issuer, &serials]).await?;
    let (mut owned, mut unknown) = (Vec::new(), Vec::new());
    for row in &rows {
        let number: i64 = row.try_get(0)?;
        let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let Some(entry) = list.entries.get(place) else {
            continue;
        };
        match owner(row)? {
            Some(owner) => owned.push((entry, owner)),
            None => unknown.push(entry),
        }
    }
    Ok((owned, unknown))
}

fn owner(row: &Row) -> Result<Option<Owner>, Failure> {
    let Some(device) = row.try_get(1)? else {
        return Ok(None);
    };
    Ok(Some(Owner {
        device,
        not_after: row.try_get(2)?,
        object: row.try_get(3)?,
    }))
}

async fn revoke(session: &Session, issuer: &[u8], owned: &[Owned<'_>]) -> Result<(), Failure> {
    let devices = record::column(owned, |(_, owner)| owner.device.uuid());
    let serials = record::column(owned, |(entry, _)| entry.serial.as_slice());
    let ends = record::column(owned, |(_, owner)| owner.not_after.micros());
    let reasons = record::column(owned, |(entry, _)| i64::from(entry.reason.code()));
    let moments = record::column(owned, |(entry, _)| entry.at.micros());
    let row: [Parameter<'_>; 6] = [&issuer, &devices, &serials, &ends, &reasons, &moments];
    session.execute(REVOKE, &row).await.map(drop)
}

async fn remember(
    session: &Session,
    issuer: &[u8],
    unknown: &[&RevokedCertificate],
    expired_after: Timestamp,
) -> Result<(), Failure> {
    let serials = record::column(unknown, |entry| entry.serial.as_slice());
    let reasons = record::column(unknown, |entry| i64::from(entry.reason.code()));
    let moments = record::column(unknown, |entry| entry.at.micros());
    let end = expired_after.micros();
    let row: [Parameter<'_>; 5] = [&issuer, &end, &serials, &reasons, &moments];
    session.execute(REMEMBER, &row).await.map(drop)
}

/// The CRL stands as if it had been made here, up to no revocation: if there is any, the next one is due at once.
async fn publish(session: &Session, list: &LastPublished, origin: &Origin) -> Result<(), Failure> {
    let operation: i64 = session.one(IDS, &[&1_i64]).await?.try_get(0)?;
    let (content, issuer) = (list.content(), list.issuer.as_bytes().as_slice());
    let (actor, request) = (origin.actor.to_string(), origin.request.to_string());
    let (made, until) = (list.this_update.micros(), list.next_update.micros());
    let row: [Parameter<'_>; 12] = [
        &operation,
        &list.institution.as_str(),
        &Kind::Crl.name(),
        &content.as_slice(),
        &issuer,
        &list.to_be_signed,
        &until,
        &list.number.to_string(),
        &actor,
        &request,
        &made,
        &list.der,
    ];
    session.execute(PUBLISHED, &row).await?;
    let (numbers, nothing) = (vec![columns::version(list.number)], vec![0_i64]);
    let (issuers, operations, ends) = (vec![issuer], vec![operation], vec![until]);
    let row: [Parameter<'_>; 5] = [&issuers, &numbers, &operations, &nothing, &ends];
    session.execute(record::CRLS, &row).await?;
    session.execute(COUNT, &[&issuer]).await.map(drop)
}
