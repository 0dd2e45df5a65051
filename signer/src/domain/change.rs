//! Owns how a change of what rules an institution stands in the record: the exact bytes of a proposal, and what persons
//! decided about it. What they say is judged elsewhere.

use semops_objects::institution::InstitutionId;

pub use semops_objects::change::{ChangeId, Decision, PersonId};

use crate::{clock::Timestamp, domain::document::DocumentKind};

/// Where a change stands. All but the first are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeState {
    /// It waits for decisions.
    Pending,
    /// It is in force, or was until a later one.
    Executed,
    /// So many rejected it that not enough are left to approve it.
    Rejected,
    /// Another change was executed on its base.
    Superseded,
    /// Its time passed.
    Expired,
}

impl ChangeState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Executed,
        Self::Rejected,
        Self::Superseded,
        Self::Expired,
    ];

    /// The word in the record and in audit events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Executed => "EXECUTED",
            Self::Rejected => "REJECTED",
            Self::Superseded => "SUPERSEDED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// What a proposal brings along: the bytes whose SHA-256 it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Enclosed {
    /// The next version of a document.
    Document(DocumentKind),
    /// The certificate of a key, DER.
    Certificate,
}

impl Enclosed {
    /// The word in the record and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Document(kind) => kind.name(),
            Self::Certificate => "certificate",
        }
    }
}

/// One person's decision as it stands in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDecision {
    /// Who.
    pub person: PersonId,
    /// Which.
    pub decision: Decision,
    /// The person's signature over it: the compact JWS, exactly.
    pub jws: String,
    /// When it was recorded.
    pub at: Timestamp,
}

/// A change as it stands in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChange {
    /// Of which institution.
    pub institution: InstitutionId,
    /// Its name.
    pub id: ChangeId,
    /// Its place in the institution's history.
    pub sequence: u64,
    /// The proposal's exact bytes.
    pub bytes: Vec<u8>,
    /// Where it stands.
    pub state: ChangeState,
    /// When it was recorded.
    pub proposed_at: Timestamp,
    /// From when on nothing can come of it.
    pub expires_at: Timestamp,
    /// When it ended; of one that is executed, when that was.
    pub ended_at: Option<Timestamp>,
    /// What was decided about it, in the order in which it was recorded.
    pub decisions: Vec<StoredDecision>,
}
