//! Owns who is let through, and how much is left: the limits of the policy in force, or the defaults where there is none.

use semops_objects::institution::InstitutionId;

use crate::{
    authority::{Authority, Context, Snapshot},
    domain::{
        actor::{Actor, SpiffeId},
        device::DeviceId,
        limit::RateLimits,
    },
    error::Error,
    limits::{Left, Place, RateLimited, Rule},
};

impl Authority {
    /// Lets one request of an authenticated caller through, with a place among those under way. From memory alone.
    pub fn admit(&self, snapshot: &Snapshot, caller: &SpiffeId) -> Result<Place, Error> {
        let limits = rate_limits(snapshot, caller);
        let decision = self.limits.admit(caller, limits);
        self.measured(Some(caller.institution()), "caller", decision)
    }

    /// Lets one new order of a proven device through.
    pub fn admit_device(&self, ctx: &Context, device: DeviceId) -> Result<(), Error> {
        let caller = caller(ctx)?;
        let limits = rate_limits(&ctx.snapshot, caller);
        let decision = self.limits.admit_device(caller, device, limits);
        self.measured(Some(caller.institution()), "device", decision)
    }

    /// Lets one request of a stranger through.
    pub fn admit_stranger(&self) -> Result<Place, Error> {
        self.measured(None, "public", self.limits.admit_stranger())
    }

    /// What is left to the caller, this request not counted twice.
    pub fn limits_left(&self, ctx: &Context) -> Result<Left, Error> {
        let caller = caller(ctx)?;
        let limits = rate_limits(&ctx.snapshot, caller);
        Ok(self.limits.left(caller, limits))
    }

    /// Counts a decision: let through by the limits up to `scope`, or refused by whose limit it was.
    fn measured<T>(
        &self,
        institution: Option<&InstitutionId>,
        scope: &'static str,
        decision: Result<T, RateLimited>,
    ) -> Result<T, Error> {
        match &decision {
            Ok(_) => self.metrics.limits_admitted(institution, scope),
            Err(refused) => self.metrics.limit_refused(institution, word(refused)),
        }
        Ok(decision?)
    }
}

fn word(refused: &RateLimited) -> &'static str {
    match refused.rule {
        Rule::InFlight(_) => "in_flight",
        Rule::Window(_) => refused.scope.kind(),
    }
}

fn rate_limits<'a>(snapshot: &'a Snapshot, caller: &SpiffeId) -> &'a RateLimits {
    let policy = snapshot.policy(caller.institution());
    policy.map_or(&RateLimits::DEFAULT, |policy| policy.rate_limits())
}

fn caller(ctx: &Context) -> Result<&SpiffeId, Error> {
    match &ctx.origin.actor {
        Actor::Caller(caller) => Ok(caller),
        Actor::Schedule | Actor::Operator(_) => {
            Err(Error::internal("limits are for those who call"))
        }
    }
}
