//! Owns who is let through, and how much is left: the limits of the policy in force, or the defaults where there is none.

use semops_objects::institution::InstitutionId;

use crate::{
    authority::{Authority, Context, Snapshot, refusals::Kind},
    domain::{
        actor::{Actor, Origin, SpiffeId},
        audit::{Event, Resulted},
        device::DeviceId,
        limit::{RateLimits, Scope},
    },
    error::{Error, Reason},
    ids::RequestId,
    limits::{Left, Place, RateLimited, Rule},
};

/// The word in audit events.
const OPERATION: &str = "admission";

impl Authority {
    /// Lets one request of an authenticated caller through, with a place among those under way. From memory alone.
    pub fn admit(
        &self,
        snapshot: &Snapshot,
        caller: &SpiffeId,
        request: RequestId,
    ) -> Result<Place, Error> {
        let decision = self.limits.admit(caller, rate_limits(snapshot, caller));
        self.measured(Some(caller.institution()), "caller", &decision);
        decision.map_err(|refused| {
            let scope = refused.scope.clone();
            self.note(snapshot, caller, request, scope, refused.reason());
            refused.into()
        })
    }

    /// Lets one new order of a proven device through.
    pub(super) fn admit_device(&self, ctx: &Context, device: DeviceId) -> Result<(), Error> {
        let caller = caller(ctx)?;
        let limits = rate_limits(&ctx.snapshot, caller);
        let decision = self.limits.admit_device(caller, device, limits);
        self.measured(Some(caller.institution()), "device", &decision);
        decision.map_err(|refused| {
            let (scope, reason) = (refused.scope.clone(), refused.reason());
            self.note(&ctx.snapshot, caller, ctx.origin.request, scope, reason);
            refused.into()
        })
    }

    /// Lets one request of a stranger through.
    pub fn admit_stranger(&self) -> Result<Place, Error> {
        let decision = self.limits.admit_stranger();
        self.measured(None, "public", &decision);
        Ok(decision?)
    }

    /// What is left to the caller of the limits of its institution and its own.
    pub fn limits_left(&self, ctx: &Context) -> Result<Left, Error> {
        let caller = caller(ctx)?;
        Ok(self.limits.left(caller, rate_limits(&ctx.snapshot, caller)))
    }

    /// Notes for the audit that a request was refused because a queue was full. Other errors are none of it.
    pub fn note_overload(&self, ctx: &Context, error: &Error) {
        let (Error::Busy { reason, .. }, Ok(caller)) = (error, caller(ctx)) else {
            return;
        };
        let scope = Scope::Institution(ctx.institution.clone());
        self.note(&ctx.snapshot, caller, ctx.origin.request, scope, *reason);
    }

    fn note(
        &self,
        snapshot: &Snapshot,
        caller: &SpiffeId,
        request: RequestId,
        scope: Scope,
        reason: Reason,
    ) {
        let institution = caller.institution();
        let kind = Kind {
            institution: institution.clone(),
            scope,
            reason,
        };
        self.refusals.note(kind, self.clock.now(), || Event {
            origin: Origin {
                actor: Actor::Caller(caller.clone()),
                request,
            },
            institution: institution.clone(),
            operation: OPERATION,
            object: None,
            device: None,
            policy: snapshot.policy(institution).map(|policy| policy.sha256()),
            key: None,
            result: Resulted::Refused,
            reason: None,
        });
    }

    /// Counts a decision: let through by the limits up to `scope`, or refused by whose limit it was.
    fn measured<T>(
        &self,
        institution: Option<&InstitutionId>,
        scope: &'static str,
        decision: &Result<T, RateLimited>,
    ) {
        match decision {
            Ok(_) => self.metrics.limits_admitted(institution, scope),
            Err(refused) => self.metrics.limit_refused(institution, word(refused)),
        }
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
