//! Owns the verbs about the registered keys.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::key::KeyId,
    store::{
        KeyRegistration, Keys, KeysView, RegisteredKey, SignedPage, SignedPlace, SignedQuery,
        SignedRow, StoreError,
        keys::Signing,
        sqlite::{
            SqliteStore,
            columns::{Count, Named},
            rows,
        },
    },
};

const REGISTER: &str = "INSERT INTO key (id, institution, purpose, state, registered_at) VALUES (?1, ?2, ?3, 'pre-activation', ?4) \
    ON CONFLICT (id) DO NOTHING";

const REGISTERED: &str = "SELECT 1 FROM key WHERE id = ?1 AND institution = ?2 AND purpose = ?3";

pub(super) const KEYS: &str = "SELECT id, state, active_from, active_until, signatures, registered_at, destruction_begun_at FROM key WHERE institution = ?1";

pub(super) const SIGNING: &str = "SELECT g.value, k.state, (SELECT min(begun_at) FROM operation \
    WHERE state = 'PENDING' AND expires_at > -1 AND kind <> 'crl' AND key_id = k.id), (SELECT count(*) FROM operation \
    WHERE state = 'PENDING' AND expires_at > -1 AND kind <> 'crl' AND key_id = k.id), \
    (SELECT coalesce(sum(signatures), 0) FROM removed WHERE key_id = k.id) \
    FROM generation g JOIN key k ON k.id = ?1 WHERE g.one = 1 AND k.institution = ?2";

pub(super) const SIGNED: &str = "SELECT o.ended_at, o.id, o.kind, o.object, o.device, o.artifact, \
    d.id IS NOT NULL AND r.device IS NULL FROM operation o \
    LEFT JOIN device d ON d.operation = o.id LEFT JOIN revocation r ON r.device = d.id \
    WHERE o.key_id = ?1 AND o.state = 'AUTHORIZED' AND (o.ended_at, o.id) > (?2, ?3) AND o.ended_at < ?4 \
    ORDER BY o.ended_at, o.id LIMIT ?5";

#[async_trait]
impl Keys for SqliteStore {
    async fn register_keys(
        &self,
        keys: Vec<KeyRegistration>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.threads
            .write(move |connection| register(connection, &keys, now))
            .await
    }

    async fn keys(&self, institution: &InstitutionId) -> Result<KeysView, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| keys(connection, &institution))
            .await
    }

    async fn signed(
        &self,
        institution: &InstitutionId,
        query: SignedQuery,
    ) -> Result<Option<SignedPage>, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| signed(connection, &institution, query))
            .await
    }
}

fn register(
    connection: &Connection,
    keys: &[KeyRegistration],
    now: Timestamp,
) -> Result<(), StoreError> {
    for key in keys {
        let (id, institution, purpose) = (
            key.id.as_bytes(),
            key.institution.as_str(),
            key.purpose.name(),
        );
        connection
            .prepare_cached(REGISTER)?
            .execute((id, institution, purpose, now))?;
        if !connection
            .prepare_cached(REGISTERED)?
            .exists((id, institution, purpose))?
        {
            let text = format!(
                "key {} is registered for another institution or purpose",
                key.id
            );
            return Err(StoreError::Corrupt(text));
        }
    }
    Ok(())
}

fn keys(connection: &Connection, institution: &InstitutionId) -> Result<KeysView, StoreError> {
    let read = |row: &Row<'_>| {
        let (Named(state), Count(signatures)) = (row.get(1)?, row.get(4)?);
        Ok(RegisteredKey {
            id: row.get(0).map(KeyId::new)?,
            state,
            active_from: row.get(2)?,
            active_until: row.get(3)?,
            signatures,
            registered_at: row.get(5)?,
            destruction_begun_at: row.get(6)?,
        })
    };
    let mut statement = connection.prepare_cached(KEYS)?;
    let keys = statement.query_map([institution.as_str()], read)?;
    Ok(KeysView {
        keys: keys.collect::<Result<_, _>>()?,
        generation: rows::generation(connection)?,
    })
}

fn signed(
    connection: &Connection,
    institution: &InstitutionId,
    query: SignedQuery,
) -> Result<Option<SignedPage>, StoreError> {
    let Some(signing) = signing(connection, institution, query.key)? else {
        return Ok(None);
    };
    let (at, operation) = query.behind();
    let read = |row: &Row<'_>| {
        Ok(SignedRow {
            place: SignedPlace {
                at: row.get(0)?,
                operation: row.get(1)?,
            },
            kind: row.get(2)?,
            object: row.get(3)?,
            device: row.get(4)?,
            artifact: row.get(5)?,
            in_force: row.get(6)?,
        })
    };
    let mut statement = connection.prepare_cached(SIGNED)?;
    let rows = statement.query_map(
        params![
            query.key.as_bytes(),
            at,
            operation,
            signing.settled(query.now),
            query.rows(),
        ],
        read,
    )?;
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(Some(signing.page(rows, query.at_most)))
}

fn signing(
    connection: &Connection,
    institution: &InstitutionId,
    key: KeyId,
) -> Result<Option<Signing>, StoreError> {
    let read = |row: &Row<'_>| {
        let (Count(generation), Named(state)) = (row.get(0)?, row.get(1)?);
        let (Count(under_way), Count(not_kept)) = (row.get(3)?, row.get(4)?);
        Ok(Signing {
            generation,
            state,
            first_begun: row.get(2)?,
            under_way,
            not_kept,
        })
    };
    Ok(connection
        .prepare_cached(SIGNING)?
        .query_row((key.as_bytes(), institution.as_str()), read)
        .optional()?)
}
