//! Owns the verbs about destructions. Each has the rules alone: nothing that was decided while the key was there is recorded
//! later.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{actor::Origin, change::ChangeId, key::KeyId, operation::Term},
    store::{
        Destroying, DestructionAsk, Destructions, StillValid, StoreError,
        destructions::{BEGUN, DONE, Destroyable, not_begun, told},
        postgres::{
            PostgresStore, audit,
            columns::{Count, Named, Octets},
            documents::RAISE,
            error::Failure,
            locks,
            session::{Parameter, Session},
            trial::on,
        },
    },
};

pub(super) const KEY: &str = "SELECT k.state, k.destruction_begun_at, k.destroyed_at, n.request, g.value, l.term \
    FROM key k JOIN generation g ON g.one = 1 JOIN lease l ON l.one = 1 LEFT JOIN new_key n ON n.key_id = k.id \
    WHERE k.institution = $1 AND k.id = $2";

pub(super) const PENDING: &str =
    "SELECT id FROM change WHERE institution = $1 AND state = 'PENDING'";

pub(super) const BEGIN: &str = "UPDATE key SET destruction_begun_at = $2 WHERE id = $1";

pub(super) const END: &str = "UPDATE key SET state = 'destroyed', destroyed_at = $2 WHERE id = $1";

pub(super) const STILL_VALID: &str = "SELECT count(*), max(d.not_after) FROM device d WHERE d.issuer_key = $1 AND d.not_after > $2 \
    AND d.certificate_sha256 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.device = d.id)";

#[async_trait]
impl Destructions for PostgresStore {
    async fn begin_destruction(
        &self,
        ask: DestructionAsk,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Destroying, StoreError> {
        on!(self.writes, s => begin(&s, &ask, &origin, now))
    }

    async fn end_destruction(
        &self,
        institution: &InstitutionId,
        key: KeyId,
        origin: Origin,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self.writes, s => end(&s, institution, key, &origin, now))
    }

    async fn valid_after(&self, issuer: KeyId, at: Timestamp) -> Result<StillValid, StoreError> {
        on!(self.reads, s => valid_after(&s, issuer, at))
    }
}

async fn begin(
    session: &Session,
    ask: &DestructionAsk,
    origin: &Origin,
    now: Timestamp,
) -> Result<Destroying, Failure> {
    locks::change_rules(session).await?;
    locks::lead(session).await?;
    let Some(stands) = destroyable(session, &ask.institution, ask.key).await? else {
        return Ok(Destroying::NotFound);
    };
    if let Some(answer) = stands.answer(ask) {
        return Ok(answer);
    }
    set(session, BEGIN, ask.key, now).await?;
    let event = told(&ask.institution, ask.key, BEGUN, origin);
    audit::append(session, &[event], now).await?;
    Ok(Destroying::Begun(stands.request))
}

async fn end(
    session: &Session,
    institution: &InstitutionId,
    key: KeyId,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), Failure> {
    locks::change_rules(session).await?;
    let stands = destroyable(session, institution, key).await?;
    let stands = stands.filter(|stands| stands.begun_at.is_some());
    if stands.ok_or_else(|| not_begun(key))?.destroyed_at.is_some() {
        return Ok(());
    }
    set(session, END, key, now).await?;
    let event = told(institution, key, DONE, origin);
    audit::append(session, &[event], now).await
}

/// Moves a key, and what everybody decides by.
async fn set(
    session: &Session,
    sql: &'static str,
    key: KeyId,
    now: Timestamp,
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 2] = [&key.as_bytes().as_slice(), &now.micros()];
    session.execute(sql, &row).await?;
    session.execute(RAISE, &[]).await.map(drop)
}

async fn destroyable(
    session: &Session,
    institution: &InstitutionId,
    key: KeyId,
) -> Result<Option<Destroyable>, Failure> {
    let asked: [Parameter<'_>; 2] = [&institution.as_str(), &key.as_bytes().as_slice()];
    let rows = session.query(KEY, &asked).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let mut pending = Vec::new();
    for row in session.query(PENDING, &[&institution.as_str()]).await? {
        let Octets(id) = row.try_get(0)?;
        pending.push(ChangeId::new(id));
    }
    let (Named(state), Count(generation), Count(term)) =
        (row.try_get(0)?, row.try_get(4)?, row.try_get(5)?);
    Ok(Some(Destroyable {
        state,
        begun_at: row.try_get(1)?,
        destroyed_at: row.try_get(2)?,
        request: row.try_get(3)?,
        generation,
        term: Term(term),
        pending,
    }))
}

async fn valid_after(
    session: &Session,
    issuer: KeyId,
    at: Timestamp,
) -> Result<StillValid, Failure> {
    let asked: [Parameter<'_>; 2] = [&issuer.as_bytes().as_slice(), &at.micros()];
    let row = session.one(STILL_VALID, &asked).await?;
    let Count(count) = row.try_get(0)?;
    let until = row.try_get(1)?;
    Ok(StillValid { count, until })
}
