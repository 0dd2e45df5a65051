//! A refusal of the service, read out of its status and the google.rpc details in it.

use std::time::Duration;

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::advice;

/// What the service said when it refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    code: Code,
    message: String,
    reason: Option<String>,
    /// ErrorInfo metadata, by key.
    metadata: Vec<(String, String)>,
    /// Field (or subject) and what is wrong with it: BadRequest and PreconditionFailure alike.
    violations: Vec<(String, String)>,
    /// Whose limit was reached, and what it allows: QuotaFailure.
    limits: Vec<(String, String)>,
    retry_after_seconds: Option<f64>,
    request_id: Option<String>,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let mut metadata: Vec<_> = info
            .into_iter()
            .flat_map(|info| info.metadata.clone())
            .collect();
        metadata.sort();
        let retry = details.retry_info().and_then(|retry| retry.retry_delay);
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info
                .map(|info| info.reason.clone())
                .filter(|reason| !reason.is_empty()),
            metadata,
            violations: violations(&details),
            limits: limits(&details),
            retry_after_seconds: retry.map(|delay| delay.as_secs_f64()),
            request_id: request_id(status, &details),
        }
    }
}

/// RequestInfo's, else the one that every reply carries.
fn request_id(status: &Status, details: &ErrorDetails) -> Option<String> {
    let header = status
        .metadata()
        .get("x-request-id")
        .and_then(|value| value.to_str().ok());
    let detail = details
        .request_info()
        .map(|request| request.request_id.as_str());
    detail.or(header).map(str::to_owned)
}

fn violations(details: &ErrorDetails) -> Vec<(String, String)> {
    let fields = details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default();
    let conditions = details
        .precondition_failure()
        .map(|failure| failure.violations.as_slice())
        .unwrap_or_default();
    let fields = fields
        .iter()
        .map(|field| (&field.field, &field.description));
    let conditions = conditions
        .iter()
        .map(|condition| (&condition.subject, &condition.description));
    let all = fields.chain(conditions);
    all.map(|(what, rule)| (what.clone(), rule.clone()))
        .collect()
}

fn limits(details: &ErrorDetails) -> Vec<(String, String)> {
    let quotas = details
        .quota_failure()
        .map(|failure| failure.violations.as_slice())
        .unwrap_or_default();
    let named = quotas.iter();
    named
        .map(|quota| (quota.subject.clone(), quota.description.clone()))
        .collect()
}

impl Refusal {
    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The stable reason of ErrorInfo.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// When the service takes the same call again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.wait()?).ok()
    }

    pub(super) fn headline(&self) -> String {
        let reason = self
            .reason
            .as_deref()
            .map(|reason| format!(" {reason}"))
            .unwrap_or_default();
        format!("the service refused: {}{reason}", name(self.code))
    }

    pub(super) fn rows(&self) -> Vec<(&str, String)> {
        let mut rows = Vec::new();
        if !self.message.is_empty() {
            rows.push(("message", self.message.clone()));
        }
        rows.extend(
            self.violations
                .iter()
                .map(|(field, rule)| (field.as_str(), rule.clone())),
        );
        rows.extend(
            self.metadata
                .iter()
                .map(|(key, value)| (key.as_str(), value.clone())),
        );
        let limits = self.limits.iter();
        rows.extend(limits.map(|(scope, rule)| ("limit", format!("{scope}: {rule}"))));
        if let Some(seconds) = self.wait() {
            rows.push(("retry", format!("after {seconds} s, with the same content")));
        }
        if let Some(id) = &self.request_id {
            rows.push(("request id", id.clone()));
        }
        rows.push(("way out", self.way_out()));
        rows
    }

    /// The time until the same call may be made again, seconds. Rounded up: sooner would be refused again.
    fn wait(&self) -> Option<f64> {
        let seconds = self.retry_after_seconds;
        seconds.map(|seconds| (seconds * 1000.0).ceil() / 1000.0)
    }

    fn way_out(&self) -> String {
        let advice = advice::on(self.code, self.reason());
        match (self.reason(), self.wait()) {
            (Some("RATE_LIMITED"), Some(seconds)) => {
                format!("wait {seconds} s and call again with the same content; {advice}")
            }
            _ => advice.to_owned(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let violations: Vec<_> = self
            .violations
            .iter()
            .map(|(field, rule)| json!({"field": field, "description": rule}))
            .collect();
        let limits = self.limits.iter();
        let limits = limits.map(|(scope, rule)| json!({"scope": scope, "rule": rule}));
        json!({
            "kind": "refused",
            "code": name(self.code),
            "reason": self.reason,
            "message": self.message,
            "violations": violations,
            "limits": limits.collect::<Vec<_>>(),
            "metadata": self.metadata.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "retry_after_seconds": self.retry_after_seconds,
            "request_id": self.request_id,
            "way_out": self.way_out(),
        })
    }
}

/// The name of a code in the words of google.rpc.Code.
pub(crate) fn name(code: Code) -> &'static str {
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
