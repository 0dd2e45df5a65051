//! Owns the verbs about new keys.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::PublicKey;
use tokio_postgres::Row;
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
        postgres::{
            PostgresStore, audit,
            columns::{Count, Sec1, Text},
            error::Failure,
            locks, schema,
            session::{Parameter, Session},
            trial::on,
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

pub(super) const NEW_KEY: &str = new_key!("n.institution = $1 AND n.request = $2");

pub(super) const NEW_KEYS: &str = new_key!("n.institution = $1 AND k.state = 'pre-activation'");

pub(super) const OTHERS: &str = "SELECT g.value, (SELECT count(*) FROM new_key n LEFT JOIN key k ON k.id = n.key_id \
    WHERE n.institution = $1 AND n.purpose = $2 AND n.request <> $3 \
    AND (k.state = 'pre-activation' OR n.key_id IS NULL AND n.asked_at > $4)) FROM generation g WHERE g.one = 1";

const ASK: &str = "INSERT INTO new_key (institution, request, purpose, asked_at) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (institution, request) DO UPDATE SET asked_at = excluded.asked_at";

const ADD: &str = "INSERT INTO key (id, institution, purpose, state, registered_at) \
    VALUES ($1, $2, $3, 'pre-activation', $4)";

const COUNT_FROM_NOW: &str = "INSERT INTO key_use (key_id, signatures) VALUES ($1, 0)";

const MADE: &str =
    "UPDATE new_key SET key_id = $3, public_key = $4 WHERE institution = $1 AND request = $2";

#[async_trait]
impl NewKeys for PostgresStore {
    async fn ask_for_key(
        &self,
        ask: KeyAsk,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Asked, StoreError> {
        on!(self.writes, s => ask_for(&s, &ask, &origin, now))
    }

    async fn key_made(
        &self,
        institution: &InstitutionId,
        request: Uuid,
        public: PublicKey,
        origin: Origin,
        now: Timestamp,
    ) -> Result<MadeKey, StoreError> {
        on!(self.writes, s => made(&s, institution, request, &public, &origin, now))
    }

    async fn new_keys(&self, institution: &InstitutionId) -> Result<Vec<NewKey>, StoreError> {
        on!(self.reads, s => new_keys(&s, institution))
    }
}

async fn ask_for(
    session: &Session,
    ask: &KeyAsk,
    origin: &Origin,
    now: Timestamp,
) -> Result<Asked, Failure> {
    locks::share_rules(session).await?;
    locks::proposals(session, &ask.institution).await?;
    let (institution, purpose) = (ask.institution.as_str(), ask.purpose.name());
    let since = now.plus_seconds(-ASKED_SECONDS).micros();
    let parameters: [Parameter<'_>; 4] = [&institution, &purpose, &ask.request, &since];
    let row = session.one(OTHERS, &parameters).await?;
    let (Count(generation), Count(others)) = (row.try_get(0)?, row.try_get(1)?);
    let askable = Askable {
        generation,
        earlier: new_key(session, &ask.institution, ask.request).await?,
        others,
        all_know: schema::all_know_purposes(session).await?,
    };
    if let Some(answer) = askable.answer(ask) {
        return Ok(answer);
    }
    let row: [Parameter<'_>; 4] = [&institution, &ask.request, &purpose, &now.micros()];
    session.execute(ASK, &row).await?;
    let event = told(&ask.institution, ask.request, None, origin);
    audit::append(session, &[event], now).await?;
    Ok(asked(ask))
}

async fn made(
    session: &Session,
    institution: &InstitutionId,
    request: Uuid,
    public: &PublicKey,
    origin: &Origin,
    now: Timestamp,
) -> Result<MadeKey, Failure> {
    locks::proposals(session, institution).await?;
    let Some((purpose, earlier)) = new_key(session, institution, request).await? else {
        return Err(not_asked(request).into());
    };
    if let Some(made) = earlier.made {
        return Ok(made);
    }
    let id = KeyId::of(public);
    let (name, key) = (institution.as_str(), id.as_bytes().as_slice());
    let row: [Parameter<'_>; 4] = [&key, &name, &purpose.name(), &now.micros()];
    session.execute(ADD, &row).await?;
    session.execute(COUNT_FROM_NOW, &[&key]).await?;
    let row: [Parameter<'_>; 4] = [&name, &request, &key, &public.sec1()];
    session.execute(MADE, &row).await?;
    let event = told(institution, request, Some(id), origin);
    audit::append(session, &[event], now).await?;
    Ok(MadeKey {
        institution: institution.clone(),
        purpose,
        public: public.clone(),
        at: now,
    })
}

async fn new_key(
    session: &Session,
    institution: &InstitutionId,
    request: Uuid,
) -> Result<Option<(Purpose, NewKey)>, Failure> {
    let parameters: [Parameter<'_>; 2] = [&institution.as_str(), &request];
    let rows = session.query(NEW_KEY, &parameters).await?;
    rows.first().map(read).transpose()
}

async fn new_keys(session: &Session, institution: &InstitutionId) -> Result<Vec<NewKey>, Failure> {
    let rows = session.query(NEW_KEYS, &[&institution.as_str()]).await?;
    let keys = rows.iter().map(|row| Ok(read(row)?.1));
    Ok(in_order(keys.collect::<Result<_, Failure>>()?))
}

fn read(row: &Row) -> Result<(Purpose, NewKey), Failure> {
    let Text(purpose) = row.try_get(1)?;
    let public: Option<Sec1> = row.try_get(2)?;
    let at: Option<Timestamp> = row.try_get(3)?;
    let Text(institution) = row.try_get(5)?;
    let made = public.zip(at).map(|(Sec1(public), at)| MadeKey {
        institution,
        purpose,
        public,
        at,
    });
    let key = NewKey {
        request: row.try_get(0)?,
        made,
        signed: row.try_get(4)?,
        discarded: row.try_get(6)?,
    };
    Ok((purpose, key))
}
