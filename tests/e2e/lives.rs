//! What clients do while the service dies or is replaced: whole lives of devices, from the enrolment to the revocation,
//! every call repeated until it is answered, and every answer kept.

use std::{cell::RefCell, rc::Rc, time::Duration};

use e2e::{
    customer::{self, Customer},
    deployment::{Deployment, replica::Replica},
    failure::Failure,
    phone::{Phone, pseudonym},
    recheck::{Checked, recheck},
    refusal::{self, persist},
    story::Callers,
    until::until,
};
use rusqlite::Connection;
use semops_objects::Order;
use semops_proto::v1;
use softhsm_setup::scheme::Role;
use tokio::{sync::watch, task::JoinSet};
use tonic::Code;

const LONG_ENOUGH: Duration = Duration::from_secs(60);
const COUNT: &str = "SELECT count(*) FROM operation WHERE kind = 'authorization' AND state = ?1";

/// Seconds from iat to exp, the most there can be: no start on a busy machine takes that long.
const LIFETIME: u64 = 600;

/// All that were lived to the end, in that order.
type Ledger = Rc<RefCell<Vec<Rc<Life>>>>;

/// A device's life, with every answer.
pub(crate) struct Life {
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
enum Next {
    /// Live another.
    Live,
    /// Wait.
    Rest,
    /// End.
    End,
}

/// Lives as it is told; every second device is revoked in the end.
async fn client(
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

/// Clients at work. Each is bound to its thread.
pub(crate) struct Load {
    clients: JoinSet<Result<(), Failure>>,
    tell: watch::Sender<Next>,
    ledger: Ledger,
}

impl Load {
    /// Of nobody yet.
    pub(crate) fn new() -> Self {
        Self {
            clients: JoinSet::new(),
            tell: watch::Sender::new(Next::Rest),
            ledger: Ledger::default(),
        }
    }

    /// One client more.
    pub(crate) fn add(&mut self, callers: Callers) {
        let (ledger, told) = (Rc::clone(&self.ledger), self.tell.subscribe());
        self.clients.spawn_local(client(callers, ledger, told));
    }

    /// Sets the clients to work, and waits until so many lives more were lived. They go on.
    pub(crate) async fn lives(&mut self, more: usize) -> Result<(), Failure> {
        self.tell.send_replace(Next::Live);
        let enough = self.ledger.borrow().len() + more;
        until("more lives", LONG_ENOUGH, async || {
            if let Some(ended) = self.clients.try_join_next() {
                ended??;
            }
            Ok((self.ledger.borrow().len() >= enough).then_some(()))
        })
        .await
    }

    /// Has each client go on until all that it asks for in its life is answered, and then wait. Gives the number of lives
    /// that were lived by now.
    pub(crate) fn rest(&self) -> usize {
        self.tell.send_replace(Next::Rest);
        self.ledger.borrow().len()
    }

    /// The lives from one place in the ledger to another.
    pub(crate) fn lived(&self, from: usize, to: usize) -> Vec<Rc<Life>> {
        let ledger = self.ledger.borrow();
        ledger.iter().take(to).skip(from).cloned().collect()
    }

    /// Ends the load, asks `callers` for everything again, and checks the whole record, in which there are so many orders
    /// and devices beside those of the load.
    pub(crate) async fn end(
        mut self,
        callers: &Callers,
        deployment: &mut Deployment,
        (orders, devices): (usize, usize),
    ) -> Result<Checked, Failure> {
        self.tell.send_replace(Next::End);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        let lives = self.lived(0, usize::MAX);
        for life in &lives {
            life.again(callers).await?;
        }
        let orders = orders + lives.iter().map(|life| life.orders()).sum::<usize>();
        let record = Connection::open(deployment.record().await?)?;
        // Every client persisted: no intent was left, and nothing was signed that nobody asked for.
        for (state, expected) in [
            ("AUTHORIZED", orders),
            ("PENDING", 0),
            ("EXPIRED", 0),
            ("DENIED", 0),
            ("FAILED", 0),
        ] {
            let found: u32 = record.query_row(COUNT, [state], |row| row.get(0))?;
            assert_eq!(usize::try_from(found)?, expected, "{state}");
        }
        let checked = recheck(deployment).await?;
        assert_eq!(checked.authorizations, orders);
        assert_eq!(checked.certificates, devices + lives.len());
        assert!(checked.crls > 1, "{checked:?}");
        Ok(checked)
    }
}

/// The callers of the deployment's own server, or of a replica.
pub(crate) async fn callers(
    deployment: &Deployment,
    replica: Option<&Replica>,
) -> Result<Callers, Failure> {
    let Some(replica) = replica else {
        return Callers::connect(deployment).await;
    };
    let client = |institution, role| replica.client(deployment, institution, role);
    Ok(Callers {
        mobilis_enrolment: client("mobilis", Role::Enrolment).await?,
        alfa_enrolment: client("alfa", Role::Enrolment).await?,
        alfa_payments: client("alfa", Role::Payments).await?,
        beta_enrolment: client("beta", Role::Enrolment).await?,
        beta_payments: client("beta", Role::Payments).await?,
    })
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
    pub(crate) fn orders(&self) -> usize {
        self.orders.len()
    }

    /// Asks for everything again: each answer is the one that was given, byte for byte.
    pub(crate) async fn again(&self, callers: &Callers) -> Result<(), Failure> {
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
