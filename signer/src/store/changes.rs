//! Owns the contract of changes in the record: proposals, what persons decide about them, and the history of those that
//! were executed. The record judges none of them: it keeps exact bytes, and takes what was judged only if nothing has moved
//! since it was read.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        change::{ChangeId, ChangeState, Decision, Enclosed, PersonId, StoredChange},
        document::{DocumentKind, StoredDocument},
        key::{KeyId, KeyState, Purpose},
    },
    store::StoreError,
};

/// How many changes of one institution may be pending.
pub const PENDING_CHANGES: u64 = 32;

/// The changes in the record.
#[async_trait]
pub trait Changes: Send + Sync + 'static {
    /// Records a change with the decisions that came with it, in one transaction with its events:
    /// - it is recorded already, in whatever state: `Known`, and nothing of this is taken;
    /// - another generation of documents than `change.generation`, or a place in the history that is not the next one:
    ///   `Stale`;
    /// - so many of the institution are pending ([`PENDING_CHANGES`]) and this one would be too: `TooMany`;
    /// - else `Recorded`, as PENDING, or as `change.ending` says.
    ///
    /// The ceremony of an institution, and a change that needs no other decision, are recorded as executed at once.
    async fn propose(
        &self,
        change: NewChange,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Proposed, StoreError>;

    /// Records a decision about a change, or ends it, or both, in one transaction with its events:
    /// - the institution has no such change: `NotFound`;
    /// - the person has decided already: `Known` if the same, else `Otherwise`;
    /// - it has ended, or its time has passed: `Ended`;
    /// - another generation of documents than `decided.generation`, or another number of decisions than `decided.seen`:
    ///   `Stale`;
    /// - else `Done`.
    ///
    /// What an end brings about is in the same transaction. As executed: the enclosed documents are in force, the keys'
    /// states are those of [`Execution`], the institution's other pending changes are SUPERSEDED, and the generation is
    /// raised, so that a `begin` that commits later sees it. What a change that ended otherwise enclosed is removed.
    async fn decide(
        &self,
        decided: Decided,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Stands, StoreError>;

    /// Ends every pending change whose time has passed as EXPIRED, at most `limit` of them, each with its event. Answers
    /// how many.
    async fn expire(&self, limit: u32, origin: Origin, now: Timestamp) -> Result<u64, StoreError>;

    /// What is in force, with everything that it is proven by, in one read. A row that cannot be read is told with whose it
    /// is, and is no reason not to read the others.
    async fn histories(&self) -> Result<Histories, StoreError>;

    /// A change of `institution` with what it encloses, in one read.
    async fn change(
        &self,
        institution: &InstitutionId,
        id: ChangeId,
    ) -> Result<ChangeView, StoreError>;

    /// The changes of `institution`, those recorded last first, in one read.
    async fn changes(
        &self,
        institution: &InstitutionId,
        query: ChangeQuery,
    ) -> Result<ChangesView, StoreError>;
}

/// A change that is to be recorded.
#[derive(Clone, Debug)]
pub struct NewChange {
    /// Of which institution.
    pub institution: InstitutionId,
    /// Its name.
    pub id: ChangeId,
    /// Its place in the institution's history.
    pub sequence: u64,
    /// The proposal's exact bytes.
    pub bytes: Vec<u8>,
    /// From when on nothing can come of it.
    pub expires_at: Timestamp,
    /// What it encloses.
    pub enclosed: Vec<(Enclosed, Vec<u8>)>,
    /// What persons decided about it so far: each person once.
    pub decisions: Vec<NewDecision>,
    /// How it ends at once, if it does.
    pub ending: Option<ChangeEnding>,
    /// The documents' generation in which it was judged.
    pub generation: u64,
}

/// A person's decision that is to be recorded.
#[derive(Clone, Debug)]
pub struct NewDecision {
    /// Who.
    pub person: PersonId,
    /// Which.
    pub decision: Decision,
    /// The person's signature over it: the compact JWS, exactly.
    pub jws: String,
}

/// What came of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// It is recorded now.
    Recorded,
    /// It was recorded before.
    Known,
    /// Too many are pending.
    TooMany,
    /// The history moved since it was judged: judge again.
    Stale,
}

/// What is to be recorded about a change.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Of which institution.
    pub institution: InstitutionId,
    /// Which change.
    pub change: ChangeId,
    /// The decision; none if it ends for another reason, such as a delay that has passed.
    pub decision: Option<NewDecision>,
    /// How many decisions about it had been recorded when it was judged.
    pub seen: u64,
    /// How it ends, if it does.
    pub ending: Option<ChangeEnding>,
    /// The documents' generation in which it was judged.
    pub generation: u64,
}

/// How a change ends by decision.
#[derive(Clone, Debug)]
pub enum ChangeEnding {
    /// Not enough are left to approve it.
    Rejected,
    /// It is executed.
    Executed(Execution),
}

/// What an executed change brings about in the record.
#[derive(Clone, Debug, Default)]
pub struct Execution {
    /// Which of the enclosed documents are in force now, as which version. One that stands with the same bytes is taken as
    /// it is; with other bytes nothing is done, and the answer is `Corrupt`.
    pub documents: Vec<(DocumentKind, u64)>,
    /// The keys whose states are others now. A key that was not registered is; one of another institution or purpose is
    /// `Corrupt`.
    pub keys: Vec<KeyProjection>,
    /// The certificates that keys have from now on, DER.
    pub certificates: Vec<(KeyId, Vec<u8>)>,
}

/// The life of a key as far as a `begin` looks at it, under its lock. What it may sign is proven by the history alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyProjection {
    /// Its id.
    pub id: KeyId,
    /// What it may sign.
    pub purpose: Purpose,
    /// Its state.
    pub state: KeyState,
    /// Before when it may not sign, although active.
    pub active_from: Option<Timestamp>,
    /// From when on it may not sign, although active.
    pub active_until: Option<Timestamp>,
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It is recorded now.
    Done,
    /// The person decided so before.
    Known,
    /// The person decided otherwise before.
    Otherwise,
    /// The change has ended so.
    Ended(ChangeState),
    /// The history, or what was decided, moved since it was judged: judge again.
    Stale,
    /// The institution has no such change.
    NotFound,
}

/// What is in force everywhere, and what proves it.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    /// The documents' generation at this read.
    pub generation: u64,
    /// The newest version of each (institution, kind).
    pub documents: Vec<StoredDocument>,
    /// Every version of the custodians' registers that is older: decisions are judged by the one in force then.
    pub registers: Vec<StoredDocument>,
    /// The executed changes with their decisions, by institution and in their sequence.
    pub changes: Vec<StoredChange>,
    /// The certificates that changes brought along, DER.
    pub certificates: Vec<(KeyId, Vec<u8>)>,
    /// The rows of all these that cannot be read.
    pub damaged: Vec<DamagedRow>,
}

/// A row that cannot be read. Others can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRow {
    /// Whose it is, as far as that can be read.
    pub institution: Option<InstitutionId>,
    /// Which, and what is wrong with it.
    pub row: String,
}

/// A change with what it encloses.
#[derive(Clone, Debug)]
pub struct ChangeView {
    /// The documents' generation at this read.
    pub generation: u64,
    /// The change, if the institution has it.
    pub change: Option<StoredChange>,
    /// What it encloses while it is pending. The documents of one that is executed are among the institution's versions.
    pub enclosed: Vec<(Enclosed, Vec<u8>)>,
}

/// Which changes are asked for.
#[derive(Clone, Copy, Debug)]
pub struct ChangeQuery {
    /// In which state; in any without one.
    pub state: Option<ChangeState>,
    /// Only those recorded before this one; none if the institution does not have it.
    pub before: Option<ChangeId>,
    /// The most changes in the answer.
    pub at_most: usize,
}

/// A part of an institution's changes.
#[derive(Clone, Debug)]
pub struct ChangesView {
    /// The documents' generation at this read.
    pub generation: u64,
    /// The changes, those recorded last first.
    pub changes: Vec<StoredChange>,
}
