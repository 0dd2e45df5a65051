//! Owns what the asking side, the supervisors and the monitor of one token share: the bounded queue, the places of its
//! worker processes, the counters and the condition of the token.

mod answers;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use semops_objects::institution::InstitutionId;

pub(super) use self::answers::Verdict;

use super::condition::{Condition, Down};
use super::error::{Fault, HsmError};
use super::failure::{Class, Failure};
use super::health::Health;
use super::job::{Job, Work};
use super::place::Place;
use super::report::TokenReport;
use super::told::Told;
use super::{Settings, Token};
use crate::domain::pace::Pace;
use crate::metrics::TokenMeter;

/// A call that lasts longer is shown in the health, unless the process is killed for it before.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// A job that was lost with so many worker processes may be why they ended.
const MOST_LOST: u32 = 3;
/// While a call lasts longer, keys of other tokens sign before this one's: signatures take milliseconds.
const LATE: Duration = Duration::from_secs(1);

/// What the metrics show of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Worker processes that serve.
    pub workers: usize,
    /// Worker processes that ended, or were killed, and were to be replaced.
    pub replaced: u64,
    /// Threads of worker processes that serve, each with at most one session.
    pub threads: usize,
    /// Sessions open for work; those that keep the login are not counted.
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
    /// Its CKA_LABEL.
    pub(super) label: String,
    /// What the first worker process found.
    pub(super) report: OnceLock<TokenReport>,
    /// What worker processes are told, and the keys that may be used.
    pub(super) told: Told,
    /// One start at a time: of several processes that find the PIN changed, one sends it.
    pub(super) starting: Mutex<()>,
    stuck_after: Duration,
    capacity: usize,
    meter: TokenMeter,
    pace: Pace,
    counters: Counters,
    state: Mutex<State>,
}

#[derive(Default)]
struct Counters {
    signatures: AtomicU64,
    expired: AtomicU64,
    failures: AtomicU64,
    replaced: AtomicU64,
}

pub(super) struct State {
    condition: Condition,
    waiting: VecDeque<Job>,
    pub(super) places: Vec<Place>,
    /// Logins of worker processes that are no more.
    logins: u64,
    last_id: u64,
}

impl TokenPool {
    pub(super) fn new(settings: &Settings, token: Token, meter: TokenMeter) -> Self {
        let places = std::iter::repeat_with(Place::default).take(settings.workers);
        Self {
            institution: token.institution.clone(),
            label: token.label.clone(),
            report: OnceLock::new(),
            told: Told::new(token),
            starting: Mutex::new(()),
            stuck_after: STUCK_AFTER.min(settings.hung / 2),
            capacity: settings.queue,
            meter,
            pace: Pace::default(),
            counters: Counters::default(),
            state: Mutex::new(State {
                condition: Condition::Serving,
                waiting: VecDeque::new(),
                places: places.collect(),
                logins: 0,
                last_id: 0,
            }),
        }
    }

    /// What a worker process found. What the first one found is shown; what the others find is checked alike.
    pub(super) fn found(&self, report: TokenReport) {
        let keys = report.keys.clone();
        if self.report.set(report).is_ok() {
            self.told.adopt(&keys);
        }
    }

    /// Whether a job would be taken now.
    pub(super) fn has_room(&self) -> Result<(), HsmError> {
        let mut state = self.state();
        state.condition.takes_jobs()?;
        self.make_room(&mut state)
    }

    /// Whether there is nothing against asking it: it serves, no call of it is late, and there is room.
    pub(super) fn is_ready(&self) -> bool {
        let state = self.state();
        matches!(state.condition, Condition::Serving)
            && state.places.iter().any(Place::serves)
            && state.longest_call() < LATE
            && !state.is_full(self.capacity)
    }

    /// Queues `job`, or says at once why not.
    pub(super) fn submit(&self, job: Job) -> Result<(), HsmError> {
        if job.queued >= job.deadline {
            return Err(HsmError::DeadlineExceeded);
        }
        let mut state = self.state();
        state.condition.takes_jobs()?;
        self.make_room(&mut state)?;
        state.waiting.push_back(job);
        self.dispatch(&mut state);
        Ok(())
    }

    fn make_room(&self, state: &mut State) -> Result<(), HsmError> {
        if state.is_full(self.capacity) {
            let waiting = std::mem::take(&mut state.waiting);
            let (over, waiting) = waiting.into_iter().partition(Job::is_over);
            state.waiting = waiting;
            let over: VecDeque<Job> = over;
            over.into_iter().for_each(|job| self.expire(job));
        }
        if !state.is_full(self.capacity) {
            return Ok(());
        }
        let threads = state.places.iter().map(|place| place.threads).sum();
        let about = self
            .pace
            .time_for(state.waiting(), threads, state.longest_call());
        Err(HsmError::QueueFull(about))
    }

    /// Sends what waits to the places that take it.
    fn dispatch(&self, state: &mut State) {
        while let Some(at) = state.least_loaded() {
            let Some(job) = state.waiting.pop_front() else {
                return;
            };
            if job.is_over() {
                self.expire(job);
                continue;
            }
            state.last_id += 1;
            let id = state.last_id;
            let Some(place) = state.places.get_mut(at) else {
                return;
            };
            if let Some(job) = place.send(id, job, &self.meter) {
                state.waiting.push_front(job);
            }
        }
    }

    fn expire(&self, job: Job) {
        self.counters.expired.fetch_add(1, Ordering::Relaxed);
        job.failed(HsmError::DeadlineExceeded);
    }

    /// A worker process serves at `place`.
    pub(super) fn joined(&self, place: usize, link: Arc<OwnedFd>, threads: usize) {
        let mut state = self.state();
        if let Some(place) = state.places.get_mut(place) {
            place.join(link, threads);
        }
        state.condition.up();
        self.dispatch(&mut state);
    }

    /// The worker process at `place` serves no more. What it had is done by another one; a signature that it made
    /// meanwhile is never stored.
    pub(super) fn left(&self, place: usize, fault: &Fault) {
        if !self.is_stopping() {
            self.counters.replaced.fetch_add(1, Ordering::Relaxed);
        }
        self.vacated(place, fault);
    }

    /// The same, of one that left because it was asked to.
    pub(super) fn vacated(&self, place: usize, fault: &Fault) {
        let mut state = self.state();
        let Some(place) = state.places.get_mut(place) else {
            return;
        };
        let logins = std::mem::take(&mut place.logins);
        let under_way = place.leave();
        state.logins = state.logins.saturating_add(logins);
        if state.condition.is_stopping() {
            drop(state);
            let jobs = under_way.into_iter().map(|sent| sent.job);
            return jobs.for_each(|job| job.failed(HsmError::Stopped));
        }
        if !state.places.iter().any(Place::serves) {
            state.condition.down(fault.clone(), Down::Replacing);
        }
        for mut job in under_way.into_iter().rev().map(|sent| sent.job) {
            job.lost += 1;
            if matches!(job.work, Work::Tend) {
            } else if job.is_over() {
                self.expire(job);
            } else if job.lost >= MOST_LOST {
                job.failed(HsmError::Unavailable(fault.clone()));
            } else {
                state.waiting.push_front(job);
            }
        }
        self.dispatch(&mut state);
        Self::refuse_waiting(state);
    }

    /// No worker process could be started. Whoever waits is told, unless another process serves.
    pub(super) fn not_replaced(&self, failure: Failure) {
        let mut state = self.state();
        if failure.class == Class::Fatal {
            state.condition.failed(failure);
        } else if !state.places.iter().any(Place::serves) {
            state.condition.down(failure.fault, Down::NotReplaced);
        }
        Self::refuse_waiting(state);
    }

    /// Answers those who wait, if nobody may wait any more.
    fn refuse_waiting(mut state: MutexGuard<'_, State>) {
        if let Err(error) = state.condition.takes_jobs() {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting
                .into_iter()
                .for_each(|job| job.failed(error.clone()));
        }
    }

    /// Has an idle worker process see whether session and login are good, and so whether it lives.
    pub(super) fn tend(&self, place: usize, idle: Duration, patience: Duration) {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        if let Some(place) = state.places.get_mut(place)
            && place.idle().is_some_and(|time| time >= idle)
        {
            let job = Job::new(Instant::now() + patience, Work::Tend);
            // One that takes no job has ended; its supervisor sees that.
            let _ = place.send(id, job, &self.meter);
        }
    }

    pub(super) fn longest_call(&self, place: usize) -> Duration {
        let state = self.state();
        let place = state.places.get(place);
        place.map_or(Duration::ZERO, Place::longest_call)
    }

    /// Nothing is tried any more.
    pub(super) fn is_over(&self) -> bool {
        self.state().condition.is_over()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state().condition.is_stopping()
    }

    /// From now on every job is refused. What is in a call is finished; then the processes end.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.condition.stop();
        let mut jobs = std::mem::take(&mut state.waiting);
        for place in &mut state.places {
            jobs.extend(place.drain_ahead().into_iter().map(|sent| sent.job));
            place.close();
        }
        drop(state);
        jobs.into_iter()
            .for_each(|job| job.failed(HsmError::Stopped));
    }

    pub(super) fn health(&self) -> Health {
        let state = self.state();
        state
            .condition
            .health(state.longest_call(), self.stuck_after)
    }

    pub(super) fn gauges(&self) -> Gauges {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = self.state();
        let sum = |of: fn(&Place) -> usize| state.places.iter().map(of).sum();
        Gauges {
            workers: state.places.iter().filter(|place| place.serves()).count(),
            replaced: count(&self.counters.replaced),
            threads: sum(|place| place.threads),
            sessions: sum(|place| place.sessions),
            busy: sum(Place::busy),
            waiting: state.waiting(),
            capacity: self.capacity,
            signatures: count(&self.counters.signatures),
            expired: count(&self.counters.expired),
            failures: count(&self.counters.failures),
            logins: (state.places.iter())
                .fold(state.logins, |sum, place| sum.saturating_add(place.logins)),
            longest_call: state.longest_call(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another holder leaves the lists whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.waiting.len() + self.places.iter().map(Place::ahead).sum::<usize>()
    }

    fn is_full(&self, capacity: usize) -> bool {
        let takes = |place: &Place| place.serves() && place.busy() < place.threads;
        self.waiting() >= capacity && !self.places.iter().any(takes)
    }

    fn least_loaded(&self) -> Option<usize> {
        let places = self.places.iter().enumerate();
        let open = places.filter_map(|(at, place)| Some((place.load()?, at)));
        open.min().map(|(_, at)| at)
    }

    fn longest_call(&self) -> Duration {
        let calls = self.places.iter().map(Place::longest_call);
        calls.max().unwrap_or_default()
    }
}
