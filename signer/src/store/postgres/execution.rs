//! Owns what an executed change brings about in the record: documents in force, keys' lives, certificates, the end of what
//! else was pending on the same base, and the generation that says that the rules moved. Under the rules' lock alone.

use crate::{
    clock::Timestamp,
    domain::{
        audit::Event,
        change::{ChangeState, Enclosed},
        document::{Document, DocumentKind},
    },
    store::{
        Execution, KeyProjection,
        changing::{Telling, enclosed_document, other_document, other_key},
        columns, decision,
        postgres::{
            changes::{Pending, pending, settle},
            documents::RAISE,
            error::Failure,
            record::column,
            session::{Parameter, Session},
        },
    },
};

pub(super) const TAKE: &str = "INSERT INTO document (institution, kind, version, bytes, loaded_at) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (institution, kind, version) DO NOTHING";

pub(super) const STANDS: &str =
    "SELECT 1 FROM document WHERE institution = $1 AND kind = $2 AND version = $3 AND bytes = $4";

pub(super) const LIVE: &str = "INSERT INTO key AS k (id, institution, purpose, state, active_from, active_until, registered_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
    active_from = excluded.active_from, active_until = excluded.active_until \
    WHERE k.institution = excluded.institution AND k.purpose = excluded.purpose";

pub(super) const COUNT_FROM_NOW: &str =
    "INSERT INTO key_use (key_id, signatures) VALUES ($1, 0) ON CONFLICT (key_id) DO NOTHING";

pub(super) const CERTIFY: &str = "INSERT INTO key_certificate (key_id, der) VALUES ($1, $2) \
    ON CONFLICT (key_id) DO UPDATE SET der = excluded.der";

pub(super) const OTHERS: &str = "SELECT number, institution, id FROM change \
    WHERE institution = $1 AND state = 'PENDING' ORDER BY number FOR NO KEY UPDATE";

type Brought = [(Enclosed, Vec<u8>)];

/// Brings about what the execution says; the change itself has ended. Answers the events that tell of it.
pub(super) async fn execute(
    session: &Session,
    execution: &Execution,
    enclosed: &Brought,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Failure> {
    let mut events = Vec::new();
    for (kind, version) in &execution.documents {
        events.extend(take(session, *kind, *version, enclosed, telling, now).await?);
    }
    for key in &execution.keys {
        live(session, key, telling, now).await?;
        events.push(telling.key(key));
    }
    for (key, der) in &execution.certificates {
        let row: [Parameter<'_>; 2] = [&key.as_bytes().as_slice(), der];
        session.execute(CERTIFY, &row).await?;
    }
    events.extend(supersede(session, telling, now).await?);
    session.execute(RAISE, &[]).await?;
    Ok(events)
}

/// Puts a document into force, or finds that it stands.
async fn take(
    session: &Session,
    kind: DocumentKind,
    version: u64,
    enclosed: &Brought,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<Option<Event>, Failure> {
    let document = Document {
        institution: telling.institution.clone(),
        kind,
        version,
        bytes: enclosed_document(enclosed, kind, telling.change)?.clone(),
    };
    let (institution, name) = (document.institution.as_str(), kind.name());
    let (number, bytes) = (columns::version(version), &document.bytes);
    let row: [Parameter<'_>; 5] = [&institution, &name, &number, bytes, &now.micros()];
    if session.execute(TAKE, &row).await? == 1 {
        return Ok(Some(decision::loaded(&document, telling.origin.clone())));
    }
    let row: [Parameter<'_>; 4] = [&institution, &name, &number, bytes];
    if session.query(STANDS, &row).await?.is_empty() {
        return Err(other_document(telling.institution, name, version).into());
    }
    Ok(None)
}

async fn live(
    session: &Session,
    key: &KeyProjection,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = key.id.as_bytes().as_slice();
    let bound = |at: Option<Timestamp>| at.map(Timestamp::micros);
    let row: [Parameter<'_>; 7] = [
        &id,
        &telling.institution.as_str(),
        &key.purpose.name(),
        &key.state.name(),
        &bound(key.active_from),
        &bound(key.active_until),
        &now.micros(),
    ];
    if session.execute(LIVE, &row).await? != 1 {
        return Err(other_key(telling.institution, key).into());
    }
    session.execute(COUNT_FROM_NOW, &[&id]).await.map(drop)
}

/// Ends what else was pending: its base is no longer the last of the history.
async fn supersede(
    session: &Session,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Failure> {
    let others = session
        .query(OTHERS, &[&telling.institution.as_str()])
        .await?;
    let others: Vec<Pending> = others.iter().map(pending).collect::<Result<_, _>>()?;
    let numbers = column(&others, |(number, ..)| *number);
    settle(session, &numbers, ChangeState::Superseded, now).await?;
    let told = |(_, _, change): &Pending| {
        let other = Telling {
            change: *change,
            ..telling
        };
        other.ended(ChangeState::Superseded)
    };
    Ok(column(&others, told))
}
