//! Why a request was not answered with what it asked for, as far as the load acts on it.

use std::{error::Error as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{outcome::Outcome, pool::Fate};
use crate::failure::code_name;

/// A request that was refused, or got no answer.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) outcome: Outcome,
    /// RetryInfo of the service.
    pub(crate) retry_after: Option<Duration>,
    /// Whether it is one phone's limit that was met, not the caller's.
    of_device: bool,
    pub(super) status: Option<Box<Status>>,
}

impl From<Status> for Refused {
    /// A status with a source was made on this side, from a transport error; all others are the service's.
    fn from(status: Status) -> Self {
        if status.source().is_some() {
            let outcome = match status.code() {
                Code::Cancelled => Outcome::TOO_LATE,
                _ => Outcome::NO_CONNECTION,
            };
            return Self {
                outcome,
                retry_after: None,
                of_device: false,
                status: Some(Box::new(status)),
            };
        }
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let quota = details.quota_failure();
        let violations = quota.map(|quota| quota.violations.as_slice());
        Self {
            outcome: Outcome::Refused {
                code: code_name(status.code()),
                reason: reason.filter(|reason| !reason.is_empty()),
            },
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            of_device: violations
                .unwrap_or_default()
                .iter()
                .any(|violation| violation.subject.starts_with("device:")),
            status: Some(Box::new(status)),
        }
    }
}

impl Refused {
    pub(super) fn abandoned() -> Self {
        Self {
            outcome: Outcome::ABANDONED,
            retry_after: None,
            of_device: false,
            status: None,
        }
    }

    /// Whether the same request may be sent again with another outcome.
    pub(crate) fn may_be_repeated(&self) -> bool {
        let busy = ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"];
        matches!(self.outcome, Outcome::Unanswered(_)) || busy.contains(&self.outcome.code())
    }

    /// What becomes of a phone whose order was refused at `now`, counted from the start of the load.
    pub(super) fn fate(&self, now: Duration) -> Fate {
        match &self.outcome {
            // It may have been recorded.
            Outcome::Done | Outcome::Wrong | Outcome::Unanswered(_) => Fate::Ordered,
            Outcome::Refused { .. } if self.of_device => {
                Fate::Wait(now.saturating_add(self.retry_after.unwrap_or_default()))
            }
            Outcome::Refused { reason, .. } => {
                let of_phone = |reason: &String| reason.starts_with("DEVICE_");
                if reason.as_ref().is_some_and(of_phone) {
                    Fate::Useless
                } else {
                    Fate::Refused
                }
            }
        }
    }

    /// How long its caller waits before the next request: as long as it was told, or `otherwise` if it was not told how
    /// long. One phone's limit makes no caller wait.
    pub(super) fn pause(&self, otherwise: Duration) -> Option<Duration> {
        let told = self.retry_after.filter(|_| !self.of_device);
        told.or_else(|| (self.may_be_repeated() && !self.of_device).then_some(otherwise))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    const NOW: Duration = Duration::from_secs(5);
    const TOLD: Duration = Duration::from_millis(250);
    const PAUSE: Duration = Duration::from_millis(100);

    fn refused(code: Code, reason: &str, subject: Option<&str>) -> Refused {
        let mut details = ErrorDetails::with_error_info(
            reason,
            "semops.signer.v1",
            HashMap::<String, String>::new(),
        );
        if let Some(subject) = subject {
            details.set_retry_info(Some(TOLD));
            details.add_quota_failure_violation(subject, "too many");
        }
        Refused::from(Status::with_error_details(code, "no", details))
    }

    #[test]
    fn a_callers_limit_makes_the_caller_wait_as_told() {
        let limited = refused(
            Code::ResourceExhausted,
            "RATE_LIMITED",
            Some("caller:spiffe://x/alfa/payments/backend"),
        );
        let expected = Outcome::Refused {
            code: "RESOURCE_EXHAUSTED",
            reason: Some("RATE_LIMITED".to_owned()),
        };
        assert_eq!(limited.outcome, expected);
        assert_eq!(
            (limited.fate(NOW), limited.pause(PAUSE)),
            (Fate::Refused, Some(TOLD))
        );
    }

    #[test]
    fn a_phones_limit_makes_the_phone_wait() {
        let limited = refused(Code::ResourceExhausted, "RATE_LIMITED", Some("device:0190"));
        assert_eq!(limited.fate(NOW), Fate::Wait(NOW + TOLD));
        assert_eq!(limited.pause(PAUSE), None);
        let spent = refused(Code::FailedPrecondition, "DEVICE_ORDERS_PER_DAY", None);
        assert_eq!((spent.fate(NOW), spent.pause(PAUSE)), (Fate::Useless, None));
    }

    #[test]
    fn policy_costs_the_phone_nothing_and_a_full_queue_a_moment() {
        let policy = refused(Code::FailedPrecondition, "PAYEE_NOT_ALLOWED", None);
        assert_eq!(
            (policy.fate(NOW), policy.pause(PAUSE)),
            (Fate::Refused, None)
        );
        assert!(!policy.may_be_repeated());
        let full = refused(Code::ResourceExhausted, "HSM_QUEUE_FULL", None);
        assert_eq!(
            (full.fate(NOW), full.pause(PAUSE)),
            (Fate::Refused, Some(PAUSE))
        );
    }

    #[test]
    fn without_an_answer_the_order_may_count() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let lost = Refused::from(Status::from_error(Box::new(broken)));
        assert_eq!(lost.outcome, Outcome::NO_CONNECTION);
        assert_eq!(
            (lost.fate(NOW), lost.pause(PAUSE)),
            (Fate::Ordered, Some(PAUSE))
        );
        let late = Refused::from(Status::from_error(Box::new(tonic::TimeoutExpired(()))));
        assert_eq!(late.outcome, Outcome::TOO_LATE);
        assert_eq!(Refused::abandoned().fate(NOW), Fate::Ordered);
    }
}
