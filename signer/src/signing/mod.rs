//! Owns the one road to a signature: record, sign the recorded bytes, verify, record, answer.

mod draft;
mod recorded;

pub use draft::{
    AuthorizationIds, BankReferences, CertificateDraft, CrlDraft, Draft, NewKeyDraft, OrderDraft,
    ReissueDraft, enrollment_content,
};
pub use recorded::{Patience, RecordedSigner, SigningError};
