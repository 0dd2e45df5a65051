//! What clients do while the service dies: whole lives of devices, from the enrolment to the revocation, every call
//! repeated until it is answered, and every answer kept.

use std::{cell::RefCell, rc::Rc};

use e2e::{
    customer::{self, Customer},
    failure::Failure,
    phone::{Phone, pseudonym},
    refusal::{self, persist},
    story::Callers,
};
use semops_objects::Order;
use semops_proto::v1;
use tokio::sync::watch;
use tonic::Code;

/// Seconds from iat to exp, the most there can be: no start on a busy machine takes that long.
const LIFETIME: u64 = 600;

/// All that were lived to the end, in that order.
pub(super) type Ledger = Rc<RefCell<Vec<Rc<Life>>>>;

/// A device's life, with every answer.
pub(super) struct Life {
    customer: Customer,
    enrolment: v1::EnrollDeviceRequest,
    enrolled: v1::EnrollDeviceResponse,
    accepted: v1::Device,
    orders: Vec<Ordered>,
    revoked: Option<v1::Device>,
}

struct Ordered {
    order: Order,
    ask: v1::CosignOrderRequest,
    answer: v1::CosignOrderResponse,
}

/// What clients are to do when they have lived a life to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Live another.
    Live,
    /// Wait.
    Rest,
    /// End.
    End,
}

/// Lives as it is told; every second device is revoked in the end.
pub(super) async fn client(
    callers: Callers,
    ledger: Ledger,
    mut told: watch::Receiver<Next>,
) -> Result<(), Failure> {
    let mut revoked = false;
    while *told.wait_for(|next| *next != Next::Rest).await? == Next::Live {
        let life = Life::live(&callers, revoked).await?;
        ledger.borrow_mut().push(Rc::new(life));
        revoked = !revoked;
    }
    Ok(())
}

impl Life {
    async fn live(callers: &Callers, revoked: bool) -> Result<Self, Failure> {
        let (mobilis, alfa) = (&callers.mobilis_enrolment, &callers.alfa_enrolment);
        let mut phone = Phone::new()?;
        let subscriber = pseudonym();
        let enrolment = customer::enrolment(&phone, &subscriber)?;
        let enrolled = persist(async || mobilis.enroll_device(enrolment.clone()).await).await??;
        phone.take_certificate(&enrolled)?;
        let customer = Customer {
            phone,
            subscriber,
            account: pseudonym(),
        };
        let accepted = persist(async || customer.accepted_by(alfa).await).await??;
        let (one, two, three) = tokio::try_join!(
            cosigned(callers, &customer),
            cosigned(callers, &customer),
            cosigned(callers, &customer),
        )?;
        let reason = v1::RevocationReason::KeyCompromise;
        let revoked = if revoked {
            Some(persist(async || customer.revoked_by(mobilis, reason).await).await??)
        } else {
            None
        };
        Ok(Self {
            customer,
            enrolment,
            enrolled,
            accepted,
            orders: vec![one, two, three],
            revoked,
        })
    }

    /// How many of its orders were co-signed.
    pub(super) fn orders(&self) -> usize {
        self.orders.len()
    }

    /// Asks for everything again: each answer is the one that was given, byte for byte.
    pub(super) async fn again(&self, callers: &Callers) -> Result<(), Failure> {
        for Ordered { order, ask, answer } in &self.orders {
            let bank = &callers.alfa_payments;
            let again = persist(async || bank.cosign_order(ask.clone()).await).await??;
            assert_eq!(again, *answer);
            let found = persist(async || self.customer.standing(bank, order).await).await??;
            assert_eq!(found.order_jws, answer.order_jws);
            assert_eq!(
                found.authorization_jws.as_ref(),
                Some(&answer.authorization_jws)
            );
        }
        let (mobilis, alfa) = (&callers.mobilis_enrolment, &callers.alfa_enrolment);
        let enrolled =
            persist(async || mobilis.enroll_device(self.enrolment.clone()).await).await?;
        let accepted = persist(async || self.customer.accepted_by(alfa).await).await?;
        let Some(revoked) = &self.revoked else {
            assert_eq!(enrolled?, self.enrolled);
            assert_eq!(accepted?, self.accepted);
            return Ok(());
        };
        refusal::demand(enrolled, Code::FailedPrecondition, "DEVICE_REVOKED")?;
        refusal::demand(accepted, Code::FailedPrecondition, "DEVICE_NOT_ACCEPTABLE")?;
        // The first time and reason stay.
        let reason = v1::RevocationReason::CessationOfOperation;
        let again = persist(async || self.customer.revoked_by(mobilis, reason).await).await??;
        assert_eq!(again, *revoked);
        Ok(())
    }
}

async fn cosigned(callers: &Callers, customer: &Customer) -> Result<Ordered, Failure> {
    let order = customer::order("0.01", "CNY")?;
    let order = Order {
        exp: order.iat.saturating_add(LIFETIME),
        ..order
    };
    let ask = customer.asks(&order)?;
    let bank = &callers.alfa_payments;
    let answer = persist(async || bank.cosign_order(ask.clone()).await).await??;
    assert_eq!(answer.order_jws, ask.order_jws);
    Ok(Ordered { order, ask, answer })
}
