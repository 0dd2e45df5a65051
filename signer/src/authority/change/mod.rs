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
    change::{
        Approval, Attachment, ChangeRefusal, ImpossibleKeyChange, KeyOperation, Operation,
        Proposal, Standing,
    },
    institution::InstitutionId,
};
use semops_pki::certificate::Certificate;

pub(super) use self::contents::Content;
use self::propose::expiry;
pub use self::{
    bring::{BringError, BroughtIn, Rules, bring_change},
    decide::Deciding,
    show::{ChangeShown, Listing},
};

use crate::{
    authority::{
        Authority, Context, Refused,
        gather_keys::{Grounds, check_publication},
    },
    clock::Timestamp,
    domain::{
        change::{ChangeId, ChangeState, Decision},
        key::{KeyId, KeyState, Purpose},
        keyring::{Held, Keyring},
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
            grounds: self.setup.grounds(ctx.snapshot.roots()),
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
    async fn check(
        &self,
        proposal: &Proposal,
        attachments: &[Attachment],
    ) -> Result<(), ChangeError> {
        contents::check(proposal, attachments, self.grounds)?;
        let operation = proposal.operation();
        if let Operation::Key {
            operation: KeyOperation::ScheduleDestruction { at },
            key,
        } = operation
        {
            return self.check_destruction(*key, expiry(*at)).await;
        }
        let published = operation.publication().zip(self.purpose(operation)?);
        let Some((publication, purpose)) = published else {
            return Ok(());
        };
        let certificate = contents::certificate(attachments, &publication)?;
        self.check_is_there(publication.key, operation.name())
            .await?;
        check_publication(
            self.grounds,
            self.standing,
            self.keyring,
            &publication,
            purpose,
            certificate,
        )?;
        Ok(())
    }

    /// Refuses a key whose destruction has begun.
    async fn check_is_there(&self, key: KeyId, operation: &'static str) -> Result<(), ChangeError> {
        let keys = self.store.keys(self.institution).await?.keys;
        let mut begun = keys.iter().filter(|one| one.destruction_begun_at.is_some());
        if begun.all(|one| one.id != key) {
            return Ok(());
        }
        let why = ImpossibleKeyChange::State {
            state: KeyState::Destroyed,
            operation,
        };
        Err(ChangeRefusal::Key { key, why }.into())
    }

    /// Refuses the destruction of a CA's key while something that it issued is valid: nobody could revoke it, and without a
    /// CRL nobody could trust it (RFC 5280 s6.3).
    async fn check_destruction(&self, key: KeyId, at: Timestamp) -> Result<(), ChangeError> {
        let Some(ca) = self.keyring.get(key).filter(|held| held.answers(at)) else {
            return Ok(());
        };
        let own = ca.record().chain.first();
        let own = own.map(Certificate::subject_key_identifier);
        let certified = |held: &&Held| {
            let certificate = held.record().chain.first();
            certificate.map(Certificate::authority_key_identifier) == own
        };
        let mut certified = self.keyring.keys().iter().filter(certified);
        let why = if let Some(held) = certified.find(|held| held.is_needed(at)) {
            let id = held.record().id;
            format!("the key {id}, which it certified, may sign then")
        } else {
            let valid = self.store.valid_after(key, at).await?;
            let Some(until) = valid.until else {
                return Ok(());
            };
            let (count, until) = (valid.count, until.seconds());
            format!("{count} device certificates by it are valid then, the last until {until}")
        };
        Err(ChangeRefusal::StillNeeded { key, why }.into())
    }

    /// Of the key that the operation publishes, if it publishes one.
    fn purpose(&self, operation: &Operation) -> Result<Option<Purpose>, ChangeRefusal> {
        let from = match operation {
            Operation::AddKey(addition) => return Ok(Some(addition.purpose)),
            Operation::RotateKey(rotation) => rotation.from,
            _ => return Ok(None),
        };
        let life = self.standing.key(from);
        let life = life.ok_or(ChangeRefusal::KeyNotFound(from))?;
        Ok(Some(life.purpose()))
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
