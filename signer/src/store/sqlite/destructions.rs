//! Owns the verbs about destructions.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};
use semops_objects::institution::InstitutionId;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{actor::Origin, change::ChangeId, key::KeyId, operation::Term},
    store::{
        Destroying, DestructionAsk, Destructions, StillValid, StoreError,
        destructions::{BEGUN, DONE, Destroyable, not_begun, told},
        sqlite::{
            SqliteStore, audit,
            columns::{Count, Named},
            documents::RAISE,
            rows,
        },
    },
};

pub(super) const KEY: &str = "SELECT k.state, k.destruction_begun_at, k.destroyed_at, n.request FROM key k \
    LEFT JOIN new_key n ON n.key_id = k.id WHERE k.institution = ?1 AND k.id = ?2";

pub(super) const PENDING: &str =
    "SELECT id FROM change WHERE institution = ?1 AND state = 'PENDING'";

pub(super) const BEGIN: &str = "UPDATE key SET destruction_begun_at = ?2 WHERE id = ?1";

pub(super) const END: &str = "UPDATE key SET state = 'destroyed', destroyed_at = ?2 WHERE id = ?1";

pub(super) const STILL_VALID: &str = "SELECT count(*), max(d.not_after) FROM device d WHERE d.issuer_key = ?1 AND d.not_after > ?2 \
    AND d.certificate_sha256 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.device = d.id)";

/// One process serves a file, and leads.
const TERM: Term = Term(0);

#[async_trait]
impl Destructions for SqliteStore {
    async fn begin_destruction(
        &self,
        ask: DestructionAsk,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Destroying, StoreError> {
        self.threads
            .write(move |connection| begin(connection, &ask, &origin, now))
            .await
    }

    async fn end_destruction(
        &self,
        institution: &InstitutionId,
        key: KeyId,
        origin: Origin,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let institution = institution.clone();
        self.threads
            .write(move |connection| end(connection, &institution, key, &origin, now))
            .await
    }

    async fn valid_after(&self, issuer: KeyId, at: Timestamp) -> Result<StillValid, StoreError> {
        self.threads
            .read(move |connection| {
                let mut statement = connection.prepare_cached(STILL_VALID)?;
                let read = |row: &Row<'_>| {
                    let Count(count) = row.get(0)?;
                    let until = row.get(1)?;
                    Ok(StillValid { count, until })
                };
                Ok(statement.query_row((issuer.as_bytes(), at), read)?)
            })
            .await
    }
}

fn begin(
    connection: &Connection,
    ask: &DestructionAsk,
    origin: &Origin,
    now: Timestamp,
) -> Result<Destroying, StoreError> {
    let Some(stands) = destroyable(connection, &ask.institution, ask.key)? else {
        return Ok(Destroying::NotFound);
    };
    if let Some(answer) = stands.answer(ask) {
        return Ok(answer);
    }
    connection
        .prepare_cached(BEGIN)?
        .execute((ask.key.as_bytes(), now))?;
    connection.prepare_cached(RAISE)?.execute([])?;
    let event = told(&ask.institution, ask.key, BEGUN, origin);
    audit::append(connection, &event, now)?;
    Ok(Destroying::Begun(stands.request))
}

fn end(
    connection: &Connection,
    institution: &InstitutionId,
    key: KeyId,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), StoreError> {
    let stands = destroyable(connection, institution, key)?;
    let stands = stands.filter(|stands| stands.begun_at.is_some());
    if stands.ok_or_else(|| not_begun(key))?.destroyed_at.is_some() {
        return Ok(());
    }
    connection
        .prepare_cached(END)?
        .execute((key.as_bytes(), now))?;
    connection.prepare_cached(RAISE)?.execute([])?;
    audit::append(connection, &told(institution, key, DONE, origin), now)
}

fn destroyable(
    connection: &Connection,
    institution: &InstitutionId,
    key: KeyId,
) -> Result<Option<Destroyable>, StoreError> {
    let generation = rows::generation(connection)?;
    let mut statement = connection.prepare_cached(PENDING)?;
    let pending =
        statement.query_map([institution.as_str()], |row| row.get(0).map(ChangeId::new))?;
    let pending = pending.collect::<Result<_, _>>()?;
    let read = |row: &Row<'_>| {
        let (Named(state), request): (_, Option<[u8; 16]>) = (row.get(0)?, row.get(3)?);
        Ok(Destroyable {
            state,
            begun_at: row.get(1)?,
            destroyed_at: row.get(2)?,
            request: request.map(Uuid::from_bytes),
            generation,
            term: TERM,
            pending,
        })
    };
    Ok(connection
        .prepare_cached(KEY)?
        .query_row((institution.as_str(), key.as_bytes()), read)
        .optional()?)
}
