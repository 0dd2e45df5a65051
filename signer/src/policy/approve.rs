//! Owns policy's yes: [`Approved`] is made here alone, by a version of a policy that allowed what it wraps.

use std::sync::Arc;

use semops_objects::{institution::InstitutionId, order::Order};

use crate::{
    domain::{operation::MoneyLimits, reason::Reason},
    policy::{Denial, Policy, ProvenOrder},
};

/// Something that a version of the policy allows, with the limits that only the record can keep.
#[derive(Debug)]
pub struct Approved<T, Limits> {
    subject: T,
    policy: Arc<Policy>,
    limits: Limits,
}

impl<T, Limits> Approved<T, Limits> {
    /// What is allowed.
    pub fn subject(&self) -> &T {
        &self.subject
    }

    /// By which version.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The limits that the record must keep.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The most devices of one subscriber that are neither revoked nor expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicesPerSubscriber(pub u64);

impl Policy {
    /// Whether an order of a device may be co-signed.
    pub fn approve_order(
        self: &Arc<Self>,
        proven: ProvenOrder,
    ) -> Result<Approved<ProvenOrder, MoneyLimits>, Denial> {
        if !self.device_issuers.contains(proven.issuer()) {
            return Err(Denial(Reason::IssuerNotAllowed));
        }
        let limits = self.order_limits(proven.as_ref())?;
        Ok(Approved {
            subject: proven,
            policy: Arc::clone(self),
            limits,
        })
    }

    fn order_limits(&self, order: &Order) -> Result<MoneyLimits, Denial> {
        if !self.channels.contains(&order.channel) {
            return Err(Denial(Reason::ChannelNotAllowed));
        }
        if !self.payees.contains(order.payee.institution()) {
            return Err(Denial(Reason::PayeeNotAllowed));
        }
        let amounts = self
            .amounts
            .get(&order.amount.currency())
            .ok_or(Denial(Reason::CurrencyNotAllowed))?;
        if order.amount.minor() > amounts.per_order {
            return Err(Denial(Reason::AmountOverPolicy));
        }
        Ok(MoneyLimits {
            amount_per_day: amounts.per_day,
            orders_per_day: self.orders_per_day,
        })
    }

    /// Whether the institution may enrol a device. Policy bounds the number of a subscriber's devices; the record keeps
    /// that bound.
    pub fn approve_enrollment<T>(
        self: &Arc<Self>,
        request: T,
    ) -> Approved<T, DevicesPerSubscriber> {
        let limits = DevicesPerSubscriber(self.devices_per_subscriber);
        Approved {
            subject: request,
            policy: Arc::clone(self),
            limits,
        }
    }

    /// Whether the institution may accept devices of `issuer`.
    pub fn allows_issuer(&self, issuer: &InstitutionId) -> bool {
        self.device_issuers.contains(issuer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_objects::{
        money::Amount,
        payment::{Channel, Payee},
    };

    use super::*;
    use crate::{
        policy::prove,
        specimen::{NOW, POLICY, Phone, order},
    };

    fn decide(issuer: &str, change: impl FnOnce(&mut Order)) -> Result<MoneyLimits, Reason> {
        let policy = Arc::new(Policy::parse(POLICY.as_bytes()).unwrap());
        let phone = Phone::new(issuer, 200);
        let mut order = order();
        change(&mut order);
        let proven = prove(
            phone.sign(&order),
            &"alfa".parse().unwrap(),
            Some(&phone.device),
            NOW,
        )
        .unwrap();
        policy
            .approve_order(proven)
            .map(|approved| *approved.limits())
            .map_err(|denial| denial.0)
    }

    #[test]
    fn what_policy_names_is_allowed_with_its_limits() {
        let limits = MoneyLimits {
            amount_per_day: 100_000,
            orders_per_day: 10,
        };
        assert_eq!(decide("mobilis", |_| {}), Ok(limits));
        assert_eq!(
            decide("mobilis", |o| o.amount =
                Amount::parse("500.00", "CNY").unwrap()),
            Ok(limits)
        );
    }

    #[test]
    fn what_it_does_not_name_is_refused() {
        let amount = |value, code| Amount::parse(value, code).unwrap();
        let payee = |institution: &str| Payee::new(institution.parse().unwrap(), "x", "X").unwrap();
        assert_eq!(
            decide("mobilis", |o| o.amount = amount("500.01", "CNY")),
            Err(Reason::AmountOverPolicy)
        );
        assert_eq!(
            decide("mobilis", |o| o.amount = amount("1.00", "EUR")),
            Err(Reason::CurrencyNotAllowed)
        );
        assert_eq!(
            decide("mobilis", |o| o.channel = Channel::VirtualPos),
            Err(Reason::ChannelNotAllowed)
        );
        assert_eq!(
            decide("mobilis", |o| o.payee = payee("alfa")),
            Err(Reason::PayeeNotAllowed)
        );
        assert_eq!(decide("alfa", |_| {}), Err(Reason::IssuerNotAllowed));
    }
}
