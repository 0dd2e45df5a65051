//! What the orders of the load say, and what their authorizations must say in turn.

use std::time::Duration;

use semops_objects::{
    Amount, AuthorizationJws, Channel, InstitutionId, Kind, Order, Payee, payment::DEFAULT_LIFETIME,
};
use uuid::{NoContext, Timestamp, Uuid};

/// What each order says.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The payer's institution, which co-signs.
    pub payer: InstitutionId,
    /// How much.
    pub amount: Amount,
    /// Where it is paid.
    pub channel: Channel,
    /// To whom.
    pub payee: Payee,
}

/// An order as it is sent.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The compact JWS.
    pub jws: String,
    /// SHA-256 of its ASCII, to which the authorization is bound.
    pub sha256: [u8; 32],
}

impl Terms {
    /// A new order, made `now` (since 1970).
    #[must_use]
    pub fn order(&self, now: Duration) -> Order {
        let iat = now.as_secs();
        Order {
            // A UUIDv7 (RFC 9562 s5.7): milliseconds, then random bits.
            jti: Uuid::new_v7(Timestamp::from_unix(NoContext, iat, now.subsec_nanos())),
            iat,
            exp: iat.saturating_add(DEFAULT_LIFETIME),
            aud: self.payer.clone(),
            kind: Kind::Payment,
            channel: self.channel,
            amount: self.amount,
            payee: self.payee.clone(),
            offer_sha256: None,
        }
    }

    /// Whether an authorization guarantees what `order` asks, and nothing else.
    ///
    /// # Errors
    /// The first member that does not fit.
    pub fn fits(
        &self,
        order: &Placed,
        authorization: &AuthorizationJws,
    ) -> Result<(), &'static str> {
        let said = authorization.authorization();
        let fits = [
            (said.order_sha256 == order.sha256, "order_sha256"),
            (said.iss == self.payer, "iss"),
            (said.aud == *self.payee.institution(), "aud"),
            (said.kind == Kind::Payment, "kind"),
            (said.channel == self.channel, "channel"),
            (said.amount == self.amount, "amount"),
            (said.payee == self.payee, "payee"),
            (said.offer_sha256.is_none(), "offer_sha256"),
        ];
        match fits.iter().find(|(fits, _)| !fits) {
            None => Ok(()),
            Some((_, member)) => Err(member),
        }
    }
}
