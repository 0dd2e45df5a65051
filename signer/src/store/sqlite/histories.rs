//! Owns the reading verbs about changes.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use semops_objects::institution::InstitutionId;

use crate::{
    domain::{
        change::{ChangeId, Enclosed, StoredChange, StoredDecision},
        key::KeyId,
    },
    store::{
        ChangeQuery, ChangeView, ChangesView, DamagedRow, Histories, StoreError,
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

const DECISIONS_OF_EXECUTED: &str = "SELECT a.change, a.person, a.decision, a.jws, a.at, c.institution FROM approval a \
    JOIN change c ON c.number = a.change WHERE c.state = 'EXECUTED' ORDER BY a.at, a.person";

const REGISTERS: &str = "SELECT institution, kind, version, bytes, loaded_at FROM document d WHERE kind = 'custodians' \
    AND version < (SELECT max(version) FROM document n WHERE n.institution = d.institution AND n.kind = d.kind) \
    ORDER BY institution, version";

const CERTIFICATES: &str = "SELECT c.key_id, c.der, k.institution FROM key_certificate c JOIN key k ON k.id = c.key_id \
    ORDER BY c.key_id";

pub(super) const CHANGE: &str = change!("institution = ?1 AND id = ?2");

pub(super) const LISTED: &str = change!(
    "institution = ?1 AND number < ?2 AND (?3 IS NULL OR state = ?3) ORDER BY number DESC LIMIT ?4"
);

pub(super) const NUMBER: &str = "SELECT number FROM change WHERE institution = ?1 AND id = ?2";

pub(super) const DECISIONS: &str =
    "SELECT change, person, decision, jws, at FROM approval WHERE change = ?1";

pub(super) const ENCLOSED: &str = "SELECT kind, bytes FROM change_document WHERE change = ?1";

pub(super) fn histories(connection: &Connection) -> Result<Histories, StoreError> {
    let mut whole = Whole {
        connection,
        damaged: Vec::new(),
    };
    let mut decisions: HashMap<i64, Vec<StoredDecision>> = HashMap::new();
    for (change, decision) in whole.read(DECISIONS_OF_EXECUTED, "approval", 5, decision_of)? {
        decisions.entry(change).or_default().push(decision);
    }
    let mut changes = Vec::new();
    for (number, change) in whole.read(EXECUTED, "change", 1, change_of)? {
        let decisions = decisions.remove(&number).unwrap_or_default();
        changes.push(StoredChange {
            decisions,
            ..change
        });
    }
    let certificate = |row: &Row<'_>| Ok((row.get(0).map(KeyId::new)?, row.get(1)?));
    Ok(Histories {
        generation: rows::generation(connection)?,
        documents: whole.read(documents::NEWEST, "document", 0, documents::read)?,
        registers: whole.read(REGISTERS, "document", 0, documents::read)?,
        changes,
        certificates: whole.read(CERTIFICATES, "key_certificate", 2, certificate)?,
        damaged: whole.damaged,
    })
}

/// Reads whole tables, and goes on behind a row that cannot be read.
struct Whole<'a> {
    connection: &'a Connection,
    damaged: Vec<DamagedRow>,
}

impl Whole<'_> {
    /// Reads the rows of a statement; `institution` is the column that says whose each is.
    fn read<T>(
        &mut self,
        sql: &str,
        table: &str,
        institution: usize,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            match read(row) {
                Ok(one) => found.push(one),
                Err(error) if is_of_row(&error) => self.damaged.push(DamagedRow {
                    institution: row.get(institution).map(|Text(id)| id).ok(),
                    row: format!("a row of {table}: {error}"),
                }),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

/// Whether a column holds what it should not.
fn is_of_row(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    matches!(
        error,
        E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..)
    )
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
    let mut statement = connection.prepare_cached(sql)?;
    let changes = statement.query_map(asked, change_of)?;
    Ok(changes.collect::<Result<_, _>>()?)
}

fn change_of(row: &Row<'_>) -> rusqlite::Result<(i64, StoredChange)> {
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
}

fn read_decisions(
    connection: &Connection,
    sql: &str,
    asked: &[&dyn ToSql],
) -> Result<Vec<(i64, StoredDecision)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let decisions = statement.query_map(asked, decision_of)?;
    Ok(decisions.collect::<Result<_, _>>()?)
}

fn decision_of(row: &Row<'_>) -> rusqlite::Result<(i64, StoredDecision)> {
    let (Text(person), Text(decision)) = (row.get(1)?, row.get(2)?);
    let decision = StoredDecision {
        person,
        decision,
        jws: row.get(3)?,
        at: row.get(4)?,
    };
    Ok((row.get(0)?, decision))
}
