//! Owns the verbs about the registered keys.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use tokio_postgres::Row;

use crate::{
    clock::Timestamp,
    domain::key::KeyId,
    store::{
        KeyRegistration, Keys, KeysView, RegisteredKey, SignedPage, SignedPlace, SignedQuery,
        SignedRow, StoreError,
        keys::Signing,
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
    k.registered_at, k.destruction_begun_at FROM generation g LEFT JOIN key k ON k.institution = $1 LEFT JOIN key_use u ON u.key_id = k.id WHERE g.one = 1";

pub(super) const SIGNING: &str = "SELECT g.value, k.state, p.first, p.pending, \
    (SELECT coalesce(sum(signatures), 0)::bigint FROM removed WHERE key_id = k.id) \
    FROM generation g JOIN key k ON k.id = $1 CROSS JOIN LATERAL (SELECT min(begun_at) AS first, count(*) AS pending \
    FROM operation WHERE state = 'PENDING' AND expires_at > -1 AND kind <> 'crl' AND key_id = k.id) p \
    WHERE g.one = 1 AND k.institution = $2";

pub(super) const SIGNED: &str = "SELECT o.ended_at, o.id, o.kind, o.object, o.device, o.artifact, \
    d.id IS NOT NULL AND r.device IS NULL FROM operation o \
    LEFT JOIN device d ON d.operation = o.id LEFT JOIN revocation r ON r.device = d.id \
    WHERE o.key_id = $1 AND o.state = 'AUTHORIZED' AND (o.ended_at, o.id) > ($2, $3) AND o.ended_at < $4 \
    ORDER BY o.ended_at, o.id LIMIT $5";

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

    async fn signed(
        &self,
        institution: &InstitutionId,
        query: SignedQuery,
    ) -> Result<Option<SignedPage>, StoreError> {
        on!(self.reads, s => signed(&s, institution, query))
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
                destruction_begun_at: row.try_get(7)?,
            });
        }
    }
    Ok(KeysView { generation, keys })
}

async fn signed(
    session: &Session,
    institution: &InstitutionId,
    query: SignedQuery,
) -> Result<Option<SignedPage>, Failure> {
    // First what is pending, then what is signed: what ends in between comes at the end of the list.
    let Some(signing) = signing(session, institution, query.key).await? else {
        return Ok(None);
    };
    let (at, operation) = query.behind();
    let parameters: [Parameter<'_>; 5] = [
        &query.key.as_bytes().as_slice(),
        &at.micros(),
        &operation,
        &signing.settled(query.now).micros(),
        &query.rows(),
    ];
    let read = |row: &Row| {
        Ok(SignedRow {
            place: SignedPlace {
                at: row.try_get(0)?,
                operation: row.try_get(1)?,
            },
            kind: row.try_get(2)?,
            object: row.try_get(3)?,
            device: row.try_get(4)?,
            artifact: row.try_get(5)?,
            in_force: row.try_get(6)?,
        })
    };
    let rows = session.query(SIGNED, &parameters).await?;
    let rows: Result<_, Failure> = rows.iter().map(read).collect();
    Ok(Some(signing.page(rows?, query.at_most)))
}

async fn signing(
    session: &Session,
    institution: &InstitutionId,
    key: KeyId,
) -> Result<Option<Signing>, Failure> {
    let parameters: [Parameter<'_>; 2] = [&key.as_bytes().as_slice(), &institution.as_str()];
    let found = session.query(SIGNING, &parameters).await?;
    let Some(row) = found.first() else {
        return Ok(None);
    };
    let (Count(generation), Named(state)) = (row.try_get(0)?, row.try_get(1)?);
    let (Count(under_way), Count(not_kept)) = (row.try_get(3)?, row.try_get(4)?);
    Ok(Some(Signing {
        generation,
        state,
        first_begun: row.try_get(2)?,
        under_way,
        not_kept,
    }))
}
