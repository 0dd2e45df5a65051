//! Owns the writing verbs about changes. An execution has the rules alone; what only waits for decisions shares them, so
//! that no order waits for it.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use tokio_postgres::Row;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::Event,
        change::{ChangeId, ChangeState, Decision, Enclosed},
    },
    fault::Point,
    store::{
        ChangeEnding, ChangeQuery, ChangeView, Changes, ChangesView, Decided, Histories, NewChange,
        NewDecision, Proposed, Stands, StoreError,
        changing::{Decidable, Proposable, Telling},
        columns,
        postgres::{
            PostgresStore, audit,
            columns::{Count, Octets, Text},
            error::Failure,
            execution, histories, locks, reaching,
            record::column,
            session::{Parameter, Session},
            trial::on,
        },
    },
};

pub(super) const PROPOSABLE: &str = "SELECT g.value, EXISTS (SELECT 1 FROM change WHERE institution = $1 AND id = $2), \
    (SELECT coalesce(max(sequence), 0) FROM change WHERE institution = $1 AND state = 'EXECUTED'), \
    (SELECT count(*) FROM change WHERE institution = $1 AND state = 'PENDING') FROM generation g WHERE g.one = 1";

pub(super) const PROPOSE: &str = "INSERT INTO change (institution, id, sequence, state, proposed_at, expires_at, bytes) \
    VALUES ($1, $2, $3, 'PENDING', $4, $5, $6) RETURNING number";

pub(super) const ENCLOSE: &str = "INSERT INTO change_document (change, kind, bytes) \
    SELECT $1::bigint, kind, bytes FROM unnest($2::text[], $3::bytea[]) AS w (kind, bytes)";

pub(super) const DECIDABLE: &str = "SELECT c.state, c.expires_at, g.value, \
    (SELECT count(*) FROM approval a WHERE a.change = c.number), \
    (SELECT a.decision FROM approval a WHERE a.change = c.number AND a.person = $2) \
    FROM change c JOIN generation g ON g.one = 1 WHERE c.number = $1";

pub(super) const DECIDE: &str = "INSERT INTO approval (change, person, decision, jws, at) \
    SELECT $1::bigint, person, decision, jws, $5::bigint FROM unnest($2::text[], $3::text[], $4::text[]) \
    AS w (person, decision, jws)";

pub(super) const END: &str = "UPDATE change SET state = $2, ended_at = $3 WHERE number = ANY($1::bigint[]) AND state = 'PENDING'";

pub(super) const REMOVE: &str = "DELETE FROM change_document WHERE change = ANY($1::bigint[])";

// Those that are being decided about right now need no sweep.
pub(super) const OVERDUE: &str = "SELECT number, institution, id FROM change WHERE state = 'PENDING' AND expires_at <= $1 \
    ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED";

#[async_trait]
impl Changes for PostgresStore {
    async fn propose(
        &self,
        change: NewChange,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Proposed, StoreError> {
        on!(self.writes, s => reaching(Point::LoadWritten, propose(&s, &change, &origin, now)))
    }

    async fn decide(
        &self,
        decided: Decided,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Stands, StoreError> {
        on!(self.writes, s => reaching(Point::LoadWritten, decide(&s, &decided, &origin, now)))
    }

    async fn expire(&self, limit: u32, origin: Origin, now: Timestamp) -> Result<u64, StoreError> {
        on!(self.writes, s => expire(&s, limit, &origin, now))
    }

    async fn histories(&self) -> Result<Histories, StoreError> {
        on!(self.reads, s => histories::histories(&s))
    }

    async fn change(
        &self,
        institution: &InstitutionId,
        id: ChangeId,
    ) -> Result<ChangeView, StoreError> {
        on!(self.reads, s => histories::change(&s, institution, id))
    }

    async fn changes(
        &self,
        institution: &InstitutionId,
        query: ChangeQuery,
    ) -> Result<ChangesView, StoreError> {
        on!(self.reads, s => histories::changes(&s, institution, query))
    }
}

async fn propose(
    session: &Session,
    change: &NewChange,
    origin: &Origin,
    now: Timestamp,
) -> Result<Proposed, Failure> {
    lock_rules(session, change.ending.as_ref()).await?;
    locks::proposals(session, &change.institution).await?;
    if let Some(refusal) = proposable(session, change).await?.refusal(change) {
        return Ok(refusal);
    }
    let row: [Parameter<'_>; 6] = [
        &change.institution.as_str(),
        &change.id.as_bytes().as_slice(),
        &columns::version(change.sequence),
        &now.micros(),
        &change.expires_at.micros(),
        &change.bytes,
    ];
    let number: i64 = session.one(PROPOSE, &row).await?.try_get(0)?;
    let telling = Telling {
        institution: &change.institution,
        change: change.id,
        origin,
    };
    let mut events = vec![telling.proposed()];
    events.extend(record(session, number, &change.decisions, telling, now).await?);
    match &change.ending {
        Some(ending) => {
            let brought = end(session, number, ending, &change.enclosed, telling, now).await?;
            events.extend(brought);
        }
        None => enclose(session, number, &change.enclosed).await?,
    }
    audit::append(session, &events, now).await?;
    Ok(Proposed::Recorded)
}

/// An execution changes what everybody decides by; anything else only reads it.
async fn lock_rules(session: &Session, ending: Option<&ChangeEnding>) -> Result<(), Failure> {
    match ending {
        Some(ChangeEnding::Executed(_)) => locks::change_rules(session).await,
        Some(ChangeEnding::Rejected) | None => locks::share_rules(session).await,
    }
}

async fn proposable(session: &Session, change: &NewChange) -> Result<Proposable, Failure> {
    let id = change.id.as_bytes().as_slice();
    let asked: [Parameter<'_>; 2] = [&change.institution.as_str(), &id];
    let row = session.one(PROPOSABLE, &asked).await?;
    let (Count(generation), Count(executed), Count(pending)) =
        (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?);
    Ok(Proposable {
        known: row.try_get(1)?,
        generation,
        executed,
        pending,
    })
}

async fn enclose(
    session: &Session,
    number: i64,
    enclosed: &[(Enclosed, Vec<u8>)],
) -> Result<(), Failure> {
    let kinds = column(enclosed, |(kind, _)| kind.name());
    let bytes = column(enclosed, |(_, bytes)| bytes.as_slice());
    let rows: [Parameter<'_>; 3] = [&number, &kinds, &bytes];
    session.execute(ENCLOSE, &rows).await.map(drop)
}

async fn decide(
    session: &Session,
    decided: &Decided,
    origin: &Origin,
    now: Timestamp,
) -> Result<Stands, Failure> {
    lock_rules(session, decided.ending.as_ref()).await?;
    let Some(number) = locks::change(session, &decided.institution, decided.change).await? else {
        return Ok(Stands::NotFound);
    };
    let decidable = decidable(session, number, decided).await?;
    if let Some(refusal) = decidable.refusal(decided, now) {
        return Ok(refusal);
    }
    let telling = Telling {
        institution: &decided.institution,
        change: decided.change,
        origin,
    };
    let mut events = record(session, number, decided.decision.as_slice(), telling, now).await?;
    if let Some(ending) = &decided.ending {
        let enclosed = histories::enclosed(session, number).await?;
        events.extend(end(session, number, ending, &enclosed, telling, now).await?);
    }
    audit::append(session, &events, now).await?;
    Ok(Stands::Done)
}

async fn decidable(
    session: &Session,
    number: i64,
    decided: &Decided,
) -> Result<Decidable, Failure> {
    let person = decided.decision.as_ref().map(|new| new.person.as_str());
    let row = session.one(DECIDABLE, &[&number, &person]).await?;
    let (Count(generation), Count(decisions)) = (row.try_get(2)?, row.try_get(3)?);
    let earlier: Option<Text<Decision>> = row.try_get(4)?;
    Ok(Decidable {
        state: row.try_get(0)?,
        expires_at: row.try_get(1)?,
        decisions,
        earlier: earlier.map(|Text(was)| was),
        generation,
    })
}

async fn record(
    session: &Session,
    number: i64,
    decisions: &[NewDecision],
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Failure> {
    let persons = column(decisions, |new| new.person.as_str());
    let words = column(decisions, |new| new.decision.name());
    let signatures = column(decisions, |new| new.jws.as_str());
    let rows: [Parameter<'_>; 5] = [&number, &persons, &words, &signatures, &now.micros()];
    session.execute(DECIDE, &rows).await?;
    Ok(column(decisions, |new| telling.decided(new.decision)))
}

/// Ends a change by decision, with what that brings about. Answers the events that tell of it.
async fn end(
    session: &Session,
    number: i64,
    ending: &ChangeEnding,
    enclosed: &[(Enclosed, Vec<u8>)],
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Failure> {
    settle(session, &[number], ending.state(), now).await?;
    let mut events = vec![telling.ended(ending.state())];
    if let ChangeEnding::Executed(execution) = ending {
        events.extend(execution::execute(session, execution, enclosed, telling, now).await?);
    }
    Ok(events)
}

/// Writes the end of changes that are pending, and removes what they enclose.
pub(super) async fn settle(
    session: &Session,
    numbers: &[i64],
    state: ChangeState,
    now: Timestamp,
) -> Result<(), Failure> {
    let ends: [Parameter<'_>; 3] = [&numbers, &state.name(), &now.micros()];
    let ended = session.execute(END, &ends).await?;
    if usize::try_from(ended) != Ok(numbers.len()) {
        let text = format!("{ended} of {} changes were pending", numbers.len());
        return Err(StoreError::Violated(text).into());
    }
    session.execute(REMOVE, &[&numbers]).await.map(drop)
}

/// A change that is pending: its row, its institution and its name.
pub(super) type Pending = (i64, InstitutionId, ChangeId);

pub(super) fn pending(row: &Row) -> Result<Pending, Failure> {
    let Text(institution) = row.try_get(1)?;
    let Octets(id) = row.try_get(2)?;
    Ok((row.try_get(0)?, institution, ChangeId::new(id)))
}

async fn expire(
    session: &Session,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<u64, Failure> {
    let asked: [Parameter<'_>; 2] = [&now.micros(), &i64::from(limit)];
    let overdue = session.query(OVERDUE, &asked).await?;
    let overdue: Vec<Pending> = overdue.iter().map(pending).collect::<Result<_, _>>()?;
    settle(
        session,
        &column(&overdue, |(number, ..)| *number),
        ChangeState::Expired,
        now,
    )
    .await?;
    let told = |(_, institution, change): &Pending| {
        let telling = Telling {
            institution,
            change: *change,
            origin,
        };
        telling.ended(ChangeState::Expired)
    };
    audit::append(session, &column(&overdue, told), now).await?;
    Ok(u64::try_from(overdue.len()).unwrap_or(u64::MAX))
}
