//! Owns changes of what rules an institution: each is judged by what stands, recorded with what persons decided about it,
//! and executed with the last decision that it needs. The record is told only what was judged, and takes it only if nothing
//! has moved since.

mod bring;
mod contents;
mod decide;
mod execution;
mod propose;
mod recover;
mod show;

#[cfg(test)]
mod tests;

use semops_objects::{
    change::{Approval, Attachment, ChangeRefusal, Operation, Proposal, Standing},
    institution::InstitutionId,
};

pub use self::{
    bring::{BringError, BroughtIn, Rules, bring_change},
    decide::Deciding,
    show::{ChangeShown, Listing},
};
pub(super) use self::{contents::Content, decide::waits_until};

use crate::{
    authority::{
        Authority, Context, Refused,
        gather_keys::{Grounds, check_rotation},
    },
    clock::Timestamp,
    domain::{
        change::{ChangeId, ChangeState, Decision},
        keyring::Keyring,
    },
    error::{Error, Reason},
    store::{NewDecision, Store, StoreError},
};

/// Where the changes of one institution are judged and recorded.
pub(super) struct Registry<'a> {
    store: &'a dyn Store,
    grounds: Grounds<'a>,
    institution: &'a InstitutionId,
    /// What stands, in this generation.
    standing: &'a Standing,
    /// The keys that stand.
    keyring: &'a Keyring,
    generation: u64,
}

/// Why a change was not recorded, or a decision about it.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A rule of changes is against it.
    #[error(transparent)]
    Refused(#[from] ChangeRefusal),
    /// The institution has no such change.
    #[error("there is no such change")]
    NotFound,
    /// It has ended.
    #[error("the change has ended: {}", .0.name())]
    Ended(ChangeState),
    /// Too many are pending.
    #[error("{} changes are pending already", crate::store::PENDING_CHANGES)]
    TooMany,
    /// What stands moved meanwhile.
    #[error("what stands moved meanwhile")]
    Stale,
    /// What was recorded of it cannot be read.
    #[error("what the record holds of the change cannot be read: {0}")]
    Unreadable(String),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeError {
    /// The reason, if it is refused for what it is.
    fn refusal(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Reason::named(refusal.reason()),
            Self::Ended(ChangeState::Expired) => Some(Reason::ChangeExpired),
            Self::Ended(ChangeState::Superseded) => Some(Reason::BaseMoved),
            Self::Ended(_) => Some(Reason::ChangeEnded),
            Self::TooMany => Some(Reason::TooManyChanges),
            Self::NotFound | Self::Stale | Self::Unreadable(_) | Self::Store(_) => None,
        }
    }
}

impl From<ChangeError> for Error {
    fn from(error: ChangeError) -> Self {
        match (error.refusal(), error) {
            (Some(reason), refused) => Self::Refused {
                reason,
                why: refused.to_string(),
            },
            (None, ChangeError::NotFound) => Self::NotFound(Reason::ChangeNotFound),
            (None, ChangeError::Stale) => Self::Stale,
            (None, ChangeError::Store(error)) => error.into(),
            (None, other) => Self::internal(other),
        }
    }
}

impl Authority {
    /// Where the changes of the caller's institution are judged.
    fn registry<'a>(&'a self, ctx: &'a Context) -> Result<Registry<'a>, Error> {
        Ok(Registry {
            store: self.store.as_ref(),
            grounds: self.setup.grounds(),
            institution: &ctx.institution,
            standing: ctx.snapshot.standing(&ctx.institution)?,
            keyring: ctx.snapshot.keyring(&ctx.institution)?,
            generation: ctx.snapshot.generation(),
        })
    }

    /// Writes the event of a change, or a decision about one, that is refused for what it is.
    async fn refused_change(
        &self,
        ctx: &Context,
        operation: &'static str,
        change: ChangeId,
        error: ChangeError,
    ) -> Error {
        if let Some(reason) = error.refusal() {
            let refused = Refused {
                operation,
                object: Some(change.to_string()),
                device: None,
                reason,
            };
            if let Err(error) = self.audit_refusal(ctx, refused).await {
                return error;
            }
        }
        error.into()
    }
}

impl Registry<'_> {
    /// Refuses what accompanies a proposal unless it is all that it names, and says what it should.
    fn check(&self, proposal: &Proposal, attachments: &[Attachment]) -> Result<(), ChangeRefusal> {
        contents::check(proposal, attachments, self.grounds.oids)?;
        let Operation::RotateKey(rotation) = proposal.operation() else {
            return Ok(());
        };
        let certificate = contents::certificate(attachments, rotation)?;
        check_rotation(
            self.grounds,
            self.standing,
            self.keyring,
            rotation,
            certificate,
        )
    }
}

/// Unix seconds.
pub(super) fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.seconds()).unwrap_or_default()
}

/// A decision as it is recorded.
fn recorded(approval: &Approval) -> NewDecision {
    NewDecision {
        person: approval.person().clone(),
        decision: approval.decision(),
        jws: approval.compact().to_owned(),
    }
}

/// The word in audit events.
const fn operation(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "change.approve",
        Decision::Reject => "change.reject",
    }
}

#[cfg(test)]
mod reasons {
    use super::*;

    /// The words as they stand in the sources, for an enumeration that may grow cannot be matched as a whole.
    #[test]
    fn every_refusal_of_a_change_has_its_reason() {
        let sources = [
            include_str!("../../../objects/src/change/refusal.rs"),
            include_str!("../../../objects/src/change/custodians.rs"),
        ];
        let quoted = sources
            .iter()
            .flat_map(|text| text.split('"').skip(1).step_by(2));
        let word = |text: &&str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        };
        let words: Vec<_> = quoted.filter(word).collect();
        assert!(words.len() > 20, "{words:?}");
        for word in words {
            assert!(Reason::named(word).is_some(), "{word}");
        }
    }
}
