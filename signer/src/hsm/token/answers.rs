//! Owns what an answer of a worker process means: for whoever asked, for the condition of the token, for the process.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::error::{Fault, HsmError, WORKER};
use super::super::failure::{Class, Failure};
use super::super::job::Work;
use super::super::place::UnderWay;
use super::super::wire::{self, Ending};
use super::{MOST_LOST, TokenPool};

/// Fresh sessions are tried so long; then a fresh process.
const MENDING: Duration = Duration::from_secs(10);

/// What the supervisor has to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::hsm) enum Verdict {
    /// Nothing.
    GoOn,
    /// Replace the process.
    Replace(Fault),
    /// End it, for good.
    End,
}

impl TokenPool {
    /// Takes the answer of the worker process at `place`.
    pub(in crate::hsm) fn answered(&self, place: usize, mut answer: wire::Answer) -> Verdict {
        let (ending, failures) = (answer.ending(), answer.failures());
        let mut state = self.state();
        let Some(at) = state.places.get_mut(place) else {
            return Verdict::End;
        };
        let sessions = usize::try_from(answer.sessions).unwrap_or(usize::MAX);
        at.sessions = sessions.min(at.threads);
        at.logins = answer.logins;
        let sent = at.answered(answer.id, &self.meter);
        if sent.is_none() && at.babbles() {
            at.close();
            return Verdict::Replace(Fault::new(WORKER, "answers what it was not asked"));
        }
        for failure in &failures {
            state.condition.failed(failure.clone());
        }
        let mended = ending == Ending::Done && state.condition.succeeded();
        let verdict = match failures.last() {
            Some(last) if ending == Ending::Failed => state.condition.verdict(last, MENDING),
            _ => Verdict::GoOn,
        };
        if verdict != Verdict::GoOn
            && let Some(at) = state.places.get_mut(place)
        {
            // It is given nothing more.
            at.close();
        }
        self.dispatch(&mut state);
        drop(state);
        self.tell(sent.as_ref(), &failures, mended);
        if let Some(sent) = sent {
            let took = Duration::from_nanos(answer.nanos);
            self.settle(sent, ending, took, answer.octets, failures);
        }
        verdict
    }

    /// Logs within the request what befell its job.
    fn tell(&self, sent: Option<&UnderWay>, failures: &[Failure], mended: bool) {
        let _request = sent.map(|sent| sent.span().enter());
        let (institution, token) = (&self.institution, &self.label);
        for Failure { fault, class } in failures {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
            let (call, code, advice) = (fault.call(), fault.code(), fault.advice());
            tracing::warn!(%institution, token, call, code, ?class, advice, "HSM call failed");
        }
        if mended {
            tracing::info!(%institution, token, "HSM serves again");
        }
    }

    /// Gives a job its result, or another process the job.
    fn settle(
        &self,
        sent: UnderWay,
        ending: Ending,
        took: Duration,
        octets: Vec<u8>,
        mut failures: Vec<Failure>,
    ) {
        let mut job = sent.job;
        if ending == Ending::Expired {
            return self.expire(job);
        }
        if let Some(call) = job.call() {
            self.meter.called(call, took);
            self.pace.took(took);
        }
        if ending == Ending::Done {
            if matches!(job.work, Work::Sign { .. }) {
                self.counters.signatures.fetch_add(1, Ordering::Relaxed);
            }
            return job.done(octets);
        }
        let unknown = || Failure::new(Class::Retry, WORKER, "failed");
        let Failure { fault, class } = failures.pop().unwrap_or_else(unknown);
        job.lost += 1;
        match class {
            Class::Reject => job.failed(HsmError::Rejected(fault)),
            Class::Restart if job.lost < MOST_LOST && !job.is_over() => {
                let mut state = self.state();
                state.waiting.push_front(job);
                self.dispatch(&mut state);
            }
            _ => job.failed(HsmError::Unavailable(fault)),
        }
    }
}
