//! Callers who pay without a pause, at both services by turns. To each of them a refusal is the end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    until::until,
};
use semops_proto::client::Client;
use tokio::task::JoinHandle;

use super::SOON;

/// Of them at a time: more than the machine has cores.
const LANES: usize = 8;

/// An order that was co-signed.
pub(super) struct Paid {
    /// The authorization.
    pub(super) jws: String,
    phase: &'static str,
    took: Duration,
}

struct Shared {
    over: AtomicBool,
    answered: AtomicUsize,
    phase: Mutex<&'static str>,
}

/// They run until they are told to end.
pub(super) struct Lanes {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Result<Vec<Paid>, Failure>>>,
}

impl Lanes {
    /// Customers of alfa, each with a phone of its own.
    pub(super) async fn paying(
        deployment: &Deployment,
        banks: &[Client; 2],
    ) -> Result<Self, Failure> {
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            phase: Mutex::new("before"),
        });
        let mut tasks = Vec::new();
        for bank in banks.iter().cycle().take(LANES) {
            let customer = Customer::of_alfa(deployment).await?;
            let (bank, shared) = (bank.clone(), Arc::clone(&shared));
            tasks.push(tokio::spawn(pay(bank, customer, shared)));
        }
        Ok(Self { shared, tasks })
    }

    /// What is answered from now on is counted as of this phase.
    pub(super) fn phase(&self, phase: &'static str) -> &Self {
        *self.shared.phase.lock().unwrap() = phase;
        self
    }

    /// Waits for so many answers more.
    pub(super) async fn more(&self, answers: usize) -> Result<(), Failure> {
        let answered = || self.shared.answered.load(Ordering::Relaxed);
        let enough = answered() + answers;
        until("more answers", SOON, async || {
            let ended = self.tasks.iter().any(JoinHandle::is_finished);
            Ok((ended || answered() >= enough).then_some(()))
        })
        .await
    }

    /// All that was answered; none was refused. Says how long answers took in each phase.
    pub(super) async fn end(self) -> Result<Vec<Paid>, Failure> {
        self.shared.over.store(true, Ordering::Relaxed);
        let mut paid = Vec::new();
        for task in self.tasks {
            paid.extend(task.await??);
        }
        for phase in ["before", "during", "after"] {
            let of_phase = paid.iter().filter(|one| one.phase == phase);
            let mut took: Vec<_> = of_phase.map(|one| one.took).collect();
            took.sort_unstable();
            let at = |percent: usize| took.get(took.len() * percent / 100).copied();
            let (half, most) = (at(50).unwrap_or_default(), at(99).unwrap_or_default());
            let count = took.len();
            eprintln!("{phase}: {count} answers, p50 {half:?}, p99 {most:?}");
        }
        Ok(paid)
    }
}

async fn pay(bank: Client, customer: Customer, shared: Arc<Shared>) -> Result<Vec<Paid>, Failure> {
    let mut paid = Vec::new();
    while !shared.over.load(Ordering::Relaxed) {
        let ask = customer.asks(&order("0.01", "EUR")?)?;
        let phase = *shared.phase.lock().unwrap();
        let asked = Instant::now();
        let answer = bank.cosign_order(ask).await?;
        paid.push(Paid {
            jws: answer.authorization_jws,
            phase,
            took: asked.elapsed(),
        });
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(paid)
}
