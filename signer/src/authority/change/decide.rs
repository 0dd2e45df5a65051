//! Owns one person's decision about a change: it is approved or rejected, and ends with the decision that settles it.

use semops_objects::change::{Approval, Judgement, Moment, Proposal};

use crate::{
    authority::{
        Authority, Context,
        change::{
            ChangeError, Registry, contents, execution::ending, operation, recorded, seconds,
        },
    },
    clock::Timestamp,
    domain::{
        actor::Origin,
        change::{ChangeId, ChangeState, StoredChange},
    },
    error::Error,
    store::{ChangeView, Decided, Stands},
};

/// How often a decision is judged again because another was recorded meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// A decision about a change.
#[derive(Clone, Debug)]
pub struct Deciding {
    /// About which.
    pub change: ChangeId,
    /// Which, and whose.
    pub approval: Approval,
}

impl Authority {
    /// Records a person's decision about a change of the caller's institution, and executes the change or ends it as
    /// rejected if that settles it. The same again is answered as it stands.
    pub async fn decide_change(&self, ctx: &Context, ask: Deciding) -> Result<StoredChange, Error> {
        let registry = self.registry(ctx)?;
        let decided = registry.decide(ask.change, &ask.approval, &ctx.origin, || self.clock.now());
        if let Err(error) = decided.await {
            let operation = operation(ask.approval.decision());
            return Err(self.refused_change(ctx, operation, ask.change, error).await);
        }
        self.standing_change(ctx, ask.change).await
    }
}

impl Registry<'_> {
    /// Records a decision. Judged again when another was recorded meanwhile.
    pub(super) async fn decide(
        &self,
        id: ChangeId,
        approval: &Approval,
        origin: &Origin,
        now: impl Fn() -> Timestamp,
    ) -> Result<(), ChangeError> {
        for _ in 0..MOST_ATTEMPTS {
            // 1 recall
            let view = self.store.change(self.institution, id).await?;
            if view.generation != self.generation {
                return Err(ChangeError::Stale);
            }
            let Some(change) = &view.change else {
                return Err(ChangeError::NotFound);
            };
            if is_decided(change, approval) {
                return Ok(());
            }
            if change.state != ChangeState::Pending {
                return Err(ChangeError::Ended(change.state));
            }

            // 2 judge, 3 record
            let now = now();
            let decided = self.judged(&view, change, Some(approval), now).await?;
            match self.store.decide(decided, origin.clone(), now).await? {
                Stands::Done | Stands::Known => return Ok(()),
                Stands::Ended(state) => return Err(ChangeError::Ended(state)),
                Stands::NotFound => return Err(ChangeError::NotFound),
                // Recalled again, it says which.
                Stands::Otherwise | Stands::Stale => {}
            }
        }
        Err(ChangeError::Stale)
    }

    /// What is to be recorded of a change by what was decided about it, and by one decision more.
    pub(super) async fn judged(
        &self,
        view: &ChangeView,
        change: &StoredChange,
        more: Option<&Approval>,
        now: Timestamp,
    ) -> Result<Decided, ChangeError> {
        let unreadable = |why: &dyn std::fmt::Display| ChangeError::Unreadable(why.to_string());
        let proposal = Proposal::parse(&change.bytes).map_err(|e| unreadable(&e))?;
        let earlier = change.decisions.iter();
        let decisions = earlier.map(|stored| Approval::parse(&stored.jws));
        let mut decisions: Vec<_> = decisions
            .collect::<Result<_, _>>()
            .map_err(|e| unreadable(&e))?;
        decisions.extend(more.cloned());
        let moment = Moment {
            taken_at: seconds(change.proposed_at),
            now: seconds(now),
        };
        let judgement = self.standing.judge(&proposal, &decisions, moment)?;
        let attachments =
            contents::attachments(view.enclosed.clone()).map_err(|e| unreadable(&e))?;
        if matches!(judgement, Judgement::Approved(_)) {
            self.check(&proposal, &attachments).await?;
        }
        Ok(Decided {
            institution: self.institution.clone(),
            change: change.id,
            decision: more.map(recorded),
            seen: u64::try_from(change.decisions.len()).unwrap_or(u64::MAX),
            ending: ending(self.standing, &judgement, &attachments)?,
            generation: self.generation,
        })
    }
}

/// Whether the person has decided so before.
fn is_decided(change: &StoredChange, approval: &Approval) -> bool {
    let mut decisions = change.decisions.iter();
    decisions
        .any(|stored| stored.person == *approval.person() && stored.decision == approval.decision())
}
