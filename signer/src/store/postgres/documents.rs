//! Owns the verbs about the versioned documents that people set.

use semops_objects::institution::InstitutionId;
use tokio_postgres::Row;

use crate::{
    domain::document::{Document, DocumentKind, DocumentVersion, StoredDocument},
    store::{
        DocumentView, Documents, VersionsView, columns,
        postgres::{
            columns::{Count, Octets, Text},
            error::Failure,
            session::{Parameter, Session},
        },
    },
};

const NEWEST: &str = "SELECT g.value, d.institution, d.kind, d.version, d.bytes, d.loaded_at FROM generation g LEFT JOIN \
    (SELECT DISTINCT ON (institution, kind) * FROM document ORDER BY institution, kind, version DESC) d ON true \
    WHERE g.one = 1 ORDER BY d.institution, d.kind";

pub(super) const LATEST: &str = "SELECT g.value, d.institution, d.kind, d.version, d.bytes, d.loaded_at FROM generation g \
    LEFT JOIN LATERAL (SELECT * FROM document WHERE institution = $1 AND kind = $2 AND ($3::bigint IS NULL OR version = $3) \
    ORDER BY version DESC LIMIT 1) d ON true WHERE g.one = 1";

/// Octets of documents that are hashed for one list of versions: some hundredths of a second.
const HASHED: i64 = 16 << 20;

pub(super) const VERSIONS: &str = "SELECT g.value, d.version, d.sha256, d.loaded_at FROM generation g LEFT JOIN LATERAL \
    (SELECT version, sha256(bytes), loaded_at FROM (SELECT version, bytes, loaded_at, \
    sum(octet_length(bytes)) OVER (ORDER BY version DESC) - octet_length(bytes) AS before FROM document \
    WHERE institution = $1 AND kind = $2 AND version < $3) v WHERE before < $4 ORDER BY version DESC LIMIT $5) d ON true \
    WHERE g.one = 1 ORDER BY d.version DESC";

pub(super) const RAISE: &str = "UPDATE generation SET value = value + 1 WHERE one = 1";

pub(super) async fn documents(session: &Session) -> Result<Documents, Failure> {
    let rows = session.query(NEWEST, &[]).await?;
    let documents = rows.iter().filter_map(|row| stored(row).transpose());
    Ok(Documents {
        generation: generation(rows.first())?,
        documents: documents.collect::<Result<_, _>>()?,
    })
}

pub(super) async fn document(
    session: &Session,
    institution: &InstitutionId,
    kind: DocumentKind,
    version: Option<u64>,
) -> Result<DocumentView, Failure> {
    let version = version.map(columns::version);
    let parameters: [Parameter<'_>; 3] = [&institution.as_str(), &kind.name(), &version];
    let row = session.one(LATEST, &parameters).await?;
    Ok(DocumentView {
        generation: generation(Some(&row))?,
        document: stored(&row)?,
    })
}

pub(super) async fn versions(
    session: &Session,
    institution: &InstitutionId,
    kind: DocumentKind,
    below: Option<u64>,
    at_most: usize,
) -> Result<VersionsView, Failure> {
    let below = below.map_or(i64::MAX, columns::version);
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let parameters: [Parameter<'_>; 5] = [
        &institution.as_str(),
        &kind.name(),
        &below,
        &HASHED,
        &at_most,
    ];
    let rows = session.query(VERSIONS, &parameters).await?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(Count(version)) = row.try_get(1)? {
            let Octets(sha256) = row.try_get(2)?;
            versions.push(DocumentVersion {
                kind,
                version,
                sha256,
                loaded_at: row.try_get(3)?,
            });
        }
    }
    Ok(VersionsView {
        generation: generation(rows.first())?,
        versions,
    })
}

/// The first column of the first row: every one of these statements gives one at least.
fn generation(row: Option<&Row>) -> Result<u64, Failure> {
    let Some(row) = row else {
        return Err(crate::store::StoreError::Corrupt("there is no generation".to_owned()).into());
    };
    let Count(generation) = row.try_get(0)?;
    Ok(generation)
}

fn stored(row: &Row) -> Result<Option<StoredDocument>, Failure> {
    let Some(Text(institution)) = row.try_get(1)? else {
        return Ok(None);
    };
    let Count(version) = row.try_get(3)?;
    let document = Document {
        institution,
        kind: row.try_get(2).map(|Text(kind)| kind)?,
        version,
        bytes: row.try_get(4)?,
    };
    Ok(Some(StoredDocument {
        document,
        loaded_at: row.try_get(5)?,
    }))
}
