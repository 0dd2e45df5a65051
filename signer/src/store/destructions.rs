//! Owns the contract of destructions in the record: begun before a key is destroyed in its token, ended once it was, so that
//! whoever comes after a process that died between goes on, and each is told once.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        change::ChangeId,
        key::{KeyId, KeyState},
        operation::Term,
    },
    store::StoreError,
};

/// The destructions in the record.
#[async_trait]
pub trait Destructions: Send + Sync + 'static {
    /// Records that a key is to be destroyed in its token now, in one transaction with its event:
    /// - the institution has no such key: `NotFound`;
    /// - it is destroyed: `Done`; its destruction has begun: `Begun`;
    /// - another generation of documents: `Stale`;
    /// - by schedule, in another term than the leader's: `NotLeader`;
    /// - unused, and not made for a request or taken up by a change: `InUse`; other changes are pending than those which
    ///   were looked through: `Stale`;
    /// - else `Begun`. The generation is raised, so that nothing is recorded that was decided while the key was there.
    async fn begin_destruction(
        &self,
        ask: DestructionAsk,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Destroying, StoreError>;

    /// Records that a key is destroyed, in one transaction with its event, and raises the generation. One that was is left as
    /// it is. A destruction that was not begun is `Violated`.
    async fn end_destruction(
        &self,
        institution: &InstitutionId,
        key: KeyId,
        origin: Origin,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// How many certificates of devices by `issuer` are valid after `at` and not revoked, and until when the last of them
    /// is, in one read.
    async fn valid_after(&self, issuer: KeyId, at: Timestamp) -> Result<StillValid, StoreError>;
}

/// Which key is to be destroyed, and why it may be.
#[derive(Clone, Debug)]
pub struct DestructionAsk {
    /// Whose.
    pub institution: InstitutionId,
    /// Which.
    pub key: KeyId,
    /// Why it may be.
    pub why: Why,
    /// The documents' generation in which that was found.
    pub generation: u64,
}

/// Why a key may be destroyed.
#[derive(Clone, Debug)]
pub enum Why {
    /// The time has come for which a change approved it; the replica that leads in this term has it done.
    Due(Term),
    /// No change has taken it up, and none of these names it, which are all that are pending.
    Unused(Vec<ChangeId>),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroying {
    /// It is recorded, now or since before: the key is to be destroyed in the token, with what was made there for this
    /// request.
    Begun(Option<Uuid>),
    /// It was destroyed before.
    Done,
    /// Another replica does the scheduled work.
    NotLeader,
    /// The documents, or the pending changes, moved.
    Stale,
    /// It does not wait for a change.
    InUse,
    /// The institution has no such key.
    NotFound,
}

/// Certificates that are valid after a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillValid {
    /// How many.
    pub count: u64,
    /// Until when the last one is.
    pub until: Option<Timestamp>,
}

/// What stands when a key is to be destroyed.
pub(super) struct Destroyable {
    /// Its state.
    pub(super) state: KeyState,
    /// When its destruction was begun.
    pub(super) begun_at: Option<Timestamp>,
    /// When it was done.
    pub(super) destroyed_at: Option<Timestamp>,
    /// The request that it was made for.
    pub(super) request: Option<Uuid>,
    /// The documents' generation.
    pub(super) generation: u64,
    /// The term of whoever does the scheduled work.
    pub(super) term: Term,
    /// The pending changes of the institution.
    pub(super) pending: Vec<ChangeId>,
}

impl Destroyable {
    /// What is answered without recording anything; nothing if it is to be recorded.
    pub(super) fn answer(&self, ask: &DestructionAsk) -> Option<Destroying> {
        if self.destroyed_at.is_some() {
            return Some(Destroying::Done);
        }
        if self.begun_at.is_some() {
            return Some(Destroying::Begun(self.request));
        }
        if ask.generation != self.generation {
            return Some(Destroying::Stale);
        }
        match &ask.why {
            Why::Due(term) => (*term != self.term).then_some(Destroying::NotLeader),
            Why::Unused(seen) => {
                if self.state != KeyState::PreActivation || self.request.is_none() {
                    return Some(Destroying::InUse);
                }
                let same = self.pending.iter().all(|change| seen.contains(change))
                    && self.pending.len() == seen.len();
                (!same).then_some(Destroying::Stale)
            }
        }
    }
}

/// The event of a destruction that is begun, or done.
pub(super) fn told(
    institution: &InstitutionId,
    key: KeyId,
    operation: &'static str,
    origin: &Origin,
) -> Event {
    Event {
        origin: origin.clone(),
        institution: institution.clone(),
        operation,
        object: None,
        device: None,
        policy: None,
        key: Some(key),
        result: Resulted::Done,
        reason: None,
    }
}

/// The word for one that is begun.
pub(super) const BEGUN: &str = "key.destroying";
/// The word for one that is done.
pub(super) const DONE: &str = "key.destroy";

/// Nobody recorded that the key was to be destroyed.
pub(super) fn not_begun(key: KeyId) -> StoreError {
    StoreError::Violated(format!("the destruction of key {key} was not begun"))
}
