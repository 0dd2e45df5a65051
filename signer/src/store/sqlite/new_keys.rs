//! Owns the verbs about new keys.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};
use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::PublicKey;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        key::{KeyId, Purpose},
        new_key::{ASKED_SECONDS, MadeKey, NewKey},
    },
    store::{
        Asked, KeyAsk, NewKeys, StoreError,
        new_keys::{Askable, asked, in_order, not_asked, told},
        sqlite::{
            SqliteStore, audit,
            columns::{Count, Sec1, Text},
            rows,
        },
    },
};

macro_rules! new_key {
    ($condition:literal) => {
        concat!(
            "SELECT n.request, n.purpose, n.public_key, k.registered_at, \
             CASE o.state WHEN 'AUTHORIZED' THEN o.artifact END, n.institution, \
             k.destruction_begun_at IS NOT NULL FROM new_key n \
             LEFT JOIN key k ON k.id = n.key_id LEFT JOIN operation o ON o.id = n.operation WHERE ",
            $condition
        )
    };
}

pub(super) const NEW_KEY: &str = new_key!("n.institution = ?1 AND n.request = ?2");

pub(super) const NEW_KEYS: &str = new_key!("n.institution = ?1 AND k.state = 'pre-activation'");

pub(super) const OTHERS: &str = "SELECT count(*) FROM new_key n LEFT JOIN key k ON k.id = n.key_id \
    WHERE n.institution = ?1 AND n.purpose = ?2 AND n.request <> ?3 \
    AND (k.state = 'pre-activation' OR n.key_id IS NULL AND n.asked_at > ?4)";

pub(super) const ASK: &str = "INSERT INTO new_key (institution, request, purpose, asked_at) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (institution, request) DO UPDATE SET asked_at = excluded.asked_at";

pub(super) const ADD: &str = "INSERT INTO key (id, institution, purpose, state, registered_at) \
    VALUES (?1, ?2, ?3, 'pre-activation', ?4)";

pub(super) const MADE: &str =
    "UPDATE new_key SET key_id = ?3, public_key = ?4 WHERE institution = ?1 AND request = ?2";

#[async_trait]
impl NewKeys for SqliteStore {
    async fn ask_for_key(
        &self,
        ask: KeyAsk,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Asked, StoreError> {
        self.threads
            .write(move |connection| ask_for(connection, &ask, &origin, now))
            .await
    }

    async fn key_made(
        &self,
        institution: &InstitutionId,
        request: Uuid,
        public: PublicKey,
        origin: Origin,
        now: Timestamp,
    ) -> Result<MadeKey, StoreError> {
        let institution = institution.clone();
        self.threads
            .write(move |connection| made(connection, &institution, request, public, &origin, now))
            .await
    }

    async fn new_keys(&self, institution: &InstitutionId) -> Result<Vec<NewKey>, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| {
                let mut statement = connection.prepare_cached(NEW_KEYS)?;
                let keys = statement.query_map([institution.as_str()], read)?;
                let keys = keys.map(|key| key.map(|(_, key)| key));
                Ok(in_order(keys.collect::<Result<_, _>>()?))
            })
            .await
    }
}

fn ask_for(
    connection: &Connection,
    ask: &KeyAsk,
    origin: &Origin,
    now: Timestamp,
) -> Result<Asked, StoreError> {
    let (institution, purpose) = (ask.institution.as_str(), ask.purpose.name());
    let request = ask.request.into_bytes();
    let since = now.plus_seconds(-ASKED_SECONDS);
    let Count(others) = connection
        .prepare_cached(OTHERS)?
        .query_row((institution, purpose, request, since), |row| row.get(0))?;
    let askable = Askable {
        generation: rows::generation(connection)?,
        earlier: new_key(connection, &ask.institution, ask.request)?,
        others,
        // A file has one program.
        all_know: true,
    };
    if let Some(answer) = askable.answer(ask) {
        return Ok(answer);
    }
    connection
        .prepare_cached(ASK)?
        .execute((institution, request, purpose, now))?;
    let event = told(&ask.institution, ask.request, None, origin);
    audit::append(connection, &event, now)?;
    Ok(asked(ask))
}

fn made(
    connection: &Connection,
    institution: &InstitutionId,
    request: Uuid,
    public: PublicKey,
    origin: &Origin,
    now: Timestamp,
) -> Result<MadeKey, StoreError> {
    let Some((purpose, earlier)) = new_key(connection, institution, request)? else {
        return Err(not_asked(request));
    };
    if let Some(made) = earlier.made {
        return Ok(made);
    }
    let id = KeyId::of(&public);
    let row = (id.as_bytes(), institution.as_str(), purpose.name(), now);
    connection.prepare_cached(ADD)?.execute(row)?;
    let row = (
        institution.as_str(),
        request.into_bytes(),
        id.as_bytes(),
        public.sec1(),
    );
    connection.prepare_cached(MADE)?.execute(row)?;
    let event = told(institution, request, Some(id), origin);
    audit::append(connection, &event, now)?;
    Ok(MadeKey {
        institution: institution.clone(),
        purpose,
        public,
        at: now,
    })
}

fn new_key(
    connection: &Connection,
    institution: &InstitutionId,
    request: Uuid,
) -> Result<Option<(Purpose, NewKey)>, StoreError> {
    let row = (institution.as_str(), request.into_bytes());
    Ok(connection
        .prepare_cached(NEW_KEY)?
        .query_row(row, read)
        .optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Purpose, NewKey)> {
    let Text(purpose) = row.get(1)?;
    let public: Option<Sec1> = row.get(2)?;
    let at: Option<Timestamp> = row.get(3)?;
    let Text(institution) = row.get(5)?;
    let made = public.zip(at).map(|(Sec1(public), at)| MadeKey {
        institution,
        purpose,
        public,
        at,
    });
    let key = NewKey {
        request: Uuid::from_bytes(row.get(0)?),
        made,
        signed: row.get(4)?,
        discarded: row.get(6)?,
    };
    Ok((purpose, key))
}
