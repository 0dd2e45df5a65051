//! Owns what the asking side, the threads and the monitor of one token share: the bounded queue, the counters and
//! the condition of the token.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use cryptoki::slot::Slot;
use semops_objects::institution::InstitutionId;
use tokio::sync::oneshot;
use tracing::Span;

use super::ckr::{Class, Failure};
use super::error::HsmError;
use super::health::Health;
use super::login::Login;
use super::module::Module;
use super::report::TokenReport;
use crate::domain::{key::KeyId, pace::Pace};
use crate::metrics::TokenMeter;

/// A call that lasts longer is shown in the health: modules have hung for minutes.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// One piece of work for one token.
pub(super) struct Job {
    pub(super) deadline: Instant,
    pub(super) queued: Instant,
    /// Of the request that asks for it.
    pub(super) span: Span,
    pub(super) work: Work,
}

/// Where the result of a job goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, HsmError>>;

/// What is to be done.
pub(super) enum Work {
    Sign {
        key: KeyId,
        digest: [u8; 32],
        reply: Reply<[u8; 64]>,
    },
    Random {
        length: usize,
        reply: Reply<Vec<u8>>,
    },
}

/// What the metrics show of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Threads alive, each with at most one session.
    pub threads: usize,
    /// Sessions open for work; the login's own is not counted.
    pub sessions: usize,
    /// Threads at work.
    pub busy: usize,
    /// Jobs waiting.
    pub waiting: usize,
    /// Jobs that may wait.
    pub capacity: usize,
    /// Signatures made since the start.
    pub signatures: u64,
    /// Jobs dropped because their deadline had passed, or because nobody waited any more.
    pub expired: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Logins made, that of the start included.
    pub logins: u64,
    /// How long the longest call under way has lasted.
    pub longest_call: Duration,
}

/// One token.
pub(super) struct TokenPool {
    pub(super) institution: InstitutionId,
    pub(super) report: TokenReport,
    pub(super) module: Arc<Module>,
    pub(super) slot: Slot,
    pub(super) login: Login,
    pub(super) jobs: Sender<Job>,
    pub(super) counters: Counters,
    pub(super) meter: TokenMeter,
    /// How long calls take.
    pub(super) pace: Pace,
    /// One place per thread: since when it has been in a call.
    pub(super) calls: Vec<Mutex<Option<Instant>>>,
    /// Threads that have begun and not ended.
    alive: AtomicUsize,
    condition: Mutex<Condition>,
}

/// What is counted.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) sessions: AtomicUsize,
    pub(super) signatures: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// Held by a thread for as long as it lives, so that one that panics is missed too.
pub(super) struct Alive(Arc<TokenPool>);

enum Condition {
    Serving,
    Failed(Failure),
    Stopping,
}

impl TokenPool {
    pub(super) fn new(
        report: TokenReport,
        module: Arc<Module>,
        slot: Slot,
        login: Login,
        jobs: Sender<Job>,
        meter: TokenMeter,
    ) -> Self {
        let calls = (0..report.threads).map(|_| Mutex::new(None)).collect();
        Self {
            institution: report.institution.clone(),
            report,
            module,
            slot,
            login,
            jobs,
            counters: Counters::default(),
            meter,
            pace: Pace::default(),
            calls,
            alive: AtomicUsize::new(0),
            condition: Mutex::new(Condition::Serving),
        }
    }

    /// Counts one more thread, until what it gives is dropped.
    pub(super) fn thread(self: &Arc<Self>) -> Alive {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Alive(Arc::clone(self))
    }

    /// Whether a job would be taken now.
    pub(super) fn has_room(&self) -> Result<(), HsmError> {
        self.serves()?;
        (!self.jobs.is_full())
            .then_some(())
            .ok_or_else(|| self.queue_full())
    }

    fn queue_full(&self) -> HsmError {
        let (waiting, threads) = (self.jobs.len(), self.calls.len());
        HsmError::QueueFull(self.pace.time_for(waiting, threads, self.longest_call()))
    }

    fn serves(&self) -> Result<(), HsmError> {
        match &*locked(&self.condition) {
            Condition::Stopping => Err(HsmError::Stopped),
            Condition::Failed(failure) if failure.class == Class::Fatal => {
                Err(HsmError::Unavailable(failure.fault.clone()))
            }
            Condition::Serving | Condition::Failed(_) => Ok(()),
        }
    }

    /// Queues `job`, or says at once why not.
    pub(super) fn submit(&self, job: Job) -> Result<(), HsmError> {
        self.serves()?;
        if job.queued >= job.deadline {
            return Err(HsmError::DeadlineExceeded);
        }
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => self.queue_full(),
            TrySendError::Disconnected(_) => HsmError::Stopped,
        })
    }

    /// Notes that a call succeeded.
    pub(super) fn succeeded(&self) {
        let mut condition = locked(&self.condition);
        if let Condition::Failed(failure) = &*condition
            && failure.class != Class::Fatal
        {
            tracing::info!(institution = %self.institution, "HSM serves again");
            *condition = Condition::Serving;
        }
    }

    /// Notes that a call failed. What is fatal stays; a refusal says nothing of the token.
    pub(super) fn failed(&self, failure: &Failure) {
        let (call, code) = (failure.fault.call(), failure.fault.code());
        let class = failure.class;
        let advice = failure.fault.advice();
        tracing::warn!(institution = %self.institution, call, code, ?class, advice, "HSM call failed");
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        let mut condition = locked(&self.condition);
        let latched = matches!(&*condition, Condition::Failed(f) if f.class == Class::Fatal);
        let stopping = matches!(&*condition, Condition::Stopping);
        if class != Class::Reject && !latched && !stopping {
            *condition = Condition::Failed(failure.clone());
        }
    }

    pub(super) fn is_fatal(&self) -> bool {
        matches!(&*locked(&self.condition), Condition::Failed(f) if f.class == Class::Fatal)
    }

    /// From now on every job is refused.
    pub(super) fn stop(&self) {
        *locked(&self.condition) = Condition::Stopping;
    }

    pub(super) fn health(&self) -> Health {
        let longest = self.longest_call();
        let lost = self.alive.load(Ordering::Relaxed) < self.calls.len();
        match &*locked(&self.condition) {
            Condition::Serving | Condition::Failed(_) if lost => Health::ThreadLost,
            Condition::Failed(failure) => match failure.class {
                Class::Fatal => Health::Fatal(failure.fault.clone()),
                _ if longest >= STUCK_AFTER => Health::Stuck(longest),
                Class::Restart => Health::NeedsRestart(failure.fault.clone()),
                Class::Retry | Class::Relogin | Class::Reject => {
                    Health::Failing(failure.fault.clone())
                }
            },
            Condition::Serving | Condition::Stopping if longest >= STUCK_AFTER => {
                Health::Stuck(longest)
            }
            Condition::Serving | Condition::Stopping => Health::Serving,
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let busy = self.calls.iter().filter(|call| locked(call).is_some());
        Gauges {
            threads: self.alive.load(Ordering::Relaxed),
            sessions: self.counters.sessions.load(Ordering::Relaxed),
            busy: busy.count(),
            waiting: self.jobs.len(),
            capacity: self.jobs.capacity().unwrap_or(0),
            signatures: count(&self.counters.signatures),
            expired: count(&self.counters.expired),
            failures: count(&self.counters.failures),
            logins: self.login.epoch().0,
            longest_call: self.longest_call(),
        }
    }

    /// The threads that are inside a call.
    pub(super) fn in_call(&self) -> Vec<String> {
        let calls = self.calls.iter().enumerate();
        let busy = calls.filter(|(_, call)| locked(call).is_some());
        busy.map(|(index, _)| self.thread_name(index)).collect()
    }

    /// The name of the token's thread number `index`.
    pub(super) fn thread_name(&self, index: usize) -> String {
        format!("hsm-{}-{index}", self.institution)
    }

    fn longest_call(&self) -> Duration {
        let since = self.calls.iter().filter_map(|call| *locked(call));
        since.map(|since| since.elapsed()).max().unwrap_or_default()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A panic of another holder leaves these small values whole.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
