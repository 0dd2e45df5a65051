//! Owns the acceptance of a device by a payer's institution, and its end.

use crate::{
    authority::{Authority, Context, DeviceShown, Refused},
    domain::device::{DeviceId, Reference},
    error::{Error, Reason},
    fault::{self, Point},
    store::Accepted,
};

impl Authority {
    /// Binds a device to an account of the caller's institution. Unknown, revoked, expired, or of an issuer outside
    /// policy is one refusal.
    pub async fn accept(
        &self,
        ctx: &Context,
        id: DeviceId,
        account: Reference,
    ) -> Result<DeviceShown, Error> {
        let view = self.store.device(&ctx.institution, id).await?;
        ctx.still(view.generation)?;
        let (policy, now) = (ctx.policy()?, self.clock.now());
        let device = view
            .device
            .filter(|d| policy.allows_issuer(&d.issuer) && !d.expired(now))
            .filter(|d| !ctx.snapshot.is_revoked_ca(&d.issuer, d.issuer_key));
        let Some(device) = device else {
            return self
                .refuse_acceptance(ctx, id, Reason::DeviceNotAcceptable)
                .await;
        };
        fault::point(Point::AcceptDecided);
        let generation = ctx.snapshot.generation();
        let origin = ctx.origin.clone();
        match self
            .store
            .accept(&ctx.institution, id, account, generation, origin, now)
            .await?
        {
            Accepted::Accepted(acceptance) => {
                fault::point(Point::AcceptCommitted);
                self.show(ctx, device, Some(acceptance))
            }
            Accepted::Otherwise => {
                self.audit_acceptance(ctx, id, Reason::DeviceAcceptedOtherwise)
                    .await?;
                Err(Error::Conflict(Reason::DeviceAcceptedOtherwise))
            }
            Accepted::NotAcceptable => {
                self.refuse_acceptance(ctx, id, Reason::DeviceNotAcceptable)
                    .await
            }
            Accepted::Stale => Err(Error::Stale),
        }
    }

    /// Ends the acceptance by the caller's institution. One that does not stand is released already.
    pub async fn release(&self, ctx: &Context, id: DeviceId) -> Result<(), Error> {
        let view = self.store.device(&ctx.institution, id).await?;
        ctx.still(view.generation)?;
        self.store
            .release(&ctx.institution, id, ctx.origin.clone(), self.clock.now())
            .await?;
        Ok(())
    }

    async fn refuse_acceptance(
        &self,
        ctx: &Context,
        id: DeviceId,
        reason: Reason,
    ) -> Result<DeviceShown, Error> {
        self.audit_acceptance(ctx, id, reason).await?;
        Err(Error::Precondition(reason))
    }

    async fn audit_acceptance(
        &self,
        ctx: &Context,
        id: DeviceId,
        reason: Reason,
    ) -> Result<(), Error> {
        let refused = Refused {
            operation: "accept",
            object: None,
            device: Some(id),
            reason,
        };
        self.audit_refusal(ctx, refused).await
    }
}
