//! Owns what an institution sees of the documents that rule it: every version, exactly as it was loaded.

use crate::{
    authority::{Authority, Context},
    domain::document::{DocumentKind, DocumentVersion, StoredDocument},
    error::{Error, Reason},
};

/// The most versions in one answer.
const VERSIONS: usize = 100;

impl Authority {
    /// Shows one version of a document of the caller's institution; the one in force if none is named.
    pub async fn document(
        &self,
        ctx: &Context,
        kind: DocumentKind,
        version: Option<u64>,
    ) -> Result<StoredDocument, Error> {
        let view = self.store.document(&ctx.institution, kind, version).await?;
        ctx.still(view.generation)?;
        view.document
            .ok_or(Error::NotFound(Reason::DocumentNotFound))
    }

    /// Names the versions of a document of the caller's institution, newest first, from the one below `below` on.
    pub async fn document_versions(
        &self,
        ctx: &Context,
        kind: DocumentKind,
        below: Option<u64>,
    ) -> Result<Vec<DocumentVersion>, Error> {
        let view = self
            .store
            .versions(&ctx.institution, kind, below, VERSIONS)
            .await?;
        ctx.still(view.generation)?;
        Ok(view.versions)
    }
}
