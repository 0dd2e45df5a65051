//! Owns how intents end: `complete`, the sweep, and the effects and events of ends. A group costs a fixed number of
//! statements.

use std::collections::{BTreeMap, HashMap};

use semops_pki::algorithm::sha256;
use tokio_postgres::Row;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::Event,
        key::KeyId,
        operation::{IntentId, Kind},
        outcome::{Outcome, State},
    },
    store::{
        Completion, Intents, StoreError, Swept,
        ending::{End, Pending},
        postgres::{
            audit,
            columns::{Count, Octets, Text},
            error::Failure,
            reissue,
            rows::{self, operation_columns},
            session::{Parameter, Session},
        },
    },
};

macro_rules! pending {
    ($which:literal) => {
        concat!(
            "SELECT id, institution, kind, key_id, expires_at, object, device, policy FROM operation \
             WHERE state = 'PENDING' AND ",
            $which
        )
    };
}

pub(super) const PENDING: &str = pending!("id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE");

// Those that are ending right now need no sweep.
pub(super) const OVERDUE: &str =
    pending!("expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED");

pub(super) const END: &str = "UPDATE operation o SET state = w.state, artifact = w.artifact, reason = w.reason, \
    ended_at = $5 FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[]) AS w (id, state, artifact, reason) \
    WHERE o.id = w.id AND o.state = 'PENDING'";

pub(super) const OUTCOMES: &str = concat!(
    "SELECT ",
    operation_columns!(),
    " FROM operation o LEFT JOIN cosigned_order c ON c.operation = o.id WHERE o.id = ANY($1::bigint[])"
);

pub(super) const GIVE_BACK_MONEY: &str =
    "UPDATE cosigned_order SET reserved_at = NULL WHERE operation = ANY($1::bigint[])";

pub(super) const GIVE_BACK_DEVICES: &str =
    "UPDATE device SET request = NULL, public_key = NULL WHERE operation = ANY($1::bigint[])";

pub(super) const CERTIFY: &str = "UPDATE device d SET certificate_sha256 = w.sha256 \
    FROM unnest($1::bigint[], $2::bytea[]) AS w (operation, sha256) WHERE d.operation = w.operation";

pub(super) const COUNT: &str = "UPDATE key_use u SET signatures = u.signatures + w.signatures \
    FROM unnest($1::bytea[], $2::bigint[]) AS w (key_id, signatures) WHERE u.key_id = w.key_id";

// In one order, for all replicas change these rows.
pub(super) const COUNTED: &str =
    "SELECT 1 FROM key_use WHERE key_id = ANY($1::bytea[]) ORDER BY key_id FOR NO KEY UPDATE";

pub(super) const INTENTS: &str = "SELECT count(*), count(*) FILTER (WHERE expires_at <= $1) FROM \
    (SELECT expires_at FROM operation WHERE state = 'PENDING' ORDER BY expires_at LIMIT $2) p";

pub(super) async fn complete(
    session: &Session,
    completions: &[Completion],
    now: Timestamp,
) -> Result<Vec<Outcome>, Failure> {
    let ids: Vec<i64> = completions.iter().map(|end| end.intent.row).collect();
    let mut pending: HashMap<i64, Pending> = HashMap::new();
    for row in session.query(PENDING, &[&ids]).await? {
        let intent = read_pending(&row)?;
        pending.insert(intent.id, intent);
    }
    let mut ends = Vec::with_capacity(pending.len());
    for completion in completions {
        // Of several for one intent the first counts; of one whose row went over to another key none.
        let IntentId { row, key } = completion.intent;
        if pending.get(&row).is_some_and(|intent| intent.key == key)
            && let Some(intent) = pending.remove(&row)
        {
            let ending = reissue::ending(session, &intent, completion).await?;
            let end = intent.end(ending, now);
            ends.push((intent, end, &completion.origin));
        }
    }
    settle(session, &ends, now).await?;
    let outcomes = outcomes(session, &ids).await?;
    let stands = |id: &i64| {
        let outcome = outcomes.get(id).cloned();
        outcome.ok_or_else(|| StoreError::Violated(format!("there is no intent {id}")).into())
    };
    ids.iter().map(stands).collect()
}

async fn outcomes(session: &Session, ids: &[i64]) -> Result<HashMap<i64, Outcome>, Failure> {
    let mut outcomes = HashMap::with_capacity(ids.len());
    for row in session.query(OUTCOMES, &[&ids]).await? {
        if let Some(operation) = rows::operation(&row, 0)? {
            outcomes.insert(row.try_get(6)?, operation.outcome);
        }
    }
    Ok(outcomes)
}

pub(super) async fn sweep(
    session: &Session,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<Swept, Failure> {
    let parameters: [Parameter<'_>; 2] = [&now.micros(), &i64::from(limit)];
    let (mut swept, mut ends) = (Swept::default(), Vec::new());
    for row in session.query(OVERDUE, &parameters).await? {
        let intent = read_pending(&row)?;
        let end = End::overdue(intent.kind);
        end.count(&mut swept);
        ends.push((intent, end, origin));
    }
    settle(session, &ends, now).await?;
    Ok(swept)
}

pub(super) async fn intents(
    session: &Session,
    limit: u32,
    now: Timestamp,
) -> Result<Intents, Failure> {
    let parameters: [Parameter<'_>; 2] = [&now.micros(), &i64::from(limit)];
    let row = session.one(INTENTS, &parameters).await?;
    let (Count(pending), Count(overdue)) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Intents { pending, overdue })
}

fn read_pending(row: &Row) -> Result<Pending, Failure> {
    let Text(institution) = row.try_get(1)?;
    let policy: Option<Octets<32>> = row.try_get(7)?;
    Ok(Pending {
        id: row.try_get(0)?,
        kind: row.try_get(2)?,
        key: row.try_get(3).map(|Octets(id)| KeyId::new(id))?,
        expires_at: row.try_get(4)?,
        institution,
        object: row.try_get(5)?,
        device: row.try_get(6)?,
        policy: policy.map(|Octets(octets)| octets),
    })
}

type Ends<'a> = [(Pending, End, &'a Origin)];

async fn settle(session: &Session, ends: &Ends<'_>, now: Timestamp) -> Result<(), Failure> {
    if ends.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&(Pending, End, &Origin)) -> i64| ends.iter().map(of).collect::<Vec<_>>();
    let states: Vec<&str> = ends.iter().map(|(_, end, _)| end.state.name()).collect();
    let artifacts: Vec<Option<&[u8]>> = ends
        .iter()
        .map(|(_, end, _)| end.artifact.as_deref())
        .collect();
    let reasons: Vec<Option<&str>> = ends.iter().map(|(_, end, _)| end.reason).collect();
    let ids = column(|(intent, ..)| intent.id);
    let parameters: [Parameter<'_>; 5] = [&ids, &states, &artifacts, &reasons, &now.micros()];
    let changed = session.execute(END, &parameters).await?;
    if usize::try_from(changed) != Ok(ends.len()) {
        let text = format!("{changed} of {} intents ended", ends.len());
        return Err(StoreError::Violated(text).into());
    }
    let events: Vec<Event> = ends
        .iter()
        .map(|(intent, end, origin)| intent.ended(end, origin))
        .collect();
    audit::append(session, &events, now).await?;
    take_effect(session, ends, now).await?;
    count(session, ends).await
}

/// What ends bring about beside their rows: a certificate becomes known, or what was reserved is given back.
async fn take_effect(session: &Session, ends: &Ends<'_>, now: Timestamp) -> Result<(), Failure> {
    let (mut money, mut places) = (Vec::new(), Vec::new());
    let (mut certified, mut certificates, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    for (intent, end, origin) in ends {
        match (intent.kind, &end.artifact) {
            (Kind::Authorization, None) => money.push(intent.id),
            (Kind::DeviceCertificate, None) => places.push(intent.id),
            (Kind::DeviceCertificate, Some(der)) => {
                certified.push(intent.id);
                certificates.push(sha256(der).to_vec());
                origins.push(*origin);
            }
            (Kind::Authorization, Some(_))
            | (
                Kind::Crl
                | Kind::AuthorizationCertificate
                | Kind::KeyCertificate
                | Kind::CertificationRequest,
                _,
            ) => {}
        }
    }
    if !money.is_empty() {
        session.execute(GIVE_BACK_MONEY, &[&money]).await?;
    }
    if !places.is_empty() {
        session.execute(GIVE_BACK_DEVICES, &[&places]).await?;
        session.execute(reissue::GIVE_UP, &[&places]).await?;
    }
    if !certified.is_empty() {
        certify(session, &certified, &certificates, origins, now).await?;
    }
    Ok(())
}

/// The certificates become known with their devices.
async fn certify<'a>(
    session: &Session,
    certified: &'a [i64],
    certificates: &'a [Vec<u8>],
    origins: Vec<&'a Origin>,
    now: Timestamp,
) -> Result<(), Failure> {
    let new = session
        .execute(CERTIFY, &[&certified, &certificates])
        .await?;
    // With the others no device was recorded: it has a certificate already.
    if usize::try_from(new) != Ok(certified.len()) {
        let ids = certified.iter().zip(certificates).zip(origins);
        let signed: Vec<_> = ids
            .map(|((id, sha256), origin)| (*id, sha256.as_slice(), origin))
            .collect();
        reissue::replace(session, &signed, now).await?;
    }
    Ok(())
}

/// Counts the stored signatures with their keys; last, so that other replicas wait for no more than the commit.
async fn count(session: &Session, ends: &Ends<'_>) -> Result<(), Failure> {
    let mut signed: BTreeMap<KeyId, i64> = BTreeMap::new();
    for (intent, end, _) in ends {
        if end.state == State::Authorized {
            *signed.entry(intent.key).or_default() += 1;
        }
    }
    if signed.is_empty() {
        return Ok(());
    }
    let keys: Vec<&[u8]> = signed.keys().map(|key| key.as_bytes().as_slice()).collect();
    session.query(COUNTED, &[&keys]).await?;
    let signatures: Vec<i64> = signed.values().copied().collect();
    session
        .execute(COUNT, &[&keys, &signatures])
        .await
        .map(drop)
}
