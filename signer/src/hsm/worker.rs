//! Owns the threads: each takes jobs from its token's queue, does them in its own long-lived session, and mends or
//! replaces the session when a call fails.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select_biased};
use tracing::level_filters::LevelFilter;
use tracing::span::EnteredSpan;
use tracing::{Span, info_span};

use super::ckr::{Class, Failure};
use super::error::HsmError;
use super::login::Epoch;
use super::module::Session;
use super::pool::{Job, Reply, TokenPool, Work, locked};
use crate::metrics::{Call, TRACES};

/// How often a session is used at least, so that the token does not let it expire.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How soon a lost session is opened again when there is no work to do it for.
const MEND: Duration = Duration::from_secs(5);
/// A lost session and a lost login can follow each other; more than that is not mended by trying.
const ATTEMPTS: u32 = 4;

/// One thread of one token.
pub(super) struct Worker {
    pub(super) token: Arc<TokenPool>,
    /// Which of the token's threads this is.
    pub(super) index: usize,
    pub(super) jobs: Receiver<Job>,
    /// Closed when the threads are to end.
    pub(super) stop: Receiver<Infallible>,
    session: Option<Session>,
    /// The login that was in force when the session was opened.
    epoch: Epoch,
    tend_at: Instant,
}

impl Worker {
    /// A worker with its session open.
    pub(super) fn new(
        token: Arc<TokenPool>,
        index: usize,
        jobs: Receiver<Job>,
        stop: Receiver<Infallible>,
    ) -> Result<Self, Failure> {
        let epoch = token.login.epoch();
        let tend_at = Instant::now() + KEEP_ALIVE;
        let mut worker = Self {
            token,
            index,
            jobs,
            stop,
            session: None,
            epoch,
            tend_at,
        };
        worker.open()?;
        Ok(worker)
    }

    /// Works until told to end.
    pub(super) fn run(mut self) {
        loop {
            let wait = self.tend_at.saturating_duration_since(Instant::now());
            select_biased! {
                recv(self.stop) -> _ => break,
                recv(self.jobs) -> job => match job {
                    Ok(job) => self.serve(job),
                    Err(_) => break,
                },
                default(wait) => {}
            }
            if Instant::now() >= self.tend_at {
                self.tend();
            }
        }
        while let Ok(job) = self.jobs.try_recv() {
            refuse(job, HsmError::Stopped);
        }
        self.end();
    }

    /// Closes the session.
    pub(super) fn end(&mut self) {
        if let Some(session) = self.session.take() {
            session.close(&self.token.module);
            self.token.counters.sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn serve(&mut self, job: Job) {
        let Job {
            deadline,
            queued,
            span,
            work,
        } = job;
        self.token.meter.waited(queued.elapsed());
        let _request = span.enter();
        match work {
            Work::Sign { key, digest, reply } => {
                let _call = traced(|| info_span!(target: TRACES, "C_Sign", %key));
                self.answer(deadline, Call::Sign, reply, |worker| {
                    let signature =
                        worker.mended(deadline, |session| session.sign(key, &digest))?;
                    let counters = &worker.token.counters;
                    counters.signatures.fetch_add(1, Ordering::Relaxed);
                    Ok(signature)
                });
            }
            Work::Random { length, reply } => {
                let _call = traced(|| info_span!(target: TRACES, "C_GenerateRandom"));
                self.answer(deadline, Call::Random, reply, |worker| {
                    worker.mended(deadline, |session| session.random(length))
                });
            }
        }
    }

    /// Does `work` and sends its result, unless it comes too late or nobody waits.
    fn answer<T>(
        &mut self,
        deadline: Instant,
        call: Call,
        reply: Reply<T>,
        work: impl FnOnce(&mut Self) -> Result<T, HsmError>,
    ) {
        let now = Instant::now();
        let result = if now >= deadline || reply.is_closed() {
            self.token.counters.expired.fetch_add(1, Ordering::Relaxed);
            Err(HsmError::DeadlineExceeded)
        } else {
            self.mark(Some(now));
            let result = work(self);
            self.mark(None);
            let took = now.elapsed();
            self.token.meter.called(call, took);
            self.token.pace.took(took);
            result
        };
        // Whoever asked may have gone; then nobody misses the answer.
        let _ = reply.send(result);
    }

    fn mark(&self, since: Option<Instant>) {
        if let Some(call) = self.token.calls.get(self.index) {
            *locked(call) = since;
        }
    }

    /// Makes `call`, with fresh sessions and logins as the failures demand, until the deadline.
    fn mended<T>(
        &mut self,
        deadline: Instant,
        call: impl Fn(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, HsmError> {
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(&call) {
                Ok(result) => {
                    self.token.succeeded();
                    return Ok(result);
                }
                Err(failure) => failure,
            };
            self.token.failed(&failure);
            // Past C_SignInit a failure can leave the operation active; before it nothing is lost by this.
            self.end();
            let again = attempt < ATTEMPTS && Instant::now() < deadline && !self.token.is_fatal();
            attempt += 1;
            match failure.class {
                Class::Retry if again => {}
                Class::Relogin if again => self.login()?,
                Class::Reject => return Err(HsmError::Rejected(failure.fault)),
                Class::Retry | Class::Relogin | Class::Restart | Class::Fatal => {
                    return Err(HsmError::Unavailable(failure.fault));
                }
            }
        }
    }

    fn attempt<T>(
        &mut self,
        call: &impl Fn(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.session.is_none() {
            self.open()?;
        }
        match &mut self.session {
            Some(session) => call(session),
            None => Err(Failure::new(Class::Retry, "C_OpenSession", "no session")),
        }
    }

    fn open(&mut self) -> Result<(), Failure> {
        let token = &self.token;
        self.epoch = token.login.epoch();
        let session = Session::open(&token.module, token.slot, token.login.access())?;
        if let Err(failure) = session.must_be_user() {
            session.close(&token.module);
            return Err(failure);
        }
        self.session = Some(session);
        token.counters.sessions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn login(&mut self) -> Result<(), HsmError> {
        let outcome = self.token.login.login(&self.token.module, self.epoch);
        outcome.map_err(|failure| {
            self.token.failed(&failure);
            HsmError::Unavailable(failure.fault)
        })
    }

    /// Uses the session, and the login's, so that neither expires; opens it again if it is lost. So the health
    /// recovers, or is found out to have gone, without work too.
    fn tend(&mut self) {
        if !self.token.is_fatal() {
            self.mark(Some(Instant::now()));
            if self.index == 0
                && let Err(failure) = self.token.login.keep_alive()
            {
                self.token.failed(&failure);
                // The health holds the failure, here and below; there is nobody else to tell.
                let _ = self.login();
            }
            let _ = self.mended(Instant::now() + MEND, |session| session.must_be_user());
            self.mark(None);
        }
        let wait = if self.session.is_some() {
            KEEP_ALIVE
        } else {
            MEND
        };
        self.tend_at = Instant::now() + wait;
    }
}

/// The span of a call, where requests are traced. Of the spans of the request only the innermost is entered in this
/// thread, which is then none of the log's: so this one is, too, and the log finds the request above it.
fn traced(span: impl FnOnce() -> Span) -> Option<EnteredSpan> {
    // Spans of traces are of this level, and nothing else is.
    let on = LevelFilter::current() == LevelFilter::TRACE;
    on.then(|| span().entered())
}

fn refuse(job: Job, error: HsmError) {
    // Whoever asked may have gone; then nobody misses the answer.
    match job.work {
        Work::Sign { reply, .. } => drop(reply.send(Err(error))),
        Work::Random { reply, .. } => drop(reply.send(Err(error))),
    }
}
