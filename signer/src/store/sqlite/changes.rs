//! Owns the writing verbs about changes. Every write is one transaction of the one writer.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        change::{ChangeId, ChangeState, Decision, Enclosed},
    },
    fault::Point,
    store::{
        ChangeEnding, ChangeQuery, ChangeView, Changes, ChangesView, Decided, Histories, NewChange,
        NewDecision, Proposed, Stands, StoreError,
        changing::{Decidable, Proposable, Telling},
        sqlite::{
            SqliteStore, audit,
            columns::{Count, Text},
            execution, histories, rows,
            threads::reaching,
        },
    },
};

pub(super) const PROPOSABLE: &str = "SELECT g.value, EXISTS (SELECT 1 FROM change WHERE institution = ?1 AND id = ?2), \
    (SELECT coalesce(max(sequence), 0) FROM change WHERE institution = ?1 AND state = 'EXECUTED'), \
    (SELECT count(*) FROM change WHERE institution = ?1 AND state = 'PENDING') FROM generation g WHERE g.one = 1";

pub(super) const PROPOSE: &str = "INSERT INTO change (institution, id, sequence, state, proposed_at, expires_at, bytes) \
    VALUES (?1, ?2, ?3, 'PENDING', ?4, ?5, ?6)";

pub(super) const ENCLOSE: &str =
    "INSERT INTO change_document (change, kind, bytes) VALUES (?1, ?2, ?3)";

pub(super) const DECIDABLE: &str = "SELECT c.number, c.state, c.expires_at, \
    (SELECT count(*) FROM approval a WHERE a.change = c.number), \
    (SELECT a.decision FROM approval a WHERE a.change = c.number AND a.person = ?3) \
    FROM change c WHERE c.institution = ?1 AND c.id = ?2";

pub(super) const DECIDE: &str =
    "INSERT INTO approval (change, person, decision, jws, at) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const END: &str =
    "UPDATE change SET state = ?2, ended_at = ?3 WHERE number = ?1 AND state = 'PENDING'";

pub(super) const REMOVE: &str = "DELETE FROM change_document WHERE change = ?1";

pub(super) const OVERDUE: &str = "SELECT number, institution, id FROM change \
    WHERE state = 'PENDING' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2";

#[async_trait]
impl Changes for SqliteStore {
    async fn propose(
        &self,
        change: NewChange,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Proposed, StoreError> {
        let propose =
            move |connection: &Connection| self::propose(connection, change, &origin, now);
        self.threads
            .write(reaching(Point::LoadWritten, propose))
            .await
    }

    async fn decide(
        &self,
        decided: Decided,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Stands, StoreError> {
        let decide =
            move |connection: &Connection| self::decide(connection, &decided, &origin, now);
        self.threads
            .write(reaching(Point::LoadWritten, decide))
            .await
    }

    async fn expire(&self, limit: u32, origin: Origin, now: Timestamp) -> Result<u64, StoreError> {
        self.threads
            .write(move |connection| self::expire(connection, limit, &origin, now))
            .await
    }

    async fn histories(&self) -> Result<Histories, StoreError> {
        self.threads.read(histories::histories).await
    }

    async fn change(
        &self,
        institution: &InstitutionId,
        id: ChangeId,
    ) -> Result<ChangeView, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| histories::change(connection, &institution, id))
            .await
    }

    async fn changes(
        &self,
        institution: &InstitutionId,
        query: ChangeQuery,
    ) -> Result<ChangesView, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| histories::changes(connection, &institution, query))
            .await
    }
}

fn propose(
    connection: &Connection,
    change: NewChange,
    origin: &Origin,
    now: Timestamp,
) -> Result<Proposed, StoreError> {
    if let Some(refusal) = proposable(connection, &change)?.refusal(&change) {
        return Ok(refusal);
    }
    connection.prepare_cached(PROPOSE)?.execute((
        change.institution.as_str(),
        change.id.as_bytes(),
        Count(change.sequence),
        now,
        change.expires_at,
        &change.bytes,
    ))?;
    let number = connection.last_insert_rowid();
    let telling = Telling {
        institution: &change.institution,
        change: change.id,
        origin,
    };
    audit::append(connection, &telling.proposed(), now)?;
    for decision in &change.decisions {
        record(connection, number, decision, telling, now)?;
    }
    match &change.ending {
        Some(ending) => end(connection, number, ending, &change.enclosed, telling, now)?,
        None => enclose(connection, number, &change.enclosed)?,
    }
    Ok(Proposed::Recorded)
}

fn proposable(connection: &Connection, change: &NewChange) -> Result<Proposable, StoreError> {
    let (Count(generation), known, Count(executed), Count(pending)) = connection
        .prepare_cached(PROPOSABLE)?
        .query_row((change.institution.as_str(), change.id.as_bytes()), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    Ok(Proposable {
        known,
        generation,
        executed,
        pending,
    })
}

fn enclose(
    connection: &Connection,
    number: i64,
    enclosed: &[(Enclosed, Vec<u8>)],
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(ENCLOSE)?;
    for (kind, bytes) in enclosed {
        statement.execute((number, kind.name(), bytes))?;
    }
    Ok(())
}

fn decide(
    connection: &Connection,
    decided: &Decided,
    origin: &Origin,
    now: Timestamp,
) -> Result<Stands, StoreError> {
    let Some((number, decidable)) = decidable(connection, decided)? else {
        return Ok(Stands::NotFound);
    };
    if let Some(refusal) = decidable.refusal(decided, now) {
        return Ok(refusal);
    }
    let telling = Telling {
        institution: &decided.institution,
        change: decided.change,
        origin,
    };
    if let Some(decision) = &decided.decision {
        record(connection, number, decision, telling, now)?;
    }
    if let Some(ending) = &decided.ending {
        let enclosed = histories::enclosed(connection, number)?;
        end(connection, number, ending, &enclosed, telling, now)?;
    }
    Ok(Stands::Done)
}

fn decidable(
    connection: &Connection,
    decided: &Decided,
) -> Result<Option<(i64, Decidable)>, StoreError> {
    let person = decided.decision.as_ref().map(|new| new.person.as_str());
    let generation = rows::generation(connection)?;
    let read = |row: &Row<'_>| {
        let Count(decisions) = row.get(3)?;
        let decidable = Decidable {
            state: row.get(1)?,
            expires_at: row.get(2)?,
            decisions,
            earlier: row
                .get::<_, Option<Text<Decision>>>(4)?
                .map(|Text(was)| was),
            generation,
        };
        Ok((row.get(0)?, decidable))
    };
    let mut statement = connection.prepare_cached(DECIDABLE)?;
    let asked = (
        decided.institution.as_str(),
        decided.change.as_bytes(),
        person,
    );
    Ok(statement.query_row(asked, read).optional()?)
}

fn record(
    connection: &Connection,
    number: i64,
    decision: &NewDecision,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection.prepare_cached(DECIDE)?.execute((
        number,
        decision.person.as_str(),
        decision.decision.name(),
        &decision.jws,
        now,
    ))?;
    audit::append(connection, &telling.decided(decision.decision), now)
}

/// Ends a change by decision, with what that brings about.
fn end(
    connection: &Connection,
    number: i64,
    ending: &ChangeEnding,
    enclosed: &[(Enclosed, Vec<u8>)],
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    settle(connection, number, ending.state(), telling, now)?;
    match ending {
        ChangeEnding::Rejected => Ok(()),
        ChangeEnding::Executed(execution) => {
            execution::execute(connection, execution, enclosed, telling, now)
        }
    }
}

/// Writes the end of a change that is pending, and removes what it encloses.
pub(super) fn settle(
    connection: &Connection,
    number: i64,
    state: ChangeState,
    telling: Telling<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ended = connection
        .prepare_cached(END)?
        .execute((number, state.name(), now))?;
    if ended != 1 {
        let text = format!("change {} is not pending", telling.change);
        return Err(StoreError::Violated(text));
    }
    connection.prepare_cached(REMOVE)?.execute([number])?;
    audit::append(connection, &telling.ended(state), now)
}

/// A change that is pending: its row, its institution and its name.
pub(super) type Pending = (i64, InstitutionId, ChangeId);

pub(super) fn pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    let Text(institution) = row.get(1)?;
    Ok((row.get(0)?, institution, row.get(2).map(ChangeId::new)?))
}

fn expire(
    connection: &Connection,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(OVERDUE)?;
    let overdue = statement.query_map((now, limit), pending)?;
    let overdue: Vec<Pending> = overdue.collect::<Result<_, _>>()?;
    for (number, institution, change) in &overdue {
        let telling = Telling {
            institution,
            change: *change,
            origin,
        };
        settle(connection, *number, ChangeState::Expired, telling, now)?;
    }
    Ok(u64::try_from(overdue.len()).unwrap_or(u64::MAX))
}
