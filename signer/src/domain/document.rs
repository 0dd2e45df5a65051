//! Owns the versioned documents that rule an institution: policy, trust, callers and custodians. They are kept as exact bytes and
//! named by the SHA-256 of them; what they say is parsed elsewhere.

use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::sha256;

use crate::clock::Timestamp;

pub use semops_objects::change::DocumentKind;

/// One version of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Whom it rules.
    pub institution: InstitutionId,
    /// Which it is.
    pub kind: DocumentKind,
    /// Its version: the previous one's plus one, from 1.
    pub version: u64,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
}

impl Document {
    /// Its name: the SHA-256 of its exact bytes.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.bytes)
    }
}

/// A document as it stands in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    /// The document.
    pub document: Document,
    /// When it was loaded.
    pub loaded_at: Timestamp,
}

impl StoredDocument {
    /// Its name.
    pub fn version(&self) -> DocumentVersion {
        DocumentVersion {
            kind: self.document.kind,
            version: self.document.version,
            sha256: self.document.sha256(),
            loaded_at: self.loaded_at,
        }
    }
}

/// One version of a document by name, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentVersion {
    /// Which document.
    pub kind: DocumentKind,
    /// Which version of it.
    pub version: u64,
    /// The SHA-256 of its exact bytes.
    pub sha256: [u8; 32],
    /// When it was loaded.
    pub loaded_at: Timestamp,
}
