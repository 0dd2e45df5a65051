//! Callers who pay or enrol without a pause, at both services by turns. To each of them a refusal is the end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    until::until,
};
use semops_proto::client::Client;
use tokio::task::JoinHandle;

use super::SOON;

/// Who pay at a time: more than the machine has cores.
const PAYING: usize = 8;
/// Who enrol besides.
const ENROLLING: usize = 4;

/// What one caller does again and again.
pub(crate) trait Lane: Send + 'static {
    /// What comes of it.
    type Answer: Send;

    /// Does it once.
    fn once(&mut self) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// A customer of alfa who pays.
pub(crate) struct Payer {
    bank: Client,
    customer: Customer,
}

/// A mobile network operator that enrols phones, each of which pays once at its bank.
pub(crate) struct Operator {
    issuer: Client,
    accepter: Client,
    bank: Client,
}

/// Something that was done.
pub(crate) struct Done<T> {
    pub(crate) answer: T,
    /// Between which seconds.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    phase: &'static str,
    took: Duration,
}

/// All that one lane did.
type Outcome<L> = Result<Vec<Done<<L as Lane>::Answer>>, Failure>;

struct Shared {
    over: AtomicBool,
    answered: AtomicUsize,
    phase: Mutex<&'static str>,
}

/// They run until they are told to end.
pub(crate) struct Lanes<L: Lane> {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Outcome<L>>>,
}

impl Lane for Payer {
    /// The authorization.
    type Answer = String;

    async fn once(&mut self) -> Result<String, Failure> {
        let ask = self.customer.asks(&order("0.01", "EUR")?)?;
        Ok(self.bank.cosign_order(ask).await?.authorization_jws)
    }
}

impl Lane for Operator {
    type Answer = Customer;

    async fn once(&mut self) -> Result<Customer, Failure> {
        let customer = Customer::enrolled_by(&self.issuer).await?;
        customer.accepted_by(&self.accepter).await?;
        let ask = customer.asks(&order("0.01", "EUR")?)?;
        self.bank.cosign_order(ask).await?;
        Ok(customer)
    }
}

impl Lanes<Payer> {
    /// Customers of alfa, each with a phone of its own.
    pub(crate) async fn paying(
        deployment: &Deployment,
        banks: &[Client; 2],
    ) -> Result<Self, Failure> {
        let mut lanes = Vec::new();
        for bank in banks.iter().cycle().take(PAYING) {
            lanes.push(Payer {
                bank: bank.clone(),
                customer: Customer::of_alfa(deployment).await?,
            });
        }
        Ok(Self::of(lanes))
    }
}

impl Lanes<Operator> {
    /// Phones that one of `issuers` enrols, one of `accepters` accepts, and whose orders one of `banks` co-signs.
    pub(crate) fn enrolling(
        issuers: &[Client; 2],
        accepters: &[Client; 2],
        banks: &[Client; 2],
    ) -> Self {
        // The other service accepts what one has enrolled.
        let others = accepters.iter().rev().zip(banks);
        let turns = issuers.iter().zip(others).cycle().take(ENROLLING);
        let lanes = turns.map(|(issuer, (accepter, bank))| Operator {
            issuer: issuer.clone(),
            accepter: accepter.clone(),
            bank: bank.clone(),
        });
        Self::of(lanes)
    }
}

impl<L: Lane> Lanes<L> {
    fn of(lanes: impl IntoIterator<Item = L>) -> Self {
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            phase: Mutex::new("before"),
        });
        let begin = |lane| tokio::spawn(go(lane, Arc::clone(&shared)));
        let tasks = lanes.into_iter().map(begin).collect();
        Self { shared, tasks }
    }

    /// What is answered from now on is counted as of this phase.
    pub(crate) fn phase(&self, phase: &'static str) -> &Self {
        *self.shared.phase.lock().unwrap() = phase;
        self
    }

    /// Waits for so many answers more.
    pub(crate) async fn more(&self, answers: usize) -> Result<(), Failure> {
        let answered = || self.shared.answered.load(Ordering::Relaxed);
        let enough = answered() + answers;
        until("more answers", SOON, async || {
            let ended = self.tasks.iter().any(JoinHandle::is_finished);
            Ok((ended || answered() >= enough).then_some(()))
        })
        .await
    }

    /// All that was answered; none was refused. Says how long answers took in each phase.
    pub(crate) async fn end(self) -> Result<Vec<Done<L::Answer>>, Failure> {
        self.shared.over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await??);
        }
        for phase in ["before", "during", "after"] {
            let of_phase = all.iter().filter(|one| one.phase == phase);
            let mut took: Vec<_> = of_phase.map(|one| one.took).collect();
            took.sort_unstable();
            let at = |percent: usize| took.get(took.len() * percent / 100).copied();
            let (half, most) = (at(50).unwrap_or_default(), at(99).unwrap_or_default());
            let count = took.len();
            eprintln!("{phase}: {count} answers, p50 {half:?}, p99 {most:?}");
        }
        Ok(all)
    }
}

async fn go<L: Lane>(mut lane: L, shared: Arc<Shared>) -> Outcome<L> {
    let mut done = Vec::new();
    while !shared.over.load(Ordering::Relaxed) {
        let phase = *shared.phase.lock().unwrap();
        let (asked, begun) = (u64::try_from(unix_now()?)?, Instant::now());
        let answer = lane.once().await?;
        done.push(Done {
            answer,
            asked,
            answered: u64::try_from(unix_now()?)?,
            phase,
            took: begun.elapsed(),
        });
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(done)
}
