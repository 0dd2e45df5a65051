//! Owns who is let through, and how much is left: the limits of the policy in force, or the defaults where there is none;
//! what is lent of them, where replicas share the record.

use std::time::{Duration, Instant};

use semops_objects::institution::InstitutionId;
use tokio::time::timeout;

use crate::{
    authority::{
        Authority, Context, Snapshot,
        lending::{Lending, stopped},
        refusals::Kind,
    },
    domain::{
        actor::{Actor, Origin, SpiffeId},
        audit::{Event, Resulted},
        device::DeviceId,
        limit::{RateLimits, Scope},
        quota::{Quota, QuotaAsk},
    },
    error::{Error, Reason},
    ids::RequestId,
    limits::{Drawn, LEASE, Left, Place, RateLimited, Rule},
    store::StoreError,
};

/// The word in audit events.
const OPERATION: &str = "admission";

/// How long a request waits at the door for its institution's quota. Then its replica's own windows let it in, but for no new
/// order.
const DOOR: Duration = Duration::from_millis(250);

/// A request that was let in.
#[derive(Debug)]
pub struct Admission {
    /// Among the institution's requests under way.
    pub place: Place,
    /// By what.
    pub by: AdmittedBy,
}

/// By what a request was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmittedBy {
    /// The quota of its institution and its caller.
    Quota,
    /// This replica's own windows, for the quota that replicas share could not be asked.
    Replica,
}

/// Why nothing was drawn.
enum Undrawn {
    Refused(RateLimited),
    /// The record could not be asked, or not in time.
    Unasked(StoreError),
}

impl Authority {
    /// Lets one request of an authenticated caller through, with a place among those under way: from memory, or from what
    /// the record lends where replicas share it. Where it cannot be asked the request goes on by this replica's own windows,
    /// which is enough for what is read; a new order pays before anything else is done for it.
    pub async fn admit(
        &self,
        snapshot: &Snapshot,
        caller: &SpiffeId,
        request: RequestId,
    ) -> Result<Admission, Error> {
        let limits = rate_limits(snapshot, caller);
        let decision = match &self.lending {
            None => self.limits.admit(caller, limits).map(|place| Admission {
                place,
                by: AdmittedBy::Quota,
            }),
            Some(lending) => self.admit_by_quota(lending, caller, limits).await,
        };
        self.measured(Some(caller.institution()), "caller", &decision);
        decision.map_err(|refused| self.refused(snapshot, caller, request, refused))
    }

    async fn admit_by_quota(
        &self,
        lending: &Lending,
        caller: &SpiffeId,
        limits: &RateLimits,
    ) -> Result<Admission, RateLimited> {
        let place = self.limits.place(caller, limits)?;
        match self.draw(lending, caller, limits, DOOR).await {
            Ok(()) => Ok(Admission {
                place,
                by: AdmittedBy::Quota,
            }),
            Err(Undrawn::Refused(refused)) => Err(refused),
            Err(Undrawn::Unasked(_)) => {
                drop(place);
                let place = self.limits.admit(caller, limits)?;
                let by = AdmittedBy::Replica;
                Ok(Admission { place, by })
            }
        }
    }

    /// One request of what was lent to this replica, which is asked for where nothing is held. Nobody waits longer than
    /// `patience`, nor for an ask that has taken so long already.
    async fn draw(
        &self,
        lending: &Lending,
        caller: &SpiffeId,
        limits: &RateLimits,
        patience: Duration,
    ) -> Result<(), Undrawn> {
        let (came, mut heard) = (Instant::now(), lending.heard());
        let mut new = true;
        loop {
            heard.mark_unchanged();
            let taken = match self.limits.draw(caller, limits, new) {
                Drawn::Through(ahead) => {
                    lending.ask(ahead);
                    return Ok(());
                }
                Drawn::Refused(refused) => return Err(Undrawn::Refused(refused)),
                Drawn::Lacking(asks, taken) => {
                    lending.ask(asks);
                    taken.max(came.elapsed())
                }
            };
            let left = patience.saturating_sub(taken);
            let late = |_| Undrawn::Unasked(late());
            let told = timeout(left, heard.changed()).await.map_err(late)?;
            let last = heard.borrow().clone();
            told.map_err(|_| stopped())
                .and(last)
                .map_err(Undrawn::Unasked)?;
            new = false;
        }
    }

    /// Lets one new order of a proven device through.
    pub(super) async fn admit_device(&self, ctx: &Context, device: DeviceId) -> Result<(), Error> {
        let caller = caller(ctx)?;
        let limits = rate_limits(&ctx.snapshot, caller);
        let decision = match &self.lending {
            None => self.limits.admit_device(caller, device, limits),
            Some(lending) => {
                let patience = left(ctx).min(LEASE);
                let drawn = self.device_by_quota(lending, ctx, device, limits);
                let drawn = timeout(patience, drawn).await;
                match drawn.unwrap_or_else(|_| Err(Undrawn::Unasked(late()))) {
                    Ok(()) => Ok(()),
                    Err(Undrawn::Refused(refused)) => Err(refused),
                    Err(Undrawn::Unasked(_)) if left(ctx).is_zero() => {
                        return Err(Error::DeadlineExceeded);
                    }
                    // Somebody holds the rows: that is no queue.
                    Err(Undrawn::Unasked(StoreError::Busy)) => return Err(late().into()),
                    Err(Undrawn::Unasked(error)) => return Err(error.into()),
                }
            }
        };
        self.measured(Some(caller.institution()), "device", &decision);
        let request = ctx.origin.request;
        decision.map_err(|refused| self.refused(&ctx.snapshot, caller, request, refused))
    }

    /// One of the device's, and one of its institution's and its caller's where the door had none: nothing is paid without.
    async fn device_by_quota(
        &self,
        lending: &Lending,
        ctx: &Context,
        device: DeviceId,
        limits: &RateLimits,
    ) -> Result<(), Undrawn> {
        let caller = caller(ctx).map_err(|_| Undrawn::Unasked(stopped()))?;
        if ctx.admitted_by == AdmittedBy::Replica {
            self.draw(lending, caller, limits, LEASE).await?;
        }
        let quota = Quota {
            institution: caller.institution().clone(),
            scope: Scope::Device(device),
            windows: limits.device,
        };
        let ask = QuotaAsk { quota, requests: 1 };
        let lent = lending.one(ask).await.map_err(Undrawn::Unasked)?;
        let refused = |wait| self.limits.refused_device(caller, device, limits, wait);
        match lent.refused {
            Some(wait) if lent.requests == 0 => Err(Undrawn::Refused(refused(wait))),
            _ => Ok(()),
        }
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
        let limits = rate_limits(&ctx.snapshot, caller);
        Ok(match (&self.lending, ctx.admitted_by) {
            (Some(_), AdmittedBy::Quota) => self.limits.left_of_shared(caller, limits),
            (Some(_), AdmittedBy::Replica) | (None, _) => self.limits.left(caller, limits),
        })
    }

    /// Notes for the audit that a request was refused because a queue was full. Other errors are none of it.
    pub fn note_overload(&self, ctx: &Context, error: &Error) {
        let (Error::Busy { reason, .. }, Ok(caller)) = (error, caller(ctx)) else {
            return;
        };
        let scope = Scope::Institution(ctx.institution.clone());
        self.note(&ctx.snapshot, caller, ctx.origin.request, scope, *reason);
    }

    fn refused(
        &self,
        snapshot: &Snapshot,
        caller: &SpiffeId,
        request: RequestId,
        refused: RateLimited,
    ) -> Error {
        let (scope, reason) = (refused.scope.clone(), refused.reason());
        self.note(snapshot, caller, request, scope, reason);
        refused.into()
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

/// What is left of the time of a request.
fn left(ctx: &Context) -> Duration {
    ctx.deadline.saturating_duration_since(Instant::now())
}

fn late() -> StoreError {
    StoreError::Unavailable(
        "it lends no quota in time: see its load, its locks and the network".to_owned(),
    )
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
