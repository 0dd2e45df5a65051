//! Owns the giving up of a key that was made for a rotation and that no change has taken up: nothing but its own request was
//! ever signed with it, so that one custodian may have it destroyed (NIST SP 800-57 part 1 rev. 5 s7.1).
//!
//! Whatever ends a process between two steps, the same request goes on from there: a destruction that has begun is not undone.

use semops_objects::change::{Operation, Proposal};
use uuid::Uuid;

use crate::{
    authority::{Authority, Context, Refused},
    domain::{
        change::{ChangeId, ChangeState, StoredChange},
        key::KeyId,
        new_key::MadeKey,
    },
    error::{Error, Reason},
    hsm::{self, HsmError},
    store::{ChangeQuery, Destroying, DestructionAsk, PENDING_CHANGES, Why},
};

impl Authority {
    /// Has a key of the caller's institution destroyed that waits for a change. One that was destroyed is left as it is.
    pub async fn discard_key(&self, ctx: &Context, key: KeyId) -> Result<(), Error> {
        // 1 recall
        let new = self.store.new_keys(&ctx.institution).await?;
        let mut new = new
            .into_iter()
            .filter_map(|new| Some((new.request, new.made?)));
        let waiting = new.find(|(_, made)| made.id() == key);
        let pending = self.pending(ctx).await?;

        // 2 decide
        let standing = ctx.snapshot.standing(&ctx.institution)?;
        if let Some(life) = standing.key(key) {
            let why = format!(
                "a change has taken it up, and it is in state {}: two custodians schedule its destruction once nothing needs it",
                life.state(super::change::seconds(self.clock.now()))
            );
            return Err(self.not_discarded(ctx, key, why).await);
        }
        if let Some(change) = pending.iter().find(|change| is_to(change, key)) {
            let id = change.id;
            let why = format!("the change {id} would rotate to it: reject that first");
            return Err(self.not_discarded(ctx, key, why).await);
        }

        // 3 record that it is to be destroyed
        let seen = pending.iter().map(|change| change.id).collect();
        if !self.begin_discard(ctx, key, seen).await? {
            return Ok(());
        }

        // 4 destroy it, and record that
        let _turn = self.store.turn(&ctx.institution).await?;
        if let Some((request, made)) = &waiting {
            self.name(ctx, *request, made).await?;
        }
        let origin = ctx.origin.clone();
        self.destroy_begun(&ctx.institution, key, origin, ctx.deadline)
            .await
    }

    async fn pending(&self, ctx: &Context) -> Result<Vec<StoredChange>, Error> {
        let query = ChangeQuery {
            state: Some(ChangeState::Pending),
            before: None,
            at_most: usize::try_from(PENDING_CHANGES).unwrap_or(usize::MAX),
        };
        let view = self.store.changes(&ctx.institution, query).await?;
        ctx.still(view.generation)?;
        Ok(view.changes)
    }

    /// Answers whether anything is left to be done.
    async fn begin_discard(
        &self,
        ctx: &Context,
        key: KeyId,
        seen: Vec<ChangeId>,
    ) -> Result<bool, Error> {
        let ask = DestructionAsk {
            institution: ctx.institution.clone(),
            key,
            why: Why::Unused(seen),
            generation: ctx.snapshot.generation(),
        };
        let (origin, now) = (ctx.origin.clone(), self.clock.now());
        match self.store.begin_destruction(ask, origin, now).await? {
            Destroying::Begun(_) => Ok(true),
            Destroying::Done => Ok(false),
            Destroying::Stale => Err(Error::Stale),
            Destroying::NotFound => Err(Error::NotFound(Reason::KeyNotFound)),
            Destroying::InUse => {
                let why = "it was not made for a rotation, or a change has taken it up".to_owned();
                Err(self.not_discarded(ctx, key, why).await)
            }
            Destroying::NotLeader => Err(Error::internal("whoever discards a key leads nothing")),
        }
    }

    /// Gives a pair its name in the token that an interrupted making left without one, so that it is found; what is not there
    /// needs none.
    async fn name(&self, ctx: &Context, request: Uuid, made: &MadeKey) -> Result<(), Error> {
        let key = hsm::Key {
            id: made.id(),
            label: made.purpose.name().to_owned(),
            public: made.public.clone(),
        };
        let keys = &self.tokens.keys;
        let named = keys.adopt(&ctx.institution, key, Some(request), ctx.deadline);
        match named.await {
            Ok(_) | Err(HsmError::Rejected(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn not_discarded(&self, ctx: &Context, key: KeyId, why: String) -> Error {
        let reason = Reason::KeyInUse;
        let refused = Refused {
            operation: "key.discard",
            object: Some(key.to_string()),
            device: None,
            reason,
        };
        match self.audit_refusal(ctx, refused).await {
            Ok(()) => Error::Refused { reason, why },
            Err(error) => error,
        }
    }
}

/// Whether a change would take the key up. One that cannot be read might.
fn is_to(change: &StoredChange, key: KeyId) -> bool {
    let proposal = Proposal::parse(&change.bytes);
    proposal.map_or(true, |proposal| match proposal.operation() {
        Operation::RotateKey(rotation) => rotation.to == key,
        Operation::AddKey(addition) => addition.key == key,
        // These are about what stands, and the key does not.
        Operation::Ceremony { .. }
        | Operation::Document(_)
        | Operation::Key { .. }
        | Operation::CallOffRotation { .. }
        | Operation::RecoverCustodians { .. }
        | Operation::Scheme(_) => false,
    })
}
