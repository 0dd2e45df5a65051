//! Owns the reading verbs about changes.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use semops_objects::institution::InstitutionId;

use crate::{
    domain::{
        change::{ChangeId, Enclosed, StoredChange, StoredDecision},
        document::StoredDocument,
        key::KeyId,
    },
    store::{
        ChangeQuery, ChangeView, ChangesView, Histories, StoreError,
        sqlite::{
            columns::{Count, Text},
            documents, rows,
        },
    },
};

macro_rules! change {
    ($which:literal) => {
        concat!(
            "SELECT number, institution, id, sequence, bytes, state, proposed_at, expires_at, ended_at FROM change WHERE ",
            $which
        )
    };
}

// Few rows, each once: all of them are what is asked for.
const EXECUTED: &str = change!("state = 'EXECUTED' ORDER BY institution, sequence");

const DECISIONS_OF_EXECUTED: &str = "SELECT a.change, a.person, a.decision, a.jws, a.at FROM approval a \
    JOIN change c ON c.number = a.change WHERE c.state = 'EXECUTED' ORDER BY a.at, a.person";

const REGISTERS: &str = "SELECT institution, kind, version, bytes, loaded_at FROM document d WHERE kind = 'custodians' \
    AND version < (SELECT max(version) FROM document n WHERE n.institution = d.institution AND n.kind = d.kind) \
    ORDER BY institution, version";

const CERTIFICATES: &str = "SELECT key_id, der FROM key_certificate ORDER BY key_id";

pub(super) const CHANGE: &str = change!("institution = ?1 AND id = ?2");

pub(super) const LISTED: &str = change!(
    "institution = ?1 AND number < ?2 AND (?3 IS NULL OR state = ?3) ORDER BY number DESC LIMIT ?4"
);

pub(super) const NUMBER: &str = "SELECT number FROM change WHERE institution = ?1 AND id = ?2";

pub(super) const DECISIONS: &str =
    "SELECT change, person, decision, jws, at FROM approval WHERE change = ?1";

pub(super) const ENCLOSED: &str = "SELECT kind, bytes FROM change_document WHERE change = ?1";

pub(super) fn histories(connection: &Connection) -> Result<Histories, StoreError> {
    let newest = documents::documents(connection)?;
    let mut decisions: HashMap<i64, Vec<StoredDecision>> = HashMap::new();
    for (change, decision) in read_decisions(connection, DECISIONS_OF_EXECUTED, &[])? {
        decisions.entry(change).or_default().push(decision);
    }
    let mut changes = Vec::new();
    for (number, change) in read_changes(connection, EXECUTED, &[])? {
        let decisions = decisions.remove(&number).unwrap_or_default();
        changes.push(StoredChange {
            decisions,
            ..change
        });
    }
    let mut registers = connection.prepare_cached(REGISTERS)?;
    let registers = registers.query_map([], documents::read)?;
    let mut certificates = connection.prepare_cached(CERTIFICATES)?;
    let certificates =
        certificates.query_map([], |row| Ok((row.get(0).map(KeyId::new)?, row.get(1)?)))?;
    Ok(Histories {
        generation: newest.generation,
        documents: newest.documents,
        registers: registers.collect::<Result<Vec<StoredDocument>, _>>()?,
        changes,
        certificates: certificates.collect::<Result<Vec<(KeyId, Vec<u8>)>, _>>()?,
    })
}

pub(super) fn change(
    connection: &Connection,
    institution: &InstitutionId,
    id: ChangeId,
) -> Result<ChangeView, StoreError> {
    let found = read_changes(connection, CHANGE, &[&institution.as_str(), id.as_bytes()])?;
    let (change, enclosed) = match found.into_iter().next() {
        Some((number, change)) => (
            Some(with_decisions(connection, number, change)?),
            enclosed(connection, number)?,
        ),
        None => (None, Vec::new()),
    };
    Ok(ChangeView {
        generation: rows::generation(connection)?,
        change,
        enclosed,
    })
}

pub(super) fn changes(
    connection: &Connection,
    institution: &InstitutionId,
    query: ChangeQuery,
) -> Result<ChangesView, StoreError> {
    let below = match query.before {
        Some(id) => number(connection, institution, id)?.unwrap_or(0),
        None => i64::MAX,
    };
    let state = query.state.map(|state| state.name());
    let at_most = i64::try_from(query.at_most).unwrap_or(i64::MAX);
    let asked: [&dyn ToSql; 4] = [&institution.as_str(), &below, &state, &at_most];
    let found = read_changes(connection, LISTED, &asked)?.into_iter();
    let changes = found.map(|(number, change)| with_decisions(connection, number, change));
    Ok(ChangesView {
        changes: changes.collect::<Result<_, _>>()?,
        generation: rows::generation(connection)?,
    })
}

fn number(
    connection: &Connection,
    institution: &InstitutionId,
    id: ChangeId,
) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached(NUMBER)?;
    let number = statement.query_row((institution.as_str(), id.as_bytes()), |row| row.get(0));
    Ok(number.optional()?)
}

/// What a change encloses while it is pending.
pub(super) fn enclosed(
    connection: &Connection,
    number: i64,
) -> Result<Vec<(Enclosed, Vec<u8>)>, StoreError> {
    let mut statement = connection.prepare_cached(ENCLOSED)?;
    let enclosed = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(enclosed.collect::<Result<_, _>>()?)
}

fn with_decisions(
    connection: &Connection,
    number: i64,
    change: StoredChange,
) -> Result<StoredChange, StoreError> {
    let mut decisions: Vec<StoredDecision> = read_decisions(connection, DECISIONS, &[&number])?
        .into_iter()
        .map(|(_, decision)| decision)
        .collect();
    decisions.sort_by(|one, other| (one.at, &one.person).cmp(&(other.at, &other.person)));
    Ok(StoredChange {
        decisions,
        ..change
    })
}

fn read_changes(
    connection: &Connection,
    sql: &str,
    asked: &[&dyn ToSql],
) -> Result<Vec<(i64, StoredChange)>, StoreError> {
    let read = |row: &Row<'_>| {
        let (Text(institution), Count(sequence)) = (row.get(1)?, row.get(3)?);
        let change = StoredChange {
            institution,
            id: row.get(2).map(ChangeId::new)?,
            sequence,
            bytes: row.get(4)?,
            state: row.get(5)?,
            proposed_at: row.get(6)?,
            expires_at: row.get(7)?,
            ended_at: row.get(8)?,
            decisions: Vec::new(),
        };
        Ok((row.get(0)?, change))
    };
    let mut statement = connection.prepare_cached(sql)?;
    let changes = statement.query_map(asked, read)?;
    Ok(changes.collect::<Result<_, _>>()?)
}

fn read_decisions(
    connection: &Connection,
    sql: &str,
    asked: &[&dyn ToSql],
) -> Result<Vec<(i64, StoredDecision)>, StoreError> {
    let read = |row: &Row<'_>| {
        let (Text(person), Text(decision)) = (row.get(1)?, row.get(2)?);
        let decision = StoredDecision {
            person,
            decision,
            jws: row.get(3)?,
            at: row.get(4)?,
        };
        Ok((row.get(0)?, decision))
    };
    let mut statement = connection.prepare_cached(sql)?;
    let decisions = statement.query_map(asked, read)?;
    Ok(decisions.collect::<Result<_, _>>()?)
}
