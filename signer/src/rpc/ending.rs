//! Owns how a reply ended, read from the very headers that the caller gets, so that what is measured is what was said.

use http::Response;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    error::Reason,
    rpc::status::{DETAILS_HEADER, REASONS},
};

/// The code of a reply, and the reason if it is a refusal. A reply with a message has its status in the trailers, and it is
/// OK then.
pub(super) fn ending<B>(response: &Response<B>) -> (Code, Option<&'static str>) {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return (Code::Ok, None);
    };
    let code = status.code();
    if code == Code::Ok {
        return (code, None);
    }
    let details = status.get_details_error_info();
    let reason = details.and_then(|info| known(&info.reason));
    (code, Some(reason.unwrap_or("UNKNOWN")))
}

/// A reason as the word of this program that it is.
fn known(reason: &str) -> Option<&'static str> {
    let ours = Reason::named(reason).map(Reason::name);
    ours.or_else(|| REASONS.iter().copied().find(|name| *name == reason))
}

/// The code of a refusal that the transport made by itself: ours all carry details.
pub(super) fn transports_own<B>(response: &Response<B>) -> Option<Code> {
    let code = Code::from_bytes(response.headers().get("grpc-status")?.as_bytes());
    (code != Code::Ok && !response.headers().contains_key(DETAILS_HEADER)).then_some(code)
}

/// The name of a code, as google.rpc.Code has it.
pub(super) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{
        error::Error,
        ids::RequestId,
        metrics::catalog::Label,
        rpc::{
            method::Method,
            status::{Unreached, status},
        },
    };

    fn of(status: Status) -> (Code, Option<&'static str>) {
        ending(&status.into_http::<()>())
    }

    #[test]
    fn what_is_measured_is_what_the_caller_reads() {
        let id = RequestId::new();
        for reason in Reason::ALL {
            let told = of(status(Error::Precondition(*reason), id));
            assert_eq!(told, (Code::FailedPrecondition, Some(reason.name())));
        }
        let others = [
            (status(Error::DeadlineExceeded, id), "DEADLINE_EXCEEDED"),
            (status(Error::Stale, id), "DOCUMENTS_MOVING"),
            (status(Error::internal("a cause"), id), "INTERNAL"),
            (Unreached::MalformedMessage.status(id), "MALFORMED_MESSAGE"),
            (Unreached::MessageTooLarge.status(id), "MESSAGE_TOO_LARGE"),
            (Unreached::MethodUnknown.status(id), "METHOD_UNKNOWN"),
            (Unreached::ServiceUnknown.status(id), "SERVICE_UNKNOWN"),
            (Unreached::NotGrpc.status(id), "NOT_GRPC"),
            (Unreached::MalformedTimeout.status(id), "MALFORMED_TIMEOUT"),
            (Unreached::Other(Code::Aborted).status(id), "TRANSPORT"),
        ];
        assert_eq!(others.len(), REASONS.len());
        for (status, reason) in others {
            let code = status.code();
            assert_eq!(of(status), (code, Some(reason)));
        }
        assert_eq!(ending(&Response::new(())), (Code::Ok, None));
        let foreign = Status::new(Code::Aborted, "of nobody");
        assert_eq!(of(foreign), (Code::Aborted, Some("UNKNOWN")));
    }

    /// The catalogue sets memory aside by these numbers.
    #[test]
    fn labels_fit_the_catalogue() {
        // With OK, a client that went away, and a reason that is not known.
        let results = Reason::ALL.len() + REASONS.len() + 3;
        assert!(results <= Label::Result.values(0), "{results}");
        assert!(Method::ALL.len() < Label::Method.values(0));
    }
}
