//! Owns the co-signing of an order, and the showing of what became of one.

use semops_objects::order::OrderJws;
use semops_pki::algorithm::sha256;
use uuid::{Builder, Uuid};

use crate::{
    authority::{Authority, Context, Refused, failover::Failover},
    clock::Timestamp,
    domain::{
        device::DeviceId,
        key::Purpose,
        operation::{Kind, MoneyLimits},
        outcome::{Ending, Outcome, State},
    },
    error::{Error, Reason},
    fault::{self, Point},
    metrics::{Flow, Stage},
    policy::{Approved, Denial, ProvenOrder, prove},
    signing::{AuthorizationIds, BankReferences, Draft, OrderDraft, Patience, SigningError},
    store::{Earlier, OrderRecall, Refusal},
};

/// An order with the bank's own references.
#[derive(Clone, Debug)]
pub struct Cosign {
    /// The order as it came.
    pub order: OrderJws,
    /// The calling bank's references.
    pub references: BankReferences,
}

/// A co-signed order: the stored bytes, the same at every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Who signed the order.
    pub device: DeviceId,
    /// The order's `jti`.
    pub jti: Uuid,
    /// The first order that was recorded, compact.
    pub order_jws: String,
    /// The authorization, compact.
    pub authorization_jws: String,
}

impl Cosign {
    /// The digest of everything the caller set. Never of signature bytes: ES256 is randomised and malleable.
    fn content(&self) -> [u8; 32] {
        let end_to_end_id = self
            .references
            .end_to_end_id
            .as_ref()
            .map_or("", |id| id.as_str());
        let uetr = self
            .references
            .uetr
            .map_or_else(String::new, |uetr| uetr.uuid().to_string());
        // NUL stands in none of the three, so that no two triples have one encoding.
        sha256(
            [self.order.signing_input(), end_to_end_id, &uetr]
                .join("\0")
                .as_bytes(),
        )
    }
}

impl Authority {
    /// Co-signs an order, or recalls what became of it.
    pub async fn cosign(&self, ctx: &Context, ask: Cosign) -> Result<Cosigned, Error> {
        let jti = ask.order.order().jti;
        let content = ask.content();

        let flow = self.metrics.flow(Kind::Authorization, &ctx.institution);

        // 2 recall
        let recalled = self
            .store
            .recall_order(&ctx.institution, ask.order.kid(), jti);
        let recall = flow.stage(Stage::Recall, recalled).await?;
        fault::point(Point::CosignRecalled);
        ctx.still(recall.generation)?;
        let pending = match &recall.earlier {
            Some(earlier) if earlier.content != content => {
                self.audit_order(ctx, &recall, jti, Reason::OrderConflict)
                    .await?;
                return Err(Error::Conflict(Reason::OrderConflict));
            }
            Some(earlier) if earlier.outcome.state != State::Pending => {
                return answer(jti, earlier.outcome.clone());
            }
            Some(earlier) => Some(earlier),
            None => None,
        };

        // Nor does a restored record know what else it has lost: proof and policy have to wait as well.
        let left = self.clock.now().until(recall.held_until);
        if !left.is_zero() {
            return Err(Error::held(left));
        }

        // 3 prove: on a resumed intent the recorded order, whatever signature came now
        let order = match pending {
            Some(earlier) => recorded_order(earlier)?,
            None => ask.order,
        };
        let now = self.clock.now();
        let policy = ctx.policy()?;
        let proven = match proven(ctx, &flow, order, &recall, now) {
            Ok(proven) => proven,
            Err(denial) => return self.deny(ctx, &recall, jti, denial).await,
        };

        fault::point(Point::CosignProven);

        // 4 admit: what was begun was admitted then
        if pending.is_none() {
            self.admit_device(ctx, proven.device()).await?;
        }

        // 5 decide
        let approved = match flow.step(Stage::Decide, || policy.approve_order(proven)) {
            Ok(approved) => approved,
            Err(denial) => return self.deny(ctx, &recall, jti, denial).await,
        };

        fault::point(Point::CosignDecided);

        // 6 freeze, 7 sign
        let signed = self.sign_order(ctx, &approved, &ask.references, content);
        match signed.await? {
            Ok(outcome) => answer(jti, outcome),
            Err(refused) => {
                if let Some(reason) = audited(&refused) {
                    self.audit_order(ctx, &recall, jti, reason).await?;
                }
                Err(refused.into())
            }
        }
    }

    /// Steps 6 and 7, again with a key in another token if the first one fails, and with another key if that one is worn out.
    async fn sign_order(
        &self,
        ctx: &Context,
        approved: &Approved<ProvenOrder, MoneyLimits>,
        references: &BankReferences,
        content: [u8; 32],
    ) -> Result<Result<Outcome, SigningError>, Error> {
        let keyring = ctx.snapshot.keyring(&ctx.institution)?;
        let mut tokens = Failover::new(self, keyring, Purpose::Authorization);
        let (mut instead_of, mut after) = (None, None);
        loop {
            // 6 freeze, if the token would take it: what waits unsigned holds the device's money
            let now = self.clock.now();
            let key = tokens.key(now)?;
            let keys = &self.tokens.keys;
            keys.has_room(&ctx.institution, key.record().id)?;
            let draft = OrderDraft {
                origin: ctx.origin.clone(),
                generation: ctx.snapshot.generation(),
                content,
                ids: authorization_ids()?,
                references: references.clone(),
                instead_of,
            };
            let draft = Draft::authorization(approved, &key, draft, now);
            let draft = draft.map_err(Error::internal)?;
            fault::point(Point::CosignFrozen);

            // 7 sign
            let patience = Patience {
                after,
                ..tokens.patience(&key, ctx.deadline, now)
            };
            match self.signer.sign_once(draft, keyring, patience).await {
                Err(SigningError::TokenFailed { intent, why, .. })
                    if tokens.goes_on(&key, ctx.deadline, now) =>
                {
                    (instead_of, after) = (Some(intent), Some(why));
                }
                Err(SigningError::Refused(Refusal::KeyWornOut))
                    if tokens.passes_over(&key, ctx.deadline, now) => {}
                Err(why) if self.is_succeeded(keyring, &key, &why) => return Err(Error::Stale),
                signed => return Ok(signed),
            }
        }
    }

    /// What became of an order that the caller's institution was asked to co-sign.
    pub async fn authorization(
        &self,
        ctx: &Context,
        device: DeviceId,
        jti: Uuid,
    ) -> Result<Outcome, Error> {
        let (generation, outcome) = self.store.order(&ctx.institution, device, jti).await?;
        ctx.still(generation)?;
        let outcome = outcome.ok_or(Error::NotFound(Reason::OrderNotFound))?;
        if outcome.order_jws.is_none() {
            return Err(Error::Precondition(Reason::OutcomePruned));
        }
        Ok(outcome)
    }

    /// A refusal by proof or policy: audited; a resumed intent ends with it.
    async fn deny(
        &self,
        ctx: &Context,
        recall: &OrderRecall,
        jti: Uuid,
        denial: Denial,
    ) -> Result<Cosigned, Error> {
        let Denial(reason) = denial;
        if let Some(intent) = recall
            .earlier
            .as_ref()
            .and_then(|earlier| earlier.intent.as_ref())
        {
            let ending = Ending::Denied(reason.name());
            return answer(
                jti,
                self.signer.end(intent, ctx.origin.clone(), ending).await?,
            );
        }
        self.audit_order(ctx, recall, jti, reason).await?;
        Err(refusal(reason))
    }

    async fn audit_order(
        &self,
        ctx: &Context,
        recall: &OrderRecall,
        jti: Uuid,
        reason: Reason,
    ) -> Result<(), Error> {
        let known = recall.acceptance.is_some() || recall.earlier.is_some();
        let device = recall.device.as_ref().filter(|_| known);
        let refused = Refused {
            operation: Kind::Authorization.name(),
            object: Some(jti.to_string()),
            device: device.map(|device| device.id),
            reason,
        };
        self.audit_refusal(ctx, refused).await
    }
}

/// From the process's generator: unlike a serial number, a pseudonym need not come from the token (RFC 5280 s4.1.2.2), and
/// the way there and back costs as much as verifying the order.
fn authorization_ids() -> Result<AuthorizationIds, Error> {
    let (mut jti, mut payer) = ([0; 16], [0; 16]);
    aws_lc_rs::rand::fill(&mut jti).map_err(Error::internal)?;
    aws_lc_rs::rand::fill(&mut payer).map_err(Error::internal)?;
    Ok(AuthorizationIds {
        jti: Builder::from_random_bytes(jti).into_uuid(),
        payer,
    })
}

fn recorded_order(earlier: &Earlier) -> Result<OrderJws, Error> {
    let stored = earlier.outcome.order_jws.as_deref().unwrap_or_default();
    OrderJws::parse(stored)
        .map_err(|e| Error::internal(format!("a recorded order cannot be read: {e}")))
}

fn proven(
    ctx: &Context,
    flow: &Flow,
    order: OrderJws,
    recall: &OrderRecall,
    now: Timestamp,
) -> Result<ProvenOrder, Denial> {
    // Unknown and not accepted are one refusal: an institution learns nothing about others' devices.
    let accepted = recall
        .device
        .as_ref()
        .filter(|_| recall.acceptance.is_some());
    let proven = flow.step(Stage::Prove, || {
        prove(order, &ctx.institution, accepted, now)
    })?;
    // Nobody who follows the device's chain to the root would believe it any more.
    let by_revoked_ca = accepted.is_some_and(|device| {
        ctx.snapshot
            .is_revoked_ca(&device.issuer, device.issuer_key)
    });
    if by_revoked_ca {
        return Err(Denial(Reason::DeviceRevoked));
    }
    Ok(proven)
}

/// How a refusal by proof or policy reaches the caller.
fn refusal(reason: Reason) -> Error {
    match reason {
        Reason::OrderSignature => Error::invalid(
            reason,
            "order_jws",
            "the signature is not that of the device in kid",
        ),
        Reason::OrderAudience => Error::Forbidden(reason),
        _ => Error::Precondition(reason),
    }
}

/// The reason under which a refusal of the record is audited. A conflict was audited where it was found.
fn audited(error: &SigningError) -> Option<Reason> {
    match error {
        SigningError::OverLimit(limit) => Some((*limit).into()),
        SigningError::Refused(Refusal::DeviceRevoked) => Some(Reason::DeviceRevoked),
        SigningError::Refused(Refusal::NotAccepted) => Some(Reason::DeviceNotAccepted),
        SigningError::Refused(Refusal::KeyNotActive) => Some(Reason::KeyNotActive),
        SigningError::Refused(Refusal::KeyWornOut) => Some(Reason::KeyWornOut),
        SigningError::Refused(
            Refusal::Stale
            | Refusal::PublicKeyTaken
            | Refusal::CrlNumberTaken
            | Refusal::NotLeader
            | Refusal::Held(_),
        )
        | SigningError::Conflict
        | SigningError::Store(_)
        | SigningError::Hsm(_)
        | SigningError::TokenFailed { .. }
        | SigningError::FaultySignature(_) => None,
    }
}

fn answer(jti: Uuid, outcome: Outcome) -> Result<Cosigned, Error> {
    match (
        outcome.state,
        outcome.device,
        outcome.order_jws,
        outcome.artifact,
    ) {
        (State::Authorized, Some(device), Some(order_jws), Some(artifact)) => {
            let authorization_jws = String::from_utf8(artifact).map_err(Error::internal)?;
            Ok(Cosigned {
                device,
                jti,
                order_jws,
                authorization_jws,
            })
        }
        // Its row went over to another key before it could end.
        (State::Pending, ..) => Err(Error::Stale),
        // Also of one that was authorized, once that is not kept any longer.
        (State::Authorized | State::Denied | State::Expired | State::Failed, ..) => {
            let reason = outcome.reason.as_deref().and_then(Reason::named);
            Err(refusal(reason.ok_or_else(|| {
                Error::internal("an ended order has neither a signed object nor a known reason")
            })?))
        }
    }
}
