//! Owns DocumentService: its messages to and from the use cases.

use semops_proto::v1::{self, document_service_server::DocumentService};
use tonic::{Request, Response, Status};

use crate::{
    domain::document::{DocumentKind, DocumentVersion},
    error::Error,
    rpc::{call::Desk, field},
};

/// Answers DocumentService.
pub(crate) struct Documents(pub(crate) Desk);

#[tonic::async_trait]
impl DocumentService for Documents {
    async fn get_document(
        &self,
        request: Request<v1::GetDocumentRequest>,
    ) -> Result<Response<v1::GetDocumentResponse>, Status> {
        self.0
            .run(
                request,
                document_request,
                |authority, ctx, (kind, version)| async move {
                    let stored = authority.document(&ctx, kind, version).await?;
                    Ok(v1::GetDocumentResponse {
                        document: Some(named(stored.version())),
                        content: stored.document.bytes,
                    })
                },
            )
            .await
    }

    async fn list_document_versions(
        &self,
        request: Request<v1::ListDocumentVersionsRequest>,
    ) -> Result<Response<v1::ListDocumentVersionsResponse>, Status> {
        self.0
            .run(
                request,
                versions_request,
                |authority, ctx, (kind, below)| async move {
                    let versions = authority.document_versions(&ctx, kind, below).await?;
                    Ok(v1::ListDocumentVersionsResponse {
                        documents: versions.into_iter().map(named).collect(),
                    })
                },
            )
            .await
    }
}

/// A kind, and a version of it.
type Which = (DocumentKind, Option<u64>);

pub(super) fn document_request(message: v1::GetDocumentRequest) -> Result<Which, Error> {
    Ok((kind("kind", message.kind)?, given(message.version)))
}

pub(super) fn versions_request(message: v1::ListDocumentVersionsRequest) -> Result<Which, Error> {
    Ok((kind("kind", message.kind)?, given(message.below)))
}

/// Versions begin at 1; 0 names none.
fn given(version: u64) -> Option<u64> {
    (version > 0).then_some(version)
}

/// The kind with this code, in the field `name`.
pub(super) fn kind(name: &str, code: i32) -> Result<DocumentKind, Error> {
    use v1::DocumentKind as K;
    match K::try_from(code) {
        Ok(K::Policy) => Ok(DocumentKind::Policy),
        Ok(K::Trust) => Ok(DocumentKind::Trust),
        Ok(K::Callers) => Ok(DocumentKind::Callers),
        Ok(K::Custodians) => Ok(DocumentKind::Custodians),
        Ok(K::Unspecified) | Err(_) => Err(field::invalid(
            name,
            "must be one of DocumentKind, not UNSPECIFIED",
        )),
    }
}

pub(crate) fn named(version: DocumentVersion) -> v1::DocumentVersion {
    v1::DocumentVersion {
        kind: kind_code(version.kind).into(),
        version: version.version,
        sha256: version.sha256.to_vec(),
        loaded_at: version.loaded_at.seconds(),
    }
}

/// The code of a kind.
pub(super) fn kind_code(kind: DocumentKind) -> v1::DocumentKind {
    match kind {
        DocumentKind::Policy => v1::DocumentKind::Policy,
        DocumentKind::Trust => v1::DocumentKind::Trust,
        DocumentKind::Callers => v1::DocumentKind::Callers,
        DocumentKind::Custodians => v1::DocumentKind::Custodians,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_kind_keeps_its_code_and_others_are_refused() {
        for code in -1..=5 {
            let read = kind("kind", code);
            assert_eq!(read.is_ok(), (1..=4).contains(&code), "{code}");
            if let Ok(kind) = read {
                let version = DocumentVersion {
                    kind,
                    version: 1,
                    sha256: [0; 32],
                    loaded_at: Timestamp::from_seconds(1),
                };
                assert_eq!(named(version).kind, code);
            }
        }
    }
}
