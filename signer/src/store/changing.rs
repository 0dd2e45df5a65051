//! Owns what every store decides alike about changes when it has read what stands, and the events that tell of them.

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        change::{ChangeId, ChangeState, Decision, Enclosed},
        document::DocumentKind,
    },
    store::{
        ChangeEnding, Decided, KeyProjection, NewChange, PENDING_CHANGES, Proposed, Stands,
        StoreError,
    },
};
use semops_objects::institution::InstitutionId;

/// What stands when a change is proposed.
pub(super) struct Proposable {
    /// Whether it is recorded.
    pub(super) known: bool,
    /// The documents' generation.
    pub(super) generation: u64,
    /// The last place that is taken in the history; 0 without one.
    pub(super) executed: u64,
    /// How many are pending.
    pub(super) pending: u64,
}

impl Proposable {
    /// Why the change is not recorded.
    pub(super) fn refusal(&self, change: &NewChange) -> Option<Proposed> {
        let next = self.executed.checked_add(1);
        if self.known {
            Some(Proposed::Known)
        } else if change.generation != self.generation || Some(change.sequence) != next {
            Some(Proposed::Stale)
        } else {
            let over = change.ending.is_none() && self.pending >= PENDING_CHANGES;
            over.then_some(Proposed::TooMany)
        }
    }
}

/// What stands when a change is decided about.
pub(super) struct Decidable {
    /// Where the change stands.
    pub(super) state: ChangeState,
    /// From when on nothing can come of it.
    pub(super) expires_at: Timestamp,
    /// How many decisions are recorded.
    pub(super) decisions: u64,
    /// What the person decided before.
    pub(super) earlier: Option<Decision>,
    /// The documents' generation.
    pub(super) generation: u64,
}

impl Decidable {
    /// Why the decision is not recorded.
    pub(super) fn refusal(&self, decided: &Decided, now: Timestamp) -> Option<Stands> {
        if let (Some(new), Some(earlier)) = (&decided.decision, self.earlier) {
            let same = new.decision == earlier;
            return Some(if same {
                Stands::Known
            } else {
                Stands::Otherwise
            });
        }
        if self.state != ChangeState::Pending {
            return Some(Stands::Ended(self.state));
        }
        if self.expires_at <= now {
            return Some(Stands::Ended(ChangeState::Expired));
        }
        let moved = decided.generation != self.generation || decided.seen != self.decisions;
        moved.then_some(Stands::Stale)
    }
}

impl ChangeEnding {
    /// The state that a change ends in.
    pub(super) const fn state(&self) -> ChangeState {
        match self {
            Self::Rejected => ChangeState::Rejected,
            Self::Executed(_) => ChangeState::Executed,
        }
    }
}

/// Of which change is told, and on whose behalf it was done.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    pub(super) institution: &'a InstitutionId,
    pub(super) change: ChangeId,
    pub(super) origin: &'a Origin,
}

impl Telling<'_> {
    /// It was recorded.
    pub(super) fn proposed(self) -> Event {
        self.event("change.propose")
    }

    /// A person decided.
    pub(super) fn decided(self, decision: Decision) -> Event {
        self.event(match decision {
            Decision::Approve => "change.approve",
            Decision::Reject => "change.reject",
        })
    }

    /// It ended.
    pub(super) fn ended(self, state: ChangeState) -> Event {
        if state == ChangeState::Executed {
            return self.event("change.execute");
        }
        Event {
            reason: Some(state.name().to_owned()),
            ..self.event("change.end")
        }
    }

    /// A key's state is another.
    pub(super) fn key(self, key: &KeyProjection) -> Event {
        Event {
            object: Some(key.state.name().to_owned()),
            key: Some(key.id),
            ..self.event("key.state")
        }
    }

    fn event(self, operation: &'static str) -> Event {
        Event {
            origin: self.origin.clone(),
            institution: self.institution.clone(),
            operation,
            object: Some(self.change.to_string()),
            device: None,
            policy: None,
            key: None,
            result: Resulted::Done,
            reason: None,
        }
    }
}

/// A document that a change brings into force stands with other bytes: nobody approved those.
pub(super) fn other_document(institution: &InstitutionId, kind: &str, version: u64) -> StoreError {
    StoreError::Corrupt(format!(
        "{kind} {version} of {institution} stands with other bytes than those approved"
    ))
}

/// A key that a change rules is another institution's, or for another purpose.
pub(super) fn other_key(institution: &InstitutionId, key: &KeyProjection) -> StoreError {
    let (id, purpose) = (key.id, key.purpose.name());
    StoreError::Corrupt(format!(
        "key {id} is not registered as {purpose} of {institution}"
    ))
}

/// The bytes of a document that an execution puts into force.
pub(super) fn enclosed_document(
    enclosed: &[(Enclosed, Vec<u8>)],
    kind: DocumentKind,
    change: ChangeId,
) -> Result<&Vec<u8>, StoreError> {
    let wanted = Enclosed::Document(kind);
    let found = enclosed.iter().find(|(one, _)| *one == wanted);
    let missing = || StoreError::Violated(format!("change {change} encloses no {}", kind.name()));
    found.map(|(_, bytes)| bytes).ok_or_else(missing)
}
