//! Owns the verbs about what is set by people: the registered keys and the versioned documents.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        document::{Document, DocumentKind},
    },
    store::{
        Documents, KeyRegistration, Loaded, StoreError,
        sqlite::{
            audit,
            columns::{Count, Text},
            rows,
        },
    },
};

const REGISTER: &str = "INSERT INTO key (id, institution, purpose, state) VALUES (?1, ?2, ?3, 'active') ON CONFLICT (id) DO NOTHING";

const REGISTERED: &str = "SELECT 1 FROM key WHERE id = ?1 AND institution = ?2 AND purpose = ?3";

const NEWEST: &str = "SELECT institution, kind, version, bytes FROM document d WHERE version = \
    (SELECT max(version) FROM document n WHERE n.institution = d.institution AND n.kind = d.kind) \
    ORDER BY institution, kind";

pub(super) const EFFECTIVE: &str = "SELECT version, bytes FROM document WHERE institution = ?1 AND kind = ?2 \
    ORDER BY version DESC LIMIT 1";

pub(super) const LOAD: &str = "INSERT INTO document (institution, kind, version, bytes, loaded_at) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const RAISE: &str = "UPDATE generation SET value = value + 1 WHERE one = 1";

pub(super) fn register_keys(
    connection: &Connection,
    keys: &[KeyRegistration],
) -> Result<(), StoreError> {
    for key in keys {
        let row = (key.id, key.institution.as_str(), key.purpose.name());
        connection.prepare_cached(REGISTER)?.execute(row)?;
        if !connection.prepare_cached(REGISTERED)?.exists(row)? {
            let text = format!(
                "key {} is registered for another institution or purpose",
                key.id
            );
            return Err(StoreError::Corrupt(text));
        }
    }
    Ok(())
}

pub(super) fn documents(connection: &Connection) -> Result<Documents, StoreError> {
    let mut statement = connection.prepare_cached(NEWEST)?;
    let documents = statement.query_map([], |row| {
        let (Text(institution), DocumentWord(kind), Count(version)) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Document {
            institution,
            kind,
            version,
            bytes: row.get(3)?,
        })
    })?;
    let documents = documents.collect::<Result<_, _>>()?;
    Ok(Documents {
        generation: rows::generation(connection)?,
        documents,
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
