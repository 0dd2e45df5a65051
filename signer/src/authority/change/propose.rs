//! Owns the bringing of a proposal before the custodians, with its proposer's own approval.

use semops_objects::change::{ChangeFile, Moment};

use crate::{
    authority::{
        Authority, Context,
        change::{ChangeError, Registry, contents, execution::ending, recorded, seconds},
    },
    clock::Timestamp,
    domain::{actor::Origin, change::StoredChange},
    error::Error,
    fault::{self, Point},
    store::{NewChange, Proposed},
};

impl Authority {
    /// Records a proposal for the caller's institution with its approvals, and executes it if they are enough. The same
    /// again is answered as it stands.
    pub async fn propose_change(
        &self,
        ctx: &Context,
        ask: ChangeFile,
    ) -> Result<StoredChange, Error> {
        let id = ask.proposal.id();

        // 1 recall
        let view = self.store.change(&ctx.institution, id).await?;
        ctx.still(view.generation)?;
        if let Some(change) = view.change {
            return Ok(change);
        }

        // 2-4
        let registry = self.registry(ctx)?;
        let proposed = registry.propose(&ask, ctx.origin.clone(), self.clock.now());
        if let Err(error) = proposed.await {
            return Err(self.refused_change(ctx, "change.propose", id, error).await);
        }

        // 5 reply
        self.standing_change(ctx, id).await
    }
}

impl Registry<'_> {
    /// Records a proposal with the decisions about it, and executes it if they are enough.
    pub(super) async fn propose(
        &self,
        ask: &ChangeFile,
        origin: Origin,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let proposal = &ask.proposal;

        // 2 judge
        let moment = Moment::of_taking(seconds(now));
        let judgement = self.standing.judge(proposal, &ask.approvals, moment)?;

        // 3 read what accompanies it
        self.check(proposal, &ask.attachments).await?;
        let ending = ending(self.standing, &judgement, &ask.attachments)?;
        fault::point(Point::LoadChecked);

        // 4 record
        let change = NewChange {
            institution: self.institution.clone(),
            id: proposal.id(),
            sequence: proposal.sequence(),
            bytes: proposal.bytes().to_vec(),
            expires_at: expiry(proposal.exp()),
            enclosed: contents::stored(&ask.attachments)?,
            decisions: ask.approvals.iter().map(recorded).collect(),
            ending,
            generation: self.generation,
        };
        let proposed = self.store.propose(change, origin, now).await?;
        fault::point(Point::LoadCommitted);
        match proposed {
            Proposed::Recorded | Proposed::Known => Ok(()),
            Proposed::TooMany => Err(ChangeError::TooMany),
            Proposed::Stale => Err(ChangeError::Stale),
        }
    }
}

/// The moment of `exp`.
pub(super) fn expiry(exp: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(exp).unwrap_or(i64::MAX))
}
