//! Owns the verbs about the registered keys.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::key::KeyId,
    store::{
        KeyRegistration, Keys, KeysView, RegisteredKey, StoreError,
        postgres::{
            PostgresStore,
            columns::{Count, Named, Octets},
            error::Failure,
            session::{Parameter, Session},
            trial::on,
        },
    },
};

const REGISTER: &str = "INSERT INTO key (id, institution, purpose, state, registered_at) \
    SELECT id, institution, purpose, 'pre-activation', $4::bigint FROM unnest($1::bytea[], $2::text[], $3::text[]) \
    AS w (id, institution, purpose) ORDER BY id ON CONFLICT (id) DO NOTHING";

const COUNT_FROM_NOW: &str = "INSERT INTO key_use (key_id, signatures) SELECT id, 0 FROM unnest($1::bytea[]) AS id \
    ORDER BY id ON CONFLICT (key_id) DO NOTHING";

const REGISTERED_OTHERWISE: &str = "SELECT w.id FROM unnest($1::bytea[], $2::text[], $3::text[]) \
    AS w (id, institution, purpose) JOIN key k ON k.id = w.id \
    WHERE k.institution <> w.institution OR k.purpose <> w.purpose ORDER BY w.id LIMIT 1";

pub(super) const KEYS: &str = "SELECT g.value, k.id, k.state, k.active_from, k.active_until, coalesce(u.signatures, 0), \
    k.registered_at FROM generation g LEFT JOIN key k ON k.institution = $1 LEFT JOIN key_use u ON u.key_id = k.id WHERE g.one = 1";

#[async_trait]
impl Keys for PostgresStore {
    async fn register_keys(
        &self,
        keys: Vec<KeyRegistration>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self.writes, s => register(&s, &keys, now))
    }

    async fn keys(&self, institution: &InstitutionId) -> Result<KeysView, StoreError> {
        on!(self.reads, s => keys(&s, institution))
    }
}

async fn register(
    session: &Session,
    keys: &[KeyRegistration],
    now: Timestamp,
) -> Result<(), Failure> {
    let ids: Vec<&[u8]> = keys
        .iter()
        .map(|key| key.id.as_bytes().as_slice())
        .collect();
    let institutions: Vec<&str> = keys.iter().map(|key| key.institution.as_str()).collect();
    let purposes: Vec<&str> = keys.iter().map(|key| key.purpose.name()).collect();
    let row: [Parameter<'_>; 4] = [&ids, &institutions, &purposes, &now.micros()];
    session.execute(REGISTER, &row).await?;
    session.execute(COUNT_FROM_NOW, &[&ids]).await?;
    let otherwise: [Parameter<'_>; 3] = [&ids, &institutions, &purposes];
    match session
        .query(REGISTERED_OTHERWISE, &otherwise)
        .await?
        .first()
    {
        None => Ok(()),
        Some(row) => {
            let id = row.try_get(0).map(|Octets(id)| KeyId::new(id))?;
            let text = format!("key {id} is registered for another institution or purpose");
            Err(StoreError::Corrupt(text).into())
        }
    }
}

async fn keys(session: &Session, institution: &InstitutionId) -> Result<KeysView, Failure> {
    let (mut generation, mut keys) = (0, Vec::new());
    for row in session.query(KEYS, &[&institution.as_str()]).await? {
        Count(generation) = row.try_get(0)?;
        if let Some(Octets(id)) = row.try_get(1)? {
            let (Named(state), Count(signatures)) = (row.try_get(2)?, row.try_get(5)?);
            keys.push(RegisteredKey {
                id: KeyId::new(id),
                state,
                active_from: row.try_get(3)?,
                active_until: row.try_get(4)?,
                signatures,
                registered_at: row.try_get(6)?,
            });
        }
    }
    Ok(KeysView { generation, keys })
}
