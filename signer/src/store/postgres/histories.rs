//! Owns the reading verbs about changes. Each is one statement: what it reads stood together.

use std::collections::HashMap;

use semops_objects::institution::InstitutionId;
use tokio_postgres::Row;

use crate::{
    clock::Timestamp,
    domain::{
        change::{ChangeId, Enclosed, StoredChange, StoredDecision},
        document::{Document, StoredDocument},
        key::KeyId,
    },
    store::{
        ChangeQuery, ChangeView, ChangesView, DamagedRow, Histories, StoreError,
        postgres::{
            columns::{Count, Octets, Text},
            error::Failure,
            session::{Parameter, Session},
        },
    },
};

/// The columns of a change, of what it encloses, or of a decision about it, by `part`.
macro_rules! parts {
    ($which:literal, $enclosed:literal) => {
        concat!(
            "SELECT 1 AS part, number, institution, id, sequence, bytes, state AS word, NULL::text AS person, NULL::text AS jws, \
             proposed_at AS at, expires_at, ended_at FROM ",
            $which,
            " c UNION ALL SELECT 2, a.change, NULL, NULL, NULL, NULL, a.decision, a.person, a.jws, a.at, NULL, NULL \
             FROM approval a WHERE a.change IN (SELECT number FROM ",
            $which,
            " c)",
            $enclosed
        )
    };
}

macro_rules! standing {
    ($parts:expr, $order:literal) => {
        concat!(
            "SELECT g.value, p.* FROM generation g LEFT JOIN (",
            $parts,
            ") p ON true WHERE g.one = 1 ORDER BY ",
            $order
        )
    };
}

// Documents and certificates stand in the columns of changes: all of it in one statement.
pub(super) const HISTORIES: &str = standing!(
    concat!(
        parts!("(SELECT * FROM change WHERE state = 'EXECUTED')", ""),
        " UNION ALL SELECT CASE WHEN version = newest THEN 3 ELSE 4 END, NULL, institution, NULL, version, bytes, kind, NULL, NULL, \
         loaded_at, NULL, NULL FROM (SELECT *, max(version) OVER (PARTITION BY institution, kind) AS newest FROM document) d \
         WHERE version = newest OR kind = 'custodians' \
         UNION ALL SELECT 5, NULL, (SELECT institution FROM key WHERE id = key_id), key_id, NULL, der, NULL, NULL, NULL, NULL, NULL, NULL FROM key_certificate"
    ),
    "p.part, p.institution, p.word, p.sequence, p.at, p.person, p.id"
);

pub(super) const CHANGE: &str = standing!(
    parts!(
        "(SELECT * FROM change WHERE institution = $1 AND id = $2)",
        " UNION ALL SELECT 6, e.change, NULL, NULL, NULL, e.bytes, e.kind, NULL, NULL, NULL, NULL, NULL \
         FROM change_document e WHERE e.change = (SELECT number FROM change WHERE institution = $1 AND id = $2)"
    ),
    "p.part, p.word, p.at, p.person"
);

pub(super) const CHANGES: &str = standing!(
    parts!(
        "(SELECT * FROM change WHERE institution = $1 AND ($2::bytea IS NULL \
         OR number < (SELECT number FROM change WHERE institution = $1 AND id = $2)) \
         AND ($3::text IS NULL OR state = $3) ORDER BY number DESC LIMIT $4)",
        ""
    ),
    "p.part, p.number DESC, p.at, p.person"
);

pub(super) const ENCLOSED: &str = "SELECT kind, bytes FROM change_document WHERE change = $1";

/// What one of these statements gives, by part.
#[derive(Default)]
struct Found {
    view: Histories,
    enclosed: Vec<(Enclosed, Vec<u8>)>,
    /// Of each change its place, and whose it is.
    places: HashMap<i64, (Option<usize>, Option<InstitutionId>)>,
}

impl Found {
    /// Reads what can be read; what cannot is in `damaged`.
    fn read(rows: &[Row]) -> Result<Self, Failure> {
        let mut found = Self::default();
        for row in rows {
            Count(found.view.generation) = row.try_get(0)?;
            let Some(part) = row.try_get::<_, Option<i32>>(1)? else {
                continue;
            };
            match found.take(part, row) {
                Err(Failure::Final(StoreError::Corrupt(why))) => {
                    let institution = found.owner(part, row);
                    let row = format!("a row of {}: {why}", table(part));
                    found.view.damaged.push(DamagedRow { institution, row });
                }
                taken => taken?,
            }
        }
        Ok(found)
    }

    /// The same, if all of it can be read.
    fn whole(rows: &[Row]) -> Result<Self, Failure> {
        let mut found = Self::read(rows)?;
        match found.view.damaged.pop() {
            Some(damaged) => Err(StoreError::Corrupt(damaged.row).into()),
            None => Ok(found),
        }
    }

    fn take(&mut self, part: i32, row: &Row) -> Result<(), Failure> {
        let view = &mut self.view;
        match part {
            1 => {
                let number: i64 = row.try_get(2)?;
                self.places.insert(number, (None, owner(row)));
                let change = change_of(row)?;
                let place = Some(view.changes.len());
                self.places
                    .insert(number, (place, Some(change.institution.clone())));
                view.changes.push(change);
            }
            2 => {
                let decision = decision_of(row)?;
                let place = self.places.get(&row.try_get::<_, i64>(2)?);
                let place = place.and_then(|(place, _)| *place);
                // Every decision is about a change of the same statement, which may be damaged.
                if let Some(change) = place.and_then(|at| view.changes.get_mut(at)) {
                    change.decisions.push(decision);
                }
            }
            3 => view.documents.push(document_of(row)?),
            4 => view.registers.push(document_of(row)?),
            5 => {
                let Octets(id) = row.try_get(4)?;
                let certificate = (KeyId::new(id), row.try_get(6)?);
                view.certificates.push(certificate);
            }
            _ => self.enclosed.push((row.try_get(7)?, row.try_get(6)?)),
        }
        Ok(())
    }

    /// Whose a row is, as far as that can be read.
    fn owner(&self, part: i32, row: &Row) -> Option<InstitutionId> {
        if part != 2 {
            return owner(row);
        }
        let number: i64 = row.try_get(2).ok()?;
        self.places.get(&number)?.1.clone()
    }
}

fn owner(row: &Row) -> Option<InstitutionId> {
    row.try_get(3).map(|Text(id)| id).ok()
}

fn table(part: i32) -> &'static str {
    match part {
        1 => "change",
        2 => "approval",
        3 | 4 => "document",
        5 => "key_certificate",
        _ => "change_document",
    }
}

fn change_of(row: &Row) -> Result<StoredChange, Failure> {
    let (Text(institution), Octets(id)) = (row.try_get(3)?, row.try_get(4)?);
    let Count(sequence) = row.try_get(5)?;
    Ok(StoredChange {
        institution,
        id: ChangeId::new(id),
        sequence,
        bytes: row.try_get(6)?,
        state: row.try_get(7)?,
        proposed_at: row.try_get(10)?,
        expires_at: row.try_get(11)?,
        ended_at: row.try_get::<_, Option<Timestamp>>(12)?,
        decisions: Vec::new(),
    })
}

fn decision_of(row: &Row) -> Result<StoredDecision, Failure> {
    let (Text(person), Text(decision)) = (row.try_get(8)?, row.try_get(7)?);
    Ok(StoredDecision {
        person,
        decision,
        jws: row.try_get(9)?,
        at: row.try_get(10)?,
    })
}

fn document_of(row: &Row) -> Result<StoredDocument, Failure> {
    let (Text(institution), Count(version)) = (row.try_get(3)?, row.try_get(5)?);
    let document = Document {
        institution,
        kind: row.try_get(7).map(|Text(kind)| kind)?,
        version,
        bytes: row.try_get(6)?,
    };
    Ok(StoredDocument {
        document,
        loaded_at: row.try_get(10)?,
    })
}

pub(super) async fn histories(session: &Session) -> Result<Histories, Failure> {
    Ok(Found::read(&session.query(HISTORIES, &[]).await?)?.view)
}

pub(super) async fn change(
    session: &Session,
    institution: &InstitutionId,
    id: ChangeId,
) -> Result<ChangeView, Failure> {
    let id = id.as_bytes().as_slice();
    let asked: [Parameter<'_>; 2] = [&institution.as_str(), &id];
    let found = Found::whole(&session.query(CHANGE, &asked).await?)?;
    Ok(ChangeView {
        generation: found.view.generation,
        change: found.view.changes.into_iter().next(),
        enclosed: found.enclosed,
    })
}

pub(super) async fn changes(
    session: &Session,
    institution: &InstitutionId,
    query: ChangeQuery,
) -> Result<ChangesView, Failure> {
    let before = query.before.as_ref().map(|id| id.as_bytes().as_slice());
    let state = query.state.map(|state| state.name());
    let at_most = i64::try_from(query.at_most).unwrap_or(i64::MAX);
    let asked: [Parameter<'_>; 4] = [&institution.as_str(), &before, &state, &at_most];
    let found = Found::whole(&session.query(CHANGES, &asked).await?)?;
    Ok(ChangesView {
        generation: found.view.generation,
        changes: found.view.changes,
    })
}

/// What a change encloses while it is pending.
pub(super) async fn enclosed(
    session: &Session,
    number: i64,
) -> Result<Vec<(Enclosed, Vec<u8>)>, Failure> {
    let rows = session.query(ENCLOSED, &[&number]).await?;
    let enclosed = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    enclosed.collect()
}
