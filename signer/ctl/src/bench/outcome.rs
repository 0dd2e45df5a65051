//! How a request ended: done, refused with a code and a reason, or not answered.

use std::time::Duration;

use super::schedule::Kind;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered, and the answer is right.
    Done,
    /// Answered in a way that cannot be relied on.
    Wrong,
    /// The service said no.
    Refused {
        /// The gRPC code.
        code: &'static str,
        /// The stable reason.
        reason: Option<String>,
    },
    /// There was no answer; why, by what this side saw.
    Unanswered(&'static str),
}

impl Outcome {
    /// No answer before the deadline of the call.
    pub const TOO_LATE: Self = Self::Unanswered("DEADLINE");
    /// No connection, or it broke.
    pub const NO_CONNECTION: Self = Self::Unanswered("CONNECTION");
    /// The user did not wait for the answer.
    pub const ABANDONED: Self = Self::Unanswered("ABANDONED");

    /// What is one too many to be told apart.
    #[must_use]
    pub fn other() -> Self {
        Self::Refused {
            code: "OTHER",
            reason: None,
        }
    }

    /// The gRPC code; `NONE` without an answer.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Done | Self::Wrong => "OK",
            Self::Refused { code, .. } => code,
            Self::Unanswered(_) => "NONE",
        }
    }

    /// The reason, if there is one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Wrong => Some("WRONG_ANSWER"),
            Self::Refused { reason, .. } => reason.as_deref(),
            Self::Unanswered(why) => Some(why),
        }
    }
}

/// One request that has ended.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it was.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// When it was due, from the start of the load.
    pub due: Duration,
    /// From that to its end.
    pub latency: Duration,
    /// After what time the service said to call again.
    pub retry_after: Option<Duration>,
}
