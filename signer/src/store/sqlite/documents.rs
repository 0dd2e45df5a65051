//! Owns the verbs about the versioned documents that people set.

use rusqlite::{Connection, OptionalExtension as _, Row};
use semops_objects::institution::InstitutionId;

use crate::{
    domain::document::{Document, DocumentKind, DocumentVersion, StoredDocument},
    store::{
        DocumentView, Documents, StoreError, VersionsView, columns,
        sqlite::{
            columns::{Count, Text},
            rows,
        },
    },
};

pub(super) const NEWEST: &str = "SELECT institution, kind, version, bytes, loaded_at FROM document d WHERE version = \
    (SELECT max(version) FROM document n WHERE n.institution = d.institution AND n.kind = d.kind) \
    ORDER BY institution, kind";

pub(super) const LATEST: &str = "SELECT institution, kind, version, bytes, loaded_at FROM document \
    WHERE institution = ?1 AND kind = ?2 AND version < ?3 ORDER BY version DESC";

pub(super) const VERSION: &str = "SELECT institution, kind, version, bytes, loaded_at FROM document \
    WHERE institution = ?1 AND kind = ?2 AND version = ?3";

/// Octets of documents that are hashed for one list of versions: some hundredths of a second.
const HASHED: usize = 16 << 20;

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
        Some(version) => (VERSION, columns::version(version)),
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
    let below = below.map_or(i64::MAX, columns::version);
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

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<StoredDocument> {
    let (Text(institution), Text(kind), Count(version)) = (row.get(0)?, row.get(1)?, row.get(2)?);
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
