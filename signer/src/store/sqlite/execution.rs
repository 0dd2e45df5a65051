//! Owns what an executed change brings about in the record: documents in force, keys' lives, certificates, the end of what
//! else was pending on the same base, and the generation that says that the rules moved.

use rusqlite::{Connection, params};

use crate::{
    clock::Timestamp,
    domain::{
        change::{ChangeState, Enclosed},
        document::{Document, DocumentKind},
    },
    store::{
        Execution, KeyProjection, StoreError,
        changing::{Telling, enclosed_document, other_document, other_key},
        decision,
        sqlite::{
            audit,
            changes::{Pending, pending, settle},
            columns::Count,
            documents::RAISE,
        },
    },
};

pub(super) const TAKE: &str = "INSERT INTO document (institution, kind, version, bytes, loaded_at) VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT (institution, kind, version) DO NOTHING";

pub(super) const STANDS: &str =
    "SELECT 1 FROM document WHERE institution = ?1 AND kind = ?2 AND version = ?3 AND bytes = ?4";

pub(super) const LIVE: &str = "INSERT INTO key (id, institution, purpose, state, active_from, active_until, registered_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
    active_from = excluded.active_from, active_until = excluded.active_until \
    WHERE institution = excluded.institution AND purpose = excluded.purpose";

pub(super) const CERTIFY: &str = "INSERT INTO key_certificate (key_id, der) VALUES (?1, ?2) \
    ON CONFLICT (key_id) DO UPDATE SET der = excluded.der";

pub(super) const OTHERS: &str =
    "SELECT number, institution, id FROM change WHERE institution = ?1 AND state = 'PENDING'";

type Brought = [(Enclosed, Vec<u8>)];

/// Brings about what the execution says; the change itself has ended.
pub(super) fn execute(
    connection: &Connection,
    execution: &Execution,
    enclosed: &Brought,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    for (kind, version) in &execution.documents {
        take(connection, *kind, *version, enclosed, telling, now)?;
    }
    for key in &execution.keys {
        live(connection, key, telling, now)?;
    }
    for (key, der) in &execution.certificates {
        connection
            .prepare_cached(CERTIFY)?
            .execute((key.as_bytes(), der))?;
    }
    supersede(connection, telling, now)?;
    connection.prepare_cached(RAISE)?.execute([])?;
    Ok(())
}

/// Puts a document into force, or finds that it stands.
fn take(
    connection: &Connection,
    kind: DocumentKind,
    version: u64,
    enclosed: &Brought,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let document = Document {
        institution: telling.institution.clone(),
        kind,
        version,
        bytes: enclosed_document(enclosed, kind, telling.change)?.clone(),
    };
    let institution = document.institution.as_str();
    let (kind, number, bytes) = (kind.name(), Count(version), &document.bytes);
    let taken =
        connection
            .prepare_cached(TAKE)?
            .execute(params![institution, kind, number, bytes, now])?;
    if taken == 1 {
        let event = decision::loaded(&document, telling.origin.clone());
        return audit::append(connection, &event, now);
    }
    let stands =
        connection
            .prepare_cached(STANDS)?
            .exists(params![institution, kind, number, bytes])?;
    let other = || other_document(telling.institution, kind, version);
    stands.then_some(()).ok_or_else(other)
}

fn live(
    connection: &Connection,
    key: &KeyProjection,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let lives = connection.prepare_cached(LIVE)?.execute((
        key.id.as_bytes(),
        telling.institution.as_str(),
        key.purpose.name(),
        key.state.name(),
        key.active_from,
        key.active_until,
        now,
    ))?;
    if lives != 1 {
        return Err(other_key(telling.institution, key));
    }
    audit::append(connection, &telling.key(key), now)
}

/// Ends what else was pending: its base is no longer the last of the history.
fn supersede(
    connection: &Connection,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(OTHERS)?;
    let others = statement.query_map([telling.institution.as_str()], pending)?;
    let others: Vec<Pending> = others.collect::<Result<_, _>>()?;
    for (number, _, change) in others {
        let other = Telling { change, ..telling };
        settle(connection, number, ChangeState::Superseded, other, now)?;
    }
    Ok(())
}
