//! Owns the place of one worker process: what it has been sent and has not answered, and since when it is at it.
//!
//! Its threads take jobs from the socket in the order of sending, so that of what is under way the first ones, as many as
//! there are threads, are in a call; nothing has to be said of a call's beginning.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::SendFlags;
use tracing::level_filters::LevelFilter;
use tracing::{Span, info_span};

use super::job::{Job, Work};
use super::wire;
use crate::metrics::{TRACES, TokenMeter};

/// Jobs that are sent beyond those in a call, so that a thread that is done finds the next one at once.
const AHEAD: usize = 1;
/// So many answers a second may come that nobody asked for; of each thread one in some seconds tells that its session was
/// lost or found again.
const MOST_UNASKED: u32 = 100;

const SECOND: Duration = Duration::from_secs(1);

/// One worker process, or the lack of it.
#[derive(Default)]
pub(super) struct Place {
    /// While it serves.
    link: Option<Arc<OwnedFd>>,
    /// The number of the PIN that it was told.
    pub(super) pin: u64,
    /// Its threads.
    pub(super) threads: usize,
    /// In the order of sending.
    under_way: VecDeque<UnderWay>,
    pub(super) sessions: usize,
    pub(super) logins: u64,
    /// When it answered last.
    answered: Option<Instant>,
    /// Answers that nobody asked for, since when they are counted.
    unasked: Option<(Instant, u32)>,
}

/// A job that was sent.
pub(super) struct UnderWay {
    id: u64,
    pub(super) job: Job,
    /// Since when it is in a call.
    pub(super) begun: Option<Instant>,
    /// Of the call, where requests are traced.
    call: Option<Span>,
}

impl UnderWay {
    /// Of what befalls it. The request's own innermost span is none of the log's where requests are traced; that of the
    /// call is, and the log finds the request above it.
    pub(super) fn span(&self) -> &Span {
        self.call.as_ref().unwrap_or(&self.job.span)
    }
}

impl Place {
    /// From now on it serves.
    pub(super) fn join(&mut self, link: Arc<OwnedFd>, threads: usize) {
        self.link = Some(link);
        (self.threads, self.sessions, self.logins) = (threads, threads, 1);
        self.answered = Some(Instant::now());
        self.unasked = None;
    }

    /// It serves no more; what it had is given back.
    pub(super) fn leave(&mut self) -> VecDeque<UnderWay> {
        self.link = None;
        (self.threads, self.sessions) = (0, 0);
        std::mem::take(&mut self.under_way)
    }

    pub(super) fn serves(&self) -> bool {
        self.link.is_some()
    }

    /// Threads in a call.
    pub(super) fn busy(&self) -> usize {
        self.under_way.len().min(self.threads)
    }

    /// Jobs sent, and in no call yet.
    pub(super) fn ahead(&self) -> usize {
        self.under_way.len() - self.busy()
    }

    /// How much more it takes, if it takes any; less is better.
    pub(super) fn load(&self) -> Option<usize> {
        let full = self.under_way.len() >= self.threads + AHEAD;
        (self.serves() && !full).then_some(self.under_way.len())
    }

    /// Sends a job; it comes back when the process takes none.
    pub(super) fn send(&mut self, id: u64, job: Job, meter: &TokenMeter) -> Option<Job> {
        let Some(link) = &self.link else {
            return Some(job);
        };
        if wire::put(link, &job.told(id), SendFlags::DONTWAIT).is_err() {
            // Whatever it is, another process does it; its supervisor sees the end.
            self.close();
            return Some(job);
        }
        self.under_way.push_back(UnderWay {
            id,
            job,
            begun: None,
            call: None,
        });
        self.begin(meter);
        None
    }

    /// Lets it do what it is at, and end then: its end of the socket reads what was sent and then nothing more.
    pub(super) fn close(&mut self) {
        if let Some(link) = self.link.take() {
            // One that is closed already needs no closing.
            let _ = rustix::net::shutdown(link, rustix::net::Shutdown::Write);
        }
    }

    /// It answered job `id`, which is taken out.
    pub(super) fn answered(&mut self, id: u64, meter: &TokenMeter) -> Option<UnderWay> {
        self.answered = Some(Instant::now());
        let at = self.under_way.iter().position(|sent| sent.id == id)?;
        let sent = self.under_way.remove(at);
        self.begin(meter);
        sent
    }

    /// It answered what it was not asked; whether it does so too often.
    pub(super) fn babbles(&mut self) -> bool {
        let now = Instant::now();
        let recent = |(since, _): &(Instant, u32)| now.duration_since(*since) < SECOND;
        let (since, before) = self.unasked.filter(recent).unwrap_or((now, 0));
        let count = before.saturating_add(1);
        self.unasked = Some((since, count));
        count > MOST_UNASKED
    }

    /// Those that are in no call.
    pub(super) fn drain_ahead(&mut self) -> VecDeque<UnderWay> {
        self.under_way.split_off(self.busy())
    }

    /// The longest call under way.
    pub(super) fn longest_call(&self) -> Duration {
        let since = self.under_way.iter().filter_map(|sent| sent.begun);
        since.map(|since| since.elapsed()).max().unwrap_or_default()
    }

    /// How long it has had nothing to do, if it has not.
    pub(super) fn idle(&self) -> Option<Duration> {
        let since = self.answered.filter(|_| self.under_way.is_empty())?;
        Some(since.elapsed())
    }

    /// Notes the beginning of calls.
    fn begin(&mut self, meter: &TokenMeter) {
        for sent in self.under_way.iter_mut().take(self.threads) {
            if sent.begun.is_none() {
                sent.begun = Some(Instant::now());
                sent.call = sent.job.traced();
                if sent.job.call().is_some() {
                    meter.waited(sent.job.queued.elapsed());
                }
            }
        }
    }
}

impl Job {
    /// The span of the call, where requests are traced.
    fn traced(&self) -> Option<Span> {
        // Spans of traces are of this level, and nothing else is.
        if LevelFilter::current() != LevelFilter::TRACE {
            return None;
        }
        let parent = &self.span;
        match &self.work {
            Work::Sign { key, .. } => {
                Some(info_span!(target: TRACES, parent: parent, "C_Sign", %key))
            }
            Work::Random { .. } => {
                Some(info_span!(target: TRACES, parent: parent, "C_GenerateRandom"))
            }
            Work::Generate { label, .. } => {
                Some(info_span!(target: TRACES, parent: parent, "C_GenerateKeyPair", label))
            }
            Work::Adopt { key, .. } => Some(
                info_span!(target: TRACES, parent: parent, "C_GetAttributeValue", key = %key.id),
            ),
            Work::Destroy { key, .. } => {
                Some(info_span!(target: TRACES, parent: parent, "C_DestroyObject", %key))
            }
            Work::Tend => None,
        }
    }
}
