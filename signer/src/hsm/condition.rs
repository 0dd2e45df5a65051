//! Owns the condition of a token: what failed last, since when, and what that means for jobs and for its health.

use std::time::{Duration, Instant};

use super::error::{Fault, HsmError};
use super::failure::{Class, Failure};
use super::health::Health;
use super::token::Verdict;

/// How a token stands.
pub(super) enum Condition {
    /// The last call succeeded, or none was made yet.
    Serving,
    /// Calls have failed since then, and none succeeded.
    Failed(Failure, Instant),
    /// No worker process serves.
    Down(Fault, Down),
    /// The service ends.
    Stopping,
}

/// What becomes of jobs while no worker process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Down {
    /// They wait: another process is being started.
    Replacing,
    /// They are refused: none could be started. It is tried again.
    NotReplaced,
}

impl Condition {
    /// A call failed. What is fatal stays; a refusal says nothing of the token.
    pub(super) fn failed(&mut self, failure: Failure) {
        let stays = match self {
            Self::Stopping => true,
            Self::Failed(first, _) => first.class == Class::Fatal,
            Self::Serving | Self::Down(..) => false,
        };
        if failure.class == Class::Reject || stays {
            return;
        }
        let since = match self {
            Self::Failed(_, since) => *since,
            _ => Instant::now(),
        };
        *self = Self::Failed(failure, since);
    }

    /// A call succeeded; whether that is news.
    pub(super) fn succeeded(&mut self) -> bool {
        let news = matches!(self, Self::Failed(failure, _) if failure.class != Class::Fatal);
        if news {
            *self = Self::Serving;
        }
        news
    }

    /// A worker process serves; what it can do, its calls show.
    pub(super) fn up(&mut self) {
        if !self.is_over() {
            *self = Self::Serving;
        }
    }

    /// No worker process serves any more.
    pub(super) fn down(&mut self, fault: Fault, down: Down) {
        if !self.is_over() {
            *self = Self::Down(fault, down);
        }
    }

    pub(super) fn stop(&mut self) {
        *self = Self::Stopping;
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping)
    }

    /// Nothing is tried any more.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Stopping => true,
            Self::Failed(failure, _) => failure.class == Class::Fatal,
            Self::Serving | Self::Down(..) => false,
        }
    }

    /// Whether jobs are taken.
    pub(super) fn takes_jobs(&self) -> Result<(), HsmError> {
        match self {
            Self::Stopping => Err(HsmError::Stopped),
            Self::Failed(failure, _) if failure.class == Class::Fatal => {
                Err(HsmError::Unavailable(failure.fault.clone()))
            }
            Self::Down(fault, Down::NotReplaced) => Err(HsmError::Unavailable(fault.clone())),
            Self::Serving | Self::Failed(..) | Self::Down(_, Down::Replacing) => Ok(()),
        }
    }

    /// What becomes of the worker process that could not mend `last`.
    pub(super) fn verdict(&self, last: &Failure, mending: Duration) -> Verdict {
        let replace = || Verdict::Replace(last.fault.clone());
        match (last.class, self) {
            (Class::Fatal, _) => Verdict::End,
            (Class::Restart, _) => replace(),
            (Class::Retry | Class::Relogin, Self::Failed(_, since))
                if since.elapsed() >= mending =>
            {
                replace()
            }
            _ => Verdict::GoOn,
        }
    }

    pub(super) fn health(&self, longest: Duration, stuck_after: Duration) -> Health {
        match self {
            Self::Failed(failure, _) if failure.class == Class::Fatal => {
                Health::Fatal(failure.fault.clone())
            }
            _ if longest >= stuck_after => Health::Stuck(longest),
            Self::Failed(failure, _) => Health::Failing(failure.fault.clone()),
            Self::Down(fault, _) => Health::Replacing(fault.clone()),
            Self::Serving | Self::Stopping => Health::Serving,
        }
    }
}
