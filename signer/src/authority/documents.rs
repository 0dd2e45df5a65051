//! Owns the loading of a policy, trust or callers document: the act of a local operator, beside a running server.

use semops_objects::{change::Custodians, institution::InstitutionId, trust::TrustDocument};
use semops_pki::profile::Oids;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        document::{Document, DocumentKind},
    },
    fault::{self, Point},
    policy::{Policy, Register},
    store::{Loaded, Store, StoreError},
};

/// Why a document was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not what it should be.
    #[error("{0}")]
    Mistaken(String),
    /// It follows another version than the one in force.
    #[error("version {found} does not follow: the next {kind} of {institution} is version {expected}", kind = kind.name())]
    Version {
        /// Whose.
        institution: InstitutionId,
        /// Which document.
        kind: DocumentKind,
        /// The version in the document.
        found: u64,
        /// The version that would follow.
        expected: u64,
    },
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A document that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedDocument {
    /// The document.
    pub document: Document,
    /// Whether these very bytes were in force already.
    pub unchanged: bool,
}

/// Checks a document and makes it effective. A running server decides by it from its next request on.
pub async fn load_document(
    store: &dyn Store,
    oids: &Oids,
    kind: DocumentKind,
    bytes: Vec<u8>,
    origin: Origin,
    now: Timestamp,
) -> Result<LoadedDocument, LoadError> {
    let (institution, version) = read(kind, &bytes, oids)?;
    fault::point(Point::LoadChecked);
    let document = Document {
        institution,
        kind,
        version,
        bytes,
    };
    let loaded = store.load(document.clone(), origin, now).await?;
    fault::point(Point::LoadCommitted);
    match loaded {
        Loaded::Effective(_) => Ok(LoadedDocument {
            document,
            unchanged: false,
        }),
        Loaded::Unchanged => Ok(LoadedDocument {
            document,
            unchanged: true,
        }),
        Loaded::WrongVersion { expected } => Err(LoadError::Version {
            institution: document.institution,
            kind,
            found: version,
            expected,
        }),
    }
}

fn read(kind: DocumentKind, bytes: &[u8], oids: &Oids) -> Result<(InstitutionId, u64), LoadError> {
    let mistaken = |e: &dyn std::fmt::Display| LoadError::Mistaken(e.to_string());
    match kind {
        DocumentKind::Policy => {
            let policy = Policy::parse(bytes).map_err(|e| mistaken(&e))?;
            Ok((policy.institution().clone(), policy.version()))
        }
        DocumentKind::Trust => {
            let trust = TrustDocument::parse(bytes, oids).map_err(|e| mistaken(&e))?;
            Ok((trust.institution().clone(), trust.version()))
        }
        DocumentKind::Callers => {
            let register = Register::parse(bytes).map_err(|e| mistaken(&e))?;
            Ok((register.institution().clone(), register.version()))
        }
        DocumentKind::Custodians => {
            let custodians = Custodians::parse(bytes).map_err(|e| mistaken(&e))?;
            Ok((custodians.institution().clone(), custodians.version()))
        }
    }
}
