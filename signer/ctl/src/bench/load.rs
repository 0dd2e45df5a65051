//! The load as a whole: its callers, its seconds, its end.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant as Moment, MissedTickBehavior, interval_at, sleep_until},
};

use super::{
    cpu,
    live::Live,
    outcome::Sample,
    series::{Recorder, Row},
    work::{Answer, Job, Stage, Work, lock},
};
use crate::failure::Failure;

const SECOND: Duration = Duration::from_secs(1);

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    /// What its requests need.
    pub work: Arc<Work>,
    recorder: Mutex<Recorder>,
    started: Instant,
    stage: watch::Sender<Stage>,
    sent: AtomicU64,
    answered: AtomicU64,
}

/// How a load ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether the user ended it.
    pub interrupted: bool,
    /// How long it ran, with its warm-up.
    pub after: Duration,
    /// Processor time of this process while it was measured.
    pub cpu: Option<Duration>,
    /// All that was sent.
    pub sent: u64,
    /// What came of it.
    pub recorder: Recorder,
}

/// Moments that come once.
#[derive(Debug, Default)]
struct Marks {
    interrupted: bool,
    after: Option<Duration>,
    cpu_before: Option<Duration>,
    cpu_after: Option<Duration>,
}

impl Load {
    /// A load of `work` that begins now.
    #[must_use]
    pub fn new(work: Arc<Work>) -> Arc<Self> {
        Arc::new(Self {
            recorder: Mutex::new(Recorder::new(work.plan().warm_up)),
            work,
            started: Instant::now(),
            stage: watch::Sender::new(Stage::Running),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        })
    }

    /// Since it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether requests are to be sent.
    #[must_use]
    pub fn runs(&self) -> bool {
        *self.stage.borrow() == Stage::Running && self.elapsed() < self.work.plan().total()
    }

    /// Waits until none are to be sent any more.
    pub async fn ended(&self) {
        // The sender is this value's own.
        let _ = self
            .stage
            .subscribe()
            .wait_for(|stage| *stage != Stage::Running)
            .await;
    }

    /// Sends a request that was due at `due`, and counts what came of it. Gives how long its caller is to wait.
    pub async fn serve(&self, job: Job, due: Duration) -> Option<Duration> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let orders = self.work.plan().orders_per_phone;
        let answer = self
            .work
            .run(job, orders, &mut self.stage.subscribe())
            .await;
        let Answer {
            kind,
            outcome,
            retry_after,
            ..
        } = answer;
        let sample = Sample {
            kind,
            outcome,
            due,
            latency: answer.at.duration_since(self.started).saturating_sub(due),
            retry_after,
        };
        self.recorder().record(&sample);
        self.answered.fetch_add(1, Ordering::Relaxed);
        answer.pause
    }

    /// An arrival that was never sent.
    pub fn not_sent(&self, due: Duration) {
        self.recorder().not_sent(due);
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        lock(&self.recorder)
    }

    fn tick(&self) -> Row {
        let sent = self.sent.load(Ordering::Relaxed);
        let in_flight = sent.saturating_sub(self.answered.load(Ordering::Relaxed));
        self.recorder().tick(self.elapsed(), in_flight)
    }
}

/// Runs the load until all `drivers` have ended. `interrupts` gives something each time that the user wants it to end: no more is sent after
/// the first, nothing is waited for after the second.
///
/// # Errors
/// A request could not be made, or this program lost count.
pub async fn run(
    load: Arc<Load>,
    mut drivers: JoinSet<Result<(), Failure>>,
    live: &mut Live,
    mut interrupts: impl AsyncFnMut(),
) -> Result<Ended, Failure> {
    let plan = load.work.plan();
    let begun = Moment::from_std(load.started);
    let mut seconds = interval_at(begun + SECOND, SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut marks = Marks::default();
    loop {
        tokio::select! {
            driver = drivers.join_next() => match driver {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(failed) => {
                    load.stage.send_replace(Stage::Abandoned);
                    return Err(why(failed));
                }
            },
            _ = seconds.tick() => live.second(&load.tick(), plan.total().saturating_sub(load.elapsed())),
            () = sleep_until(begun + plan.warm_up), if marks.cpu_before.is_none() => {
                marks.cpu_before = Some(cpu::of_this_process().unwrap_or_default());
            }
            () = sleep_until(begun + plan.total()), if marks.after.is_none() => marks.end(&load),
            () = interrupts() => live.step(marks.interrupt(&load)),
        }
    }
    marks.end(&load);
    load.tick();
    marks.ended(&load)
}

impl Marks {
    /// Does what the user wants, and says what that is.
    fn interrupt(&mut self, load: &Load) -> &'static str {
        if self.after.is_some() {
            load.stage.send_replace(Stage::Abandoned);
            return "giving up the requests that are under way";
        }
        self.interrupted = true;
        self.end(load);
        "ending early: waiting for the requests that are under way; Ctrl-C again gives them up"
    }

    /// The end of the sending, once.
    fn end(&mut self, load: &Load) {
        if self.after.is_none() {
            load.stage.send_if_modified(|stage| {
                let running = *stage == Stage::Running;
                if running {
                    *stage = Stage::Ending;
                }
                running
            });
            self.after = Some(load.elapsed().min(load.work.plan().total()));
            self.cpu_after = cpu::of_this_process().ok();
        }
    }

    fn ended(self, load: &Load) -> Result<Ended, Failure> {
        let recorder = std::mem::replace(&mut *load.recorder(), Recorder::new(Duration::ZERO));
        let sent = load.sent.load(Ordering::Relaxed);
        let counted = recorder
            .before
            .sent()
            .saturating_add(recorder.measured.sent());
        if sent != counted {
            return Err(Failure::bad_answer(format!(
                "this program lost count: {sent} requests sent, {counted} ended"
            )));
        }
        let cpu = self.cpu_before.zip(self.cpu_after);
        Ok(Ended {
            interrupted: self.interrupted,
            after: self.after.unwrap_or_default(),
            cpu: cpu.map(|(before, after)| after.saturating_sub(before)),
            sent,
            recorder,
        })
    }
}

fn why(failed: Result<Result<(), Failure>, tokio::task::JoinError>) -> Failure {
    match failed {
        Ok(Err(failure)) => failure,
        Ok(Ok(())) => Failure::bad_answer("a caller of the load ended before its time"),
        Err(error) => Failure::bad_answer(format!("a caller of the load broke down: {error}")),
    }
}
