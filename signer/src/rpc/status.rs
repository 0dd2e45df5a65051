//! Owns how an error looks from outside: one match from [`Error`] to a gRPC status with google.rpc details, and the same
//! details for what the transport refuses before a method is reached.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::{error, warn};

use crate::{
    error::{Error, Reason, Violation},
    ids::RequestId,
    limits::{RateLimited, Rule},
};

/// `google.rpc.ErrorInfo.domain` of every reason.
const DOMAIN: &str = "semops.signer.v1";

/// The reasons that are named here and nowhere else.
pub(crate) const REASONS: [&str; 10] = [
    "MALFORMED_MESSAGE",
    "MESSAGE_TOO_LARGE",
    "METHOD_UNKNOWN",
    "SERVICE_UNKNOWN",
    "NOT_GRPC",
    "MALFORMED_TIMEOUT",
    "TRANSPORT",
    "DEADLINE_EXCEEDED",
    "DOCUMENTS_MOVING",
    "INTERNAL",
];

/// What stands in `grpc-status-details-bin` and no one else sets.
pub(crate) const DETAILS_HEADER: &str = "grpc-status-details-bin";

/// What is refused before a method is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    /// The body is no message of the method.
    MalformedMessage,
    /// The message is longer than any that is taken.
    MessageTooLarge,
    /// No such method.
    MethodUnknown,
    /// A health check of a service that is not here.
    ServiceUnknown,
    /// Not a request of gRPC at all.
    NotGrpc,
    /// `grpc-timeout` is not in the protocol's form.
    MalformedTimeout,
    /// Anything else that the transport says.
    Other(Code),
}

impl Unreached {
    /// What the transport meant by a status of its own.
    pub(crate) fn from_transport(code: Code) -> Self {
        match code {
            // The decoder's word for a body that is no message.
            Code::Internal => Self::MalformedMessage,
            // The decoder's word for a message above its limit.
            Code::OutOfRange => Self::MessageTooLarge,
            Code::Unimplemented => Self::MethodUnknown,
            Code::NotFound => Self::ServiceUnknown,
            other => Self::Other(other),
        }
    }

    const fn parts(self) -> (Code, &'static str, &'static str) {
        match self {
            Self::MalformedMessage => (
                Code::InvalidArgument,
                "MALFORMED_MESSAGE",
                "the body is not the method's request message; encode it as the protos of semops.signer.v1 say",
            ),
            Self::MessageTooLarge => (
                Code::ResourceExhausted,
                "MESSAGE_TOO_LARGE",
                "the message is longer than 64 KiB, or than 8 MiB with a proposal; no request of this service needs as much",
            ),
            Self::MethodUnknown => (
                Code::Unimplemented,
                "METHOD_UNKNOWN",
                "there is no such method here, or not with these options; server reflection lists what there is",
            ),
            Self::ServiceUnknown => (
                Code::NotFound,
                "SERVICE_UNKNOWN",
                "there is no such service here",
            ),
            Self::NotGrpc => (
                Code::InvalidArgument,
                "NOT_GRPC",
                "a gRPC request is a POST of content-type application/grpc",
            ),
            Self::MalformedTimeout => (
                Code::InvalidArgument,
                "MALFORMED_TIMEOUT",
                "grpc-timeout is not 1-8 digits followed by one of H, M, S, m, u and n",
            ),
            Self::Other(code) => (code, "TRANSPORT", "the request could not be read"),
        }
    }

    /// The status that the caller gets.
    pub(crate) fn status(self, request: RequestId) -> Status {
        let (code, reason, text) = self.parts();
        Status::with_error_details(code, text, details(reason, request))
    }
}

/// The status that the caller gets; what stays inside is logged here.
pub(crate) fn status(error: Error, request: RequestId) -> Status {
    let told = |code, reason: Reason| made(code, reason.text(), details(reason.name(), request));
    match error {
        Error::Invalid { reason, violation } => {
            // In the message too: not every client shows the details.
            let Violation { field, description } = violation;
            let text = format!("{}: {field}: {description}", reason.text());
            let mut details = details(reason.name(), request);
            details.add_bad_request_violation(field, description);
            made(Code::InvalidArgument, &text, details)
        }
        Error::Unauthenticated(reason) => told(Code::Unauthenticated, reason),
        Error::Forbidden(reason) => told(Code::PermissionDenied, reason),
        Error::NotFound(reason) => told(Code::NotFound, reason),
        Error::Conflict(reason) => told(Code::AlreadyExists, reason),
        Error::Precondition(reason) => told(Code::FailedPrecondition, reason),
        Error::Refused { reason, why } => refused(reason, &why, request),
        Error::Busy { reason, about } => {
            later(Code::ResourceExhausted, reason, jittered(about), request)
        }
        Error::Limited(refused) => limited(&refused, request),
        Error::Unavailable { reason, cause } => {
            warn!(reason = reason.name(), cause, "not available");
            told(Code::Unavailable, reason)
        }
        // Exact: what is held for all ends for all at once.
        Error::OnHold { reason, left } => later(Code::Unavailable, reason, left, request),
        Error::DeadlineExceeded => made(
            Code::DeadlineExceeded,
            LATE,
            details("DEADLINE_EXCEEDED", request),
        ),
        // A request that met moving documents is run again before it gets here.
        Error::Stale => made(
            Code::Unavailable,
            MOVING,
            details("DOCUMENTS_MOVING", request),
        ),
        Error::Internal(cause) => {
            error!(%cause, "a fault of the service");
            let text = format!("{FAULT} {request}");
            made(Code::Internal, &text, details("INTERNAL", request))
        }
    }
}

const LATE: &str = "the deadline passed; call again with the same content";
const MOVING: &str =
    "the institution's documents are being changed; call again with the same content";
const FAULT: &str = "a fault of the service; its operator finds the cause under the request id";

fn refused(reason: Reason, why: &str, request: RequestId) -> Status {
    let text = format!("{}: {why}", reason.text());
    made(
        Code::FailedPrecondition,
        &text,
        details(reason.name(), request),
    )
}

fn later(code: Code, reason: Reason, left: Duration, request: RequestId) -> Status {
    let mut details = details(reason.name(), request);
    details.set_retry_info(Some(left));
    made(code, reason.text(), details)
}

/// What a window says is exact; of the others nobody can know it.
fn limited(refused: &RateLimited, request: RequestId) -> Status {
    let reason = refused.reason();
    let mut details = details(reason.name(), request);
    details.set_retry_info(Some(match refused.rule {
        Rule::Window(_) => refused.retry_after,
        Rule::InFlight(_) => jittered(refused.retry_after),
    }));
    details.add_quota_failure_violation(refused.scope.to_string(), refused.rule.to_string());
    made(Code::ResourceExhausted, reason.text(), details)
}

/// About `time`: from a half to one and a half of it, so that those who were refused together do not come together.
fn jittered(time: Duration) -> Duration {
    let mut random = [0];
    // Without a random number they come together; that is no reason to tell nobody when.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let [random] = random;
    time / 2 + time * u32::from(random) / 255
}

fn made(code: Code, text: &str, details: ErrorDetails) -> Status {
    Status::with_error_details(code, text, details)
}

fn details(reason: &str, request: RequestId) -> ErrorDetails {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    details.set_request_info(request.to_string(), "");
    details
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{
        domain::limit::{RateLimits, Scope},
        hsm::HsmError,
    };

    #[test]
    fn every_status_carries_reason_and_request() {
        let request = RequestId::new();
        let status = status(Error::Precondition(Reason::DeviceRevoked), request);
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(details.error_info().unwrap().reason, "DEVICE_REVOKED");
        assert_eq!(details.error_info().unwrap().domain, "semops.signer.v1");
        assert_eq!(
            details.request_info().unwrap().request_id,
            request.to_string()
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        let error = Error::invalid(Reason::InvalidField, "device_id", "is no UUID");
        let status = status(error, RequestId::new());
        let details = status.get_error_details();
        let violation = details
            .bad_request()
            .unwrap()
            .field_violations
            .first()
            .unwrap();
        assert_eq!(
            (violation.field.as_str(), violation.description.as_str()),
            ("device_id", "is no UUID")
        );
        assert!(
            status.message().ends_with(": device_id: is no UUID"),
            "{}",
            status.message()
        );
    }

    #[test]
    fn a_fault_keeps_its_cause_inside() {
        let request = RequestId::new();
        let status = status(Error::internal("row 7 of device is corrupt"), request);
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains(&request.to_string()));
        let told = format!(
            "{} {}",
            status.message(),
            String::from_utf8_lossy(status.details())
        );
        assert!(!told.contains("corrupt"), "{told}");
    }

    #[test]
    fn only_a_full_queue_says_when_to_come_again() {
        let busy = status(
            HsmError::QueueFull(Duration::from_secs(1)).into(),
            RequestId::new(),
        );
        let about = busy.get_error_details().retry_info().unwrap().retry_delay;
        assert!(
            (500..=1_500).contains(&about.unwrap().as_millis()),
            "{about:?}"
        );
        let limit = status(
            Error::Precondition(Reason::DeviceAmountPerDay),
            RequestId::new(),
        );
        assert!(limit.get_error_details().retry_info().is_none());
    }

    #[test]
    fn a_rate_limit_names_its_scope_and_the_exact_wait() {
        let refused = RateLimited {
            scope: Scope::Institution("alfa".parse().unwrap()),
            rule: Rule::Window(RateLimits::DEFAULT.institution.iter().next().unwrap()),
            retry_after: Duration::from_nanos(1_900_000_001),
        };
        let in_flight = RateLimited {
            rule: Rule::InFlight(256),
            retry_after: Duration::from_millis(100),
            ..refused.clone()
        };
        let limited = status(refused.into(), RequestId::new());
        let details = limited.get_error_details();
        assert_eq!(limited.code(), Code::ResourceExhausted);
        assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
        let wait = details.retry_info().unwrap().retry_delay.unwrap();
        assert_eq!(wait, Duration::from_nanos(1_900_000_001));
        let [violation] = details.quota_failure().unwrap().violations.as_slice() else {
            panic!("{details:?}");
        };
        assert_eq!(violation.subject, "institution:alfa");
        let rule = "2000 at once, of which 1000 come back in 1 s";
        assert_eq!(violation.description, rule);

        let details = status(in_flight.into(), RequestId::new()).get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "TOO_MANY_IN_FLIGHT");
        let about = details.retry_info().unwrap().retry_delay.unwrap();
        assert!((50..=150).contains(&about.as_millis()), "{about:?}");
    }

    #[test]
    fn the_decoders_words_are_put_right() {
        let code = |code| {
            Unreached::from_transport(code)
                .status(RequestId::new())
                .code()
        };
        assert_eq!(code(Code::Internal), Code::InvalidArgument);
        assert_eq!(code(Code::OutOfRange), Code::ResourceExhausted);
        assert_eq!(code(Code::Unimplemented), Code::Unimplemented);
        assert_eq!(code(Code::Cancelled), Code::Cancelled);
    }
}
