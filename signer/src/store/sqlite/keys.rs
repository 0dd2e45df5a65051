//! Owns the verbs about the registered keys.

use async_trait::async_trait;
use rusqlite::{Connection, Row};
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::key::KeyId,
    store::{
        KeyRegistration, Keys, KeysView, RegisteredKey, StoreError,
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

pub(super) const KEYS: &str = "SELECT id, state, active_from, active_until, signatures, registered_at FROM key WHERE institution = ?1";

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
        })
    };
    let mut statement = connection.prepare_cached(KEYS)?;
    let keys = statement.query_map([institution.as_str()], read)?;
    Ok(KeysView {
        keys: keys.collect::<Result<_, _>>()?,
        generation: rows::generation(connection)?,
    })
}
