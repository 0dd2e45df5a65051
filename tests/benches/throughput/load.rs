//! A closed loop: so many callers, each with one call under way, until the time is over or the work done.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::failure::Failure;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::cpu::{self, Machine};

/// What came of one level of concurrency.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Level {
    pub(crate) concurrency: usize,
    pub(crate) operations: usize,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time per operation, microseconds.
    pub(crate) server_cpu_us: f64,
    pub(crate) client_cpu_us: f64,
    /// Shares of the machine's processors: idle, and busy with what is not ours.
    pub(crate) idle: f64,
    pub(crate) others: f64,
}

impl Level {
    /// On both sides.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.server_cpu_us + self.client_cpu_us
    }
}

/// Jobs by their index, each given out once.
pub(crate) struct Jobs {
    next: AtomicUsize,
    end: usize,
}

impl Jobs {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let next = AtomicUsize::new(0);
        Arc::new(Self { next, end: count })
    }

    fn take(&self) -> Option<usize> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.end).then_some(index)
    }
}

/// Has `call(connection, job)` made by `concurrency` callers for `time`; `connection` counts the callers. `server` is the
/// process that answers.
///
/// # Errors
/// The first call that fails; or there was nothing left to do.
pub(crate) async fn run<T, F>(
    jobs: &Arc<Jobs>,
    concurrency: usize,
    time: Duration,
    server: u32,
    call: impl Fn(usize, usize) -> F + Clone + Send + 'static,
) -> Result<(Level, Vec<T>), Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send,
{
    let (server_before, client_before) = (cpu::used(server)?, cpu::of_this_process()?);
    let (started, machine) = (Instant::now(), Machine::now()?);
    let mut callers = JoinSet::new();
    for caller in 0..concurrency {
        let (jobs, call) = (Arc::clone(jobs), call.clone());
        callers.spawn(async move {
            let mut done = Vec::new();
            while started.elapsed() < time
                && let Some(job) = jobs.take()
            {
                let sent = Instant::now();
                let answer = call(caller, job).await?;
                done.push((sent.elapsed(), answer));
            }
            Ok::<_, Failure>(done)
        });
    }
    let mut done = Vec::new();
    while let Some(caller) = callers.join_next().await {
        done.append(&mut caller??);
    }
    let elapsed = started.elapsed();
    let server_used = cpu::used(server)?.saturating_sub(server_before);
    let client_used = cpu::of_this_process()?.saturating_sub(client_before);
    let (idle, others) = Machine::now()?.since(machine, server_used + client_used);
    if done.is_empty() {
        return Err(Failure::new("no work was left to measure with"));
    }
    let (mut latencies, answers): (Vec<Duration>, Vec<T>) = done.into_iter().unzip();
    latencies.sort_unstable();
    let count = count(answers.len());
    let quantile = |percent: usize| {
        let index = latencies.len().saturating_sub(1) * percent / 100;
        latencies.get(index).copied().unwrap_or_default()
    };
    let level = Level {
        concurrency,
        operations: answers.len(),
        per_second: count / elapsed.as_secs_f64(),
        p50_ms: quantile(50).as_secs_f64() * 1e3,
        p99_ms: quantile(99).as_secs_f64() * 1e3,
        server_cpu_us: server_used.as_secs_f64() * 1e6 / count,
        client_cpu_us: client_used.as_secs_f64() * 1e6 / count,
        idle,
        others,
    };
    Ok((level, answers))
}

/// A number of operations, to reckon with.
pub(crate) fn count(operations: usize) -> f64 {
    f64::from(u32::try_from(operations).unwrap_or(u32::MAX))
}
