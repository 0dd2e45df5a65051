//! Why a command did not do its work, with the way out. Every error of this program ends here.

mod advice;
mod refusal;

use std::{error::Error as _, fmt::Display, process::ExitCode};

use semops_objects::order::OrderError;
use serde_json::{Value, json};
use tonic::{Code, Status};

pub use refusal::Refusal;
pub(crate) use refusal::name as code_name;

use crate::{
    connection::{self, ConnectionError},
    custody::Untrue,
    files::FileError,
    output::{aligned, printable},
    profile::ProfileError,
};

/// A command that failed, grouped by exit code.
#[derive(Debug)]
pub enum Failure {
    /// What the user gave cannot be used: an option, a file, the profile. Exit code 2.
    Usage {
        /// What is wrong.
        message: String,
        /// The way out.
        advice: String,
    },
    /// No answer: no connection, no TLS, or nothing before the deadline. Exit code 3.
    Unreachable {
        /// What failed.
        message: String,
        /// The way out.
        advice: String,
    },
    /// The service refused. Exit code 1.
    Refused(Box<Refusal>),
    /// The service shows what was not approved. Exit code 6.
    NotApproved {
        /// What is wrong with it.
        message: String,
    },
    /// The service answered something that this program cannot rely on. Exit code 1.
    BadAnswer {
        /// What is wrong with it.
        message: String,
        /// The way out.
        advice: &'static str,
    },
}

/// The way out when the service shows what was not approved.
const NOT_APPROVED: &str = "sign nothing on what it shows; tell the other custodians and the operator by another way, and keep this \
    output. After a restore from a backup the operator brings the missing changes back: signer change load FILE";

impl Failure {
    /// Something that the user gave cannot be used.
    #[must_use]
    pub fn usage(message: impl Display, advice: &str) -> Self {
        Self::Usage {
            message: message.to_string(),
            advice: advice.to_owned(),
        }
    }

    /// The service's answer lacks something or contradicts the request.
    #[must_use]
    pub fn bad_answer(message: impl Display) -> Self {
        Self::BadAnswer {
            message: message.to_string(),
            advice: "this program and the service do not fit: compare their versions",
        }
    }

    /// The service's answer contradicts itself: its digests and names are computed again here.
    #[must_use]
    pub fn untrue(message: impl Display) -> Self {
        Self::BadAnswer {
            message: message.to_string(),
            advice: "do not rely on anything in this answer; tell the operator of the service, who compares it with the record",
        }
    }

    /// 1, 2, 3 or 6, as `semopsctl --help` says.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) | Self::BadAnswer { .. } => 1,
            Self::Usage { .. } => 2,
            Self::Unreachable { .. } => 3,
            Self::NotApproved { .. } => 6,
        })
    }

    /// The lines for people, or the JSON object; each with its line end.
    #[must_use]
    pub fn render(&self, json: bool) -> String {
        if json {
            return format!("{}\n", json!({ "error": self.json() }));
        }
        let (headline, rows) = match self {
            Self::Usage { message, advice } | Self::Unreachable { message, advice } => {
                (message.clone(), vec![("way out", advice.clone())])
            }
            Self::Refused(refusal) => (refusal.headline(), refusal.rows()),
            Self::NotApproved { message } => (
                format!("the service shows what was not approved: {message}"),
                vec![("way out", NOT_APPROVED.to_owned())],
            ),
            Self::BadAnswer { message, advice } => (
                format!("unexpected answer: {message}"),
                vec![("way out", (*advice).to_owned())],
            ),
        };
        format!("error: {}\n{}", printable(&headline), aligned(&rows))
    }

    fn json(&self) -> Value {
        match self {
            Self::Usage { message, advice } => {
                json!({"kind": "usage", "message": message, "way_out": advice})
            }
            Self::Unreachable { message, advice } => {
                json!({"kind": "unreachable", "message": message, "way_out": advice})
            }
            Self::Refused(refusal) => refusal.json(),
            Self::NotApproved { message } => {
                json!({"kind": "not_approved", "message": message, "way_out": NOT_APPROVED})
            }
            Self::BadAnswer { message, advice } => {
                json!({"kind": "bad_answer", "message": message, "way_out": advice})
            }
        }
    }
}

impl From<Status> for Failure {
    /// A status with a source was made on this side, from a transport error; all others are the service's.
    fn from(status: Status) -> Self {
        let Some(source) = status.source() else {
            return Self::Refused(Box::new(Refusal::from(&status)));
        };
        if status.code() == Code::Cancelled {
            return Self::Unreachable {
                message: "no answer before the deadline".to_owned(),
                advice: "call again, with the same content: what was done is answered, nothing is done twice".to_owned(),
            };
        }
        Self::Unreachable {
            message: format!("no answer: {}", connection::cause(source)),
            advice: connection::advice(source).to_owned(),
        }
    }
}

impl From<Untrue> for Failure {
    fn from(untrue: Untrue) -> Self {
        Self::NotApproved {
            message: untrue.to_string(),
        }
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        let message = error.to_string();
        match error {
            ConnectionError::File(_) => {
                Self::usage(message, "the profile names this file: put it there")
            }
            ConnectionError::Material { .. } => {
                Self::usage(message, "the profile names this file: put the right one")
            }
            ConnectionError::Unreachable { source, .. } => Self::Unreachable {
                message,
                advice: connection::advice(&source).to_owned(),
            },
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::usage(error, "name another file, or change that one")
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        Self::usage(
            error,
            "a profile holds endpoint, server, root, certificate, key and, if wanted, timeout_seconds and ceremony",
        )
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        Self::usage(
            format!("not an order: {error}"),
            "change what the message names",
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::time::Duration;

    use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

    use super::*;

    fn refused(code: Code, details: ErrorDetails) -> Failure {
        Failure::from(Status::with_error_details(
            code,
            "said\u{7} the service",
            details,
        ))
    }

    #[test]
    fn a_refusal_shows_code_reason_fields_request_id_and_way_out() {
        let mut details = ErrorDetails::with_error_info(
            "KEY_NOT_ACCEPTABLE",
            "semops.signer.v1",
            [("k".to_owned(), "v".to_owned())],
        );
        details
            .add_bad_request_violation("certification_request", "the curve is P-384")
            .set_request_info("0190-req", "");
        let failure = refused(Code::InvalidArgument, details);
        assert_eq!(
            failure.render(false),
            "error: the service refused: INVALID_ARGUMENT KEY_NOT_ACCEPTABLE\n\
             message                said\\u{7} the service\n\
             certification_request  the curve is P-384\n\
             k                      v\n\
             request id             0190-req\n\
             way out                make a new P-256 key that was never certified before, and a new request with it\n"
        );
        let json: Value = serde_json::from_str(&failure.render(true)).unwrap();
        assert_eq!(json["error"]["kind"], "refused");
        assert_eq!(json["error"]["code"], "INVALID_ARGUMENT");
        assert_eq!(json["error"]["reason"], "KEY_NOT_ACCEPTABLE");
        assert_eq!(
            json["error"]["violations"][0]["field"],
            "certification_request"
        );
        assert_eq!(json["error"]["request_id"], "0190-req");
        assert_eq!(json["error"]["retry_after_seconds"], Value::Null);
        assert_eq!(failure.exit_code(), ExitCode::from(1));
    }

    #[test]
    fn retry_advice_is_shown_in_seconds() {
        let failure = refused(
            Code::ResourceExhausted,
            ErrorDetails::with_retry_info(Some(Duration::from_millis(1500))),
        );
        let text = failure.render(false);
        assert!(
            text.contains("retry    after 1.5 s, with the same content\n"),
            "{text}"
        );
        let odd = refused(
            Code::ResourceExhausted,
            ErrorDetails::with_retry_info(Some(Duration::from_micros(498_001))),
        );
        // Never sooner than the service says.
        assert!(odd.render(false).contains("after 0.499 s, "), "{odd:?}");
        let json: Value = serde_json::from_str(&failure.render(true)).unwrap();
        assert_eq!(json["error"]["retry_after_seconds"], 1.5);
    }

    #[test]
    fn a_limit_names_its_scope_the_time_to_wait_and_where_to_look() {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(2)));
        details
            .set_error_info("RATE_LIMITED", "semops.signer.v1", [])
            .add_quota_failure_violation("institution:alfa", "2000 at once");
        let failure = refused(Code::ResourceExhausted, details);
        let text = failure.render(false);
        for said in [
            "\nlimit    institution:alfa: 2000 at once\n",
            "\nretry    after 2 s, with the same content\n",
            "\nway out  wait 2 s and call again with the same content; `semopsctl status` shows the limits",
        ] {
            assert!(text.contains(said), "{text}");
        }
        let json: Value = serde_json::from_str(&failure.render(true)).unwrap();
        let limit = json!({"scope": "institution:alfa", "rule": "2000 at once"});
        assert_eq!(json["error"]["limits"], json!([limit]));
    }

    #[test]
    fn what_contradicts_itself_is_not_relied_on() {
        let failure = Failure::untrue("the digest is another");
        assert_eq!(failure.exit_code(), ExitCode::from(1));
        let json: Value = serde_json::from_str(&failure.render(true)).unwrap();
        assert_eq!(json["error"]["kind"], "bad_answer");
        let way_out = json["error"]["way_out"].as_str().unwrap();
        assert!(way_out.starts_with("do not rely on"), "{way_out}");
    }

    #[test]
    fn a_bare_status_still_names_a_way_out() {
        for code in 1..=16 {
            let failure = Failure::from(Status::new(Code::from_i32(code), ""));
            let text = failure.render(false);
            assert!(text.contains("way out  "), "{text}");
            assert_eq!(text.lines().count(), 2, "{text}");
        }
    }

    #[test]
    fn what_the_transport_says_is_no_refusal() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let failure = Failure::from(Status::from_error(Box::new(refused)));
        assert_eq!(failure.exit_code(), ExitCode::from(3));
        assert!(
            failure
                .render(false)
                .contains("no answer: connection refused")
        );

        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let failure = Failure::from(Status::from_error(Box::new(std::io::Error::other(alert))));
        assert_eq!(failure.exit_code(), ExitCode::from(3));
        assert!(
            failure
                .render(false)
                .contains("does not take the profile's `certificate`")
        );

        let failure = Failure::from(Status::from_error(Box::new(tonic::TimeoutExpired(()))));
        assert!(
            failure
                .render(false)
                .starts_with("error: no answer before the deadline\n")
        );
        assert_eq!(failure.exit_code(), ExitCode::from(3));
    }

    #[test]
    fn violations_keep_their_reason() {
        let violation = FieldViolation::new("order_jws", "unknown member");
        let failure = refused(
            Code::InvalidArgument,
            ErrorDetails::with_bad_request(vec![violation]),
        );
        assert!(
            failure
                .render(false)
                .contains("order_jws  unknown member\n")
        );
    }
}
