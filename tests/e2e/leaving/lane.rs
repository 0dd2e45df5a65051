//! A customer of another institution who pays without a pause, by the service's clock. A refusal is the end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    until::until,
};
use semops_proto::client::Client;
use softhsm_setup::scheme::Role;
use tokio::{sync::Mutex, task::JoinHandle};

use super::SOON;

/// Whom he pays through, and how far the service's clock is ahead.
pub(super) struct At {
    pub(super) bank: Client,
    pub(super) ahead: u64,
}

pub(super) struct Lane {
    /// Held for each order: whoever holds it has none under way.
    at: Arc<Mutex<At>>,
    over: Arc<AtomicBool>,
    paid: Arc<AtomicUsize>,
    /// Why it has ended, if it has.
    refused: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Lane {
    pub(super) async fn paying(deployment: &Deployment) -> Result<Self, Failure> {
        let customer = Customer::of_alfa(deployment).await?;
        let bank = deployment.client("alfa", Role::Payments).await?;
        let at = Arc::new(Mutex::new(At { bank, ahead: 0 }));
        let (over, paid) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let refused = Arc::new(Mutex::new(None));
        let pays = pay(
            customer,
            Arc::clone(&at),
            Arc::clone(&over),
            Arc::clone(&paid),
        );
        let told = Arc::clone(&refused);
        let task = tokio::spawn(async move {
            let ended = pays.await;
            *told.lock().await = ended.err().map(|why| why.to_string());
        });
        Ok(Self {
            at,
            over,
            paid,
            refused,
            task,
        })
    }

    /// With no order under way.
    pub(super) async fn pause(&self) -> tokio::sync::OwnedMutexGuard<At> {
        Arc::clone(&self.at).lock_owned().await
    }

    /// Waits for so many more.
    pub(super) async fn more(&self, orders: usize) -> Result<(), Failure> {
        let before = self.paid.load(Ordering::SeqCst);
        until("more orders", SOON, async || {
            if let Some(why) = &*self.refused.lock().await {
                return Err(Failure::new(why));
            }
            let paid = self.paid.load(Ordering::SeqCst);
            Ok((paid >= before + orders).then_some(()))
        })
        .await
    }

    /// How many were paid; none was refused.
    pub(super) async fn end(self) -> Result<usize, Failure> {
        self.over.store(true, Ordering::SeqCst);
        self.task.await?;
        match self.refused.lock().await.take() {
            Some(why) => Err(Failure::new(why)),
            None => Ok(self.paid.load(Ordering::SeqCst)),
        }
    }
}

async fn pay(
    customer: Customer,
    at: Arc<Mutex<At>>,
    over: Arc<AtomicBool>,
    paid: Arc<AtomicUsize>,
) -> Result<(), Failure> {
    while !over.load(Ordering::SeqCst) {
        let at = at.lock().await;
        let mut order = order("0.01", "EUR")?;
        order.iat += at.ahead;
        order.exp += at.ahead;
        at.bank.cosign_order(customer.asks(&order)?).await?;
        paid.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}
