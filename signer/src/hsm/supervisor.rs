//! Owns the supervision of one worker process: it is started, heard, killed when a call in it hangs, and replaced.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::Settings;
use super::error::{Fault, StartError, WORKER};
use super::failure::{Class, Failure};
use super::process::Process;
use super::report::TokenReport;
use super::token::{TokenPool, Verdict};
use super::wire::{self, Answer, Begun, LONGEST, Received, Refused};

/// The longest start of a worker process: some modules build up connections.
const START: Duration = Duration::from_secs(60);
/// An idle process is asked this often whether it lives.
const IDLE: Duration = Duration::from_secs(5);
/// How long an idle process has for that.
const TENDING: Duration = Duration::from_secs(5);
/// One that served so long is replaced at once.
const CALM: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The supervisor of one place of a token.
pub(super) struct Supervisor {
    pub(super) token: Arc<TokenPool>,
    pub(super) place: usize,
    pub(super) settings: Arc<Settings>,
    /// Closed when all is to end.
    pub(super) stop: Receiver<Infallible>,
    /// Until when processes may end by themselves, once they have to.
    pub(super) patience: Arc<OnceLock<Instant>>,
    /// Whether the institution has a token before this one, so that the service starts also without it.
    pub(super) further: bool,
    /// What came of the first start; it goes to whoever starts all of them.
    pub(super) first: Sender<Result<(), StartError>>,
}

/// Why a process did not come to serve.
pub(super) enum NoStart {
    Refused(Refused),
    Ended(Fault),
    Process(std::io::Error),
    Stopped,
}

impl NoStart {
    /// It said that it refuses, or what is not understood.
    pub(super) fn said(refused: Option<Refused>) -> Self {
        let odd = || Fault::new(WORKER, "said what was not understood");
        refused.map_or_else(|| Self::Ended(odd()), Self::Refused)
    }

    /// What that means for the token; nothing if all is to end.
    pub(super) fn failure(self) -> Option<Failure> {
        let worker = |code: String| Failure::new(Class::Restart, WORKER, code);
        Some(match self {
            Self::Stopped => return None,
            Self::Refused(Refused {
                failure: Some(failure),
                ..
            }) => failure.into(),
            Self::Refused(Refused { text, .. }) => worker(text),
            Self::Ended(fault) => Failure {
                fault,
                class: Class::Restart,
            },
            Self::Process(error) => worker(format!("not started: {error}")),
        })
    }
}

/// What a process says when it comes to serve, or refuses to.
pub(super) fn begun(
    process: Process,
    buffer: &mut [u8],
    is_stopping: impl Fn() -> bool,
) -> Result<(Process, Begun), NoStart> {
    let end = Instant::now() + START;
    loop {
        match wire::take::<Begun>(&process.link, buffer) {
            Ok(Received::Message(begun)) => return Ok((process, begun)),
            Ok(Received::Nothing) if is_stopping() => return Err(NoStart::Stopped),
            Ok(Received::Nothing) if Instant::now() < end => {}
            Ok(Received::Nothing) => {
                let code = format!("did not serve within {} s, and was killed", START.as_secs());
                return Err(NoStart::Ended(Fault::new(WORKER, code)));
            }
            Ok(Received::End) | Err(_) => return Err(NoStart::Ended(process.end())),
        }
    }
}

impl Supervisor {
    /// Keeps a worker process at work until all is to end.
    pub(super) fn run(self) {
        let mut buffer = vec![0; LONGEST];
        let mut pause = Duration::ZERO;
        let mut first = true;
        while !self.token.is_over() {
            let begun = Instant::now();
            match self.start(first, &mut buffer) {
                Some(process) => self.serve(process, &mut buffer),
                None if first && !self.further => return,
                None => {}
            }
            first = false;
            pause = if begun.elapsed() >= CALM {
                Duration::ZERO
            } else {
                (pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
            };
            if self.stop.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// How long nothing has to be heard until the process is looked after.
    fn tick(&self) -> Duration {
        (self.settings.hung / 8).clamp(Duration::from_millis(50), Duration::from_millis(500))
    }

    /// Starts a process, or notes why none could be. One at a time of a token, until that is noted: a PIN that has been
    /// changed is sent once, for its refusal is fatal and the next one is not started.
    fn start(&self, first: bool, buffer: &mut [u8]) -> Option<Process> {
        let starting = self.token.starting.lock();
        let _one = starting.unwrap_or_else(PoisonError::into_inner);
        if self.token.is_over() {
            return None;
        }
        let started = self.attempt(buffer);
        if self.further {
            // Nobody hears it any more if that took long.
            let _ = self.first.try_send(Ok(()));
        }
        if !first || self.further {
            return started.map_err(|no| self.not_replaced(no)).ok();
        }
        let (process, told) = match started {
            Ok(process) => (Some(process), Ok(())),
            Err(no) => (None, Err(self.refusal(no))),
        };
        // Whoever starts all of them waits for it.
        let _ = self.first.send(told);
        process
    }

    /// Starts a process and waits until it serves.
    fn attempt(&self, buffer: &mut [u8]) -> Result<Process, NoStart> {
        let told = self.token.told_at(self.place);
        let process = Process::start(&self.settings, &told, self.tick());
        let process = process.map_err(NoStart::Process)?;
        let (process, begun) = begun(process, buffer, || self.token.is_stopping())?;
        let report = begun.report(&told, &self.settings);
        self.welcome(&process, report.map_err(NoStart::said)?);
        Ok(process)
    }

    fn welcome(&self, process: &Process, report: TokenReport) {
        let (institution, token) = (&self.token.institution, &self.token.label);
        tracing::info!(%institution, token, pid = process.id(), "a worker process serves the token");
        let threads = report.threads;
        self.token.found(report);
        self.token
            .joined(self.place, Arc::clone(&process.link), threads);
    }

    /// Hears the process until it ends or has to be ended.
    fn serve(&self, process: Process, buffer: &mut [u8]) {
        let pid = process.id();
        let mut gives_way = false;
        let mut looked = Instant::now();
        let killed = loop {
            match wire::take::<Answer>(&process.link, buffer) {
                Ok(Received::Message(answer)) => match self.token.answered(self.place, answer) {
                    Verdict::GoOn => {}
                    Verdict::Replace(fault) => break Some(fault),
                    Verdict::End => break None,
                },
                Ok(Received::Nothing) => {}
                Ok(Received::End) | Err(_) => break None,
            }
            if looked.elapsed() < self.tick() {
                continue;
            }
            looked = Instant::now();
            if let Some(fault) = self.hangs() {
                break Some(fault);
            }
            if self.is_out_of_patience() {
                break None;
            }
            gives_way = gives_way || self.token.gives_way(self.place);
            self.token.tend(self.place, IDLE, TENDING);
        };
        if gives_way && killed.is_none() {
            return self.give_way(process);
        }
        let stopping = self.token.is_stopping();
        let ended = self.end(process, stopping);
        let fault = killed.unwrap_or(ended);
        if !stopping {
            let (institution, token) = (&self.token.institution, &self.token.label);
            let advice = fault.advice();
            tracing::error!(%institution, token, pid, %fault, advice, "a worker process has ended");
        }
        self.token.left(self.place, &fault);
    }

    /// One that was told an earlier PIN has done what it was at.
    fn give_way(&self, process: Process) {
        let (institution, pid) = (&self.token.institution, process.id());
        process.leave();
        tracing::info!(%institution, pid, "a worker process has given way to one that is told the new PIN");
        self.token.gave_way(self.place);
    }

    /// Ends the process. One that was told to end is closing its sessions, and may take its time for that.
    fn end(&self, mut process: Process, told: bool) -> Fault {
        while told && !self.is_out_of_patience() && !process.has_ended() {
            std::thread::sleep(Duration::from_millis(2));
        }
        process.end()
    }

    fn hangs(&self) -> Option<Fault> {
        let longest = self.token.longest_call(self.place);
        let hung = self.settings.hung;
        let code = || {
            let seconds = hung.as_secs();
            format!("a call did not return for {seconds} s, and the process was killed")
        };
        (longest >= hung).then(|| Fault::new(WORKER, code()))
    }

    fn is_out_of_patience(&self) -> bool {
        let end = self.patience.get();
        end.is_some_and(|end| Instant::now() >= *end)
    }

    fn refusal(&self, no: NoStart) -> StartError {
        let institution = self.token.institution.clone();
        match no {
            NoStart::Refused(refused) => StartError::Refused(refused.text),
            NoStart::Ended(fault) => StartError::Ended { institution, fault },
            NoStart::Process(error) => StartError::Process(error),
            NoStart::Stopped => {
                let fault = Fault::new(WORKER, "was told to end");
                StartError::Ended { institution, fault }
            }
        }
    }

    fn not_replaced(&self, no: NoStart) {
        let Some(failure) = no.failure() else {
            return;
        };
        let (institution, token) = (&self.token.institution, &self.token.label);
        let (fault, class) = (&failure.fault, failure.class);
        let advice = fault.advice();
        tracing::error!(%institution, token, %fault, ?class, advice, "no worker process could be started");
        self.token.not_replaced(failure);
    }
}
