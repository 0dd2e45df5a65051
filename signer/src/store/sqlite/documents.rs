//! Owns the verbs about the versioned documents that people set.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        document::{Document, DocumentKind, DocumentVersion, StoredDocument},
    },
    store::{
        DocumentView, Documents, Loaded, StoreError, VersionsView,
        sqlite::{
            audit,
            columns::{Count, Text},
            rows,
        },
    },
};

const NEWEST: &str = "SELECT institution, kind, version, bytes, loaded_at FROM document d WHERE version = \
    (SELECT max(version) FROM document n WHERE n.institution = d.institution AND n.kind = d.kind) \
    ORDER BY institution, kind";

pub(super) const EFFECTIVE: &str = "SELECT version, bytes FROM document WHERE institution = ?1 AND kind = ?2 \
    ORDER BY version DESC LIMIT 1";

pub(super) const LATEST: &str = "SELECT institution, kind, version, bytes, loaded_at FROM document \
    WHERE institution = ?1 AND kind = ?2 AND version < ?3 ORDER BY version DESC";

pub(super) const VERSION: &str = "SELECT institution, kind, version, bytes, loaded_at FROM document \
    WHERE institution = ?1 AND kind = ?2 AND version = ?3";

/// Octets of documents that are hashed for one list of versions: some hundredths of a second.
const HASHED: usize = 16 << 20;

pub(super) const LOAD: &str = "INSERT INTO document (institution, kind, version, bytes, loaded_at) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const RAISE: &str = "UPDATE generation SET value = value + 1 WHERE one = 1";

pub(super) fn documents(connection: &Connection) -> Result<Documents, StoreError> {
    let mut statement = connection.prepare_cached(NEWEST)?;
    let documents = statement.query_map([], read)?;
    let documents = documents.collect::<Result<_, _>>()?;
    Ok(Documents {
        generation: rows::generation(connection)?,
        documents,
    })
}

pub(super) fn document(
    connection: &Connection,
    institution: &InstitutionId,
    kind: DocumentKind,
    version: Option<u64>,
) -> Result<DocumentView, StoreError> {
    let (sql, version) = match version {
        Some(version) => (VERSION, column(version)),
        None => (LATEST, i64::MAX),
    };
    let document = connection
        .prepare_cached(sql)?
        .query_row((institution.as_str(), kind.name(), version), read)
        .optional()?;
    Ok(DocumentView {
        generation: rows::generation(connection)?,
        document,
    })
}

pub(super) fn versions(
    connection: &Connection,
    institution: &InstitutionId,
    kind: DocumentKind,
    below: Option<u64>,
    at_most: usize,
) -> Result<VersionsView, StoreError> {
    let below = below.map_or(i64::MAX, column);
    let mut statement = connection.prepare_cached(LATEST)?;
    let mut found = statement.query((institution.as_str(), kind.name(), below))?;
    let (mut versions, mut hashed): (Vec<DocumentVersion>, usize) = (Vec::new(), 0);
    while versions.len() < at_most
        && hashed < HASHED
        && let Some(row) = found.next()?
    {
        let stored = read(row)?;
        hashed = hashed.saturating_add(stored.document.bytes.len());
        versions.push(stored.version());
    }
    Ok(VersionsView {
        generation: rows::generation(connection)?,
        versions,
    })
}

/// A version as a column can hold it; no document has a greater one.
fn column(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredDocument> {
    let (Text(institution), DocumentWord(kind), Count(version)) =
        (row.get(0)?, row.get(1)?, row.get(2)?);
    let document = Document {
        institution,
        kind,
        version,
        bytes: row.get(3)?,
    };
    Ok(StoredDocument {
        document,
        loaded_at: row.get(4)?,
    })
}

pub(super) fn load(
    connection: &Connection,
    document: &Document,
    origin: Origin,
    now: Timestamp,
) -> Result<Loaded, StoreError> {
    let effective = effective(connection, &document.institution, document.kind)?;
    if effective
        .as_ref()
        .is_some_and(|(_, bytes)| *bytes == document.bytes)
    {
        return Ok(Loaded::Unchanged);
    }
    let expected = effective.map_or(Some(1), |(version, _)| version.checked_add(1));
    if expected != Some(document.version) {
        return Ok(Loaded::WrongVersion {
            expected: expected.unwrap_or(u64::MAX),
        });
    }
    connection.prepare_cached(LOAD)?.execute(params![
        document.institution.as_str(),
        document.kind.name(),
        Count(document.version),
        document.bytes,
        now,
    ])?;
    connection.prepare_cached(RAISE)?.execute([])?;
    audit::append(connection, &event(document, origin), now)?;
    rows::generation(connection).map(Loaded::Effective)
}

fn effective(
    connection: &Connection,
    institution: &InstitutionId,
    kind: DocumentKind,
) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let read = |row: &Row<'_>| Ok((row.get(0).map(|Count(version)| version)?, row.get(1)?));
    let mut statement = connection.prepare_cached(EFFECTIVE)?;
    Ok(statement
        .query_row((institution.as_str(), kind.name()), read)
        .optional()?)
}

/// The object is `<version>.<base64url of the SHA-256 of the exact bytes>`.
fn event(document: &Document, origin: Origin) -> Event {
    let sha256 = document.sha256();
    Event {
        origin,
        institution: document.institution.clone(),
        operation: document.kind.name(),
        object: Some(format!(
            "{}.{}",
            document.version,
            URL_SAFE_NO_PAD.encode(sha256)
        )),
        device: None,
        policy: (document.kind == DocumentKind::Policy).then_some(sha256),
        key: None,
        result: Resulted::Done,
        reason: None,
    }
}

struct DocumentWord(DocumentKind);

impl rusqlite::types::FromSql for DocumentWord {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        let word = value.as_str()?;
        let kind = DocumentKind::ALL
            .into_iter()
            .find(|kind| kind.name() == word);
        kind.map(Self)
            .ok_or(rusqlite::types::FromSqlError::InvalidType)
    }
}
