//! Refusals of the service, demanded: a call that succeeds, or is refused for another reason, is the failure.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{failure::Failure, until::until};

/// How long a client tries one call: a start, on a busy machine, and some.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stable reason in a status (google.rpc.ErrorInfo).
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
}

/// The refusal's code and reason in words, if the call was refused with just these.
///
/// # Errors
/// It was not refused, or otherwise.
pub fn demand<T>(called: Result<T, Status>, code: Code, expected: &str) -> Result<String, Failure> {
    let Err(status) = called else {
        return Err(Failure::new(format!(
            "was NOT refused; it must be, with {code:?} {expected}"
        )));
    };
    let found = reason(&status);
    if status.code() == code && found.as_deref() == Some(expected) {
        return Ok(format!("refused: {expected}"));
    }
    Err(Failure::new(format!(
        "refused with {status:?}, must be {code:?} {expected}"
    )))
}

/// Whose rate limit a status names (google.rpc.QuotaFailure), and the wait that it promises (google.rpc.RetryInfo).
///
/// # Errors
/// It is another refusal, or does not say both.
pub fn rate_limit(status: &Status) -> Result<(String, Duration), Failure> {
    demand(
        Err::<(), _>(status.clone()),
        Code::ResourceExhausted,
        "RATE_LIMITED",
    )?;
    let details = status.get_error_details();
    let quota = details.quota_failure().map(|failure| &failure.violations);
    let scope = quota
        .and_then(|violations| violations.first())
        .map(|violation| violation.subject.clone());
    let wait = details.retry_info().and_then(|retry| retry.retry_delay);
    scope
        .zip(wait)
        .ok_or_else(|| Failure::new(format!("says not of whom or how long: {details:?}")))
}

/// The fields that a status blames (google.rpc.BadRequest).
#[must_use]
pub fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let fields = violations.into_iter().flatten();
    fields.map(|violation| violation.field.clone()).collect()
}

/// The same as [`demand`] for INVALID_ARGUMENT, blaming `field` alone.
///
/// # Errors
/// It was not refused, or otherwise.
pub fn demand_field<T>(
    called: Result<T, Status>,
    expected: &str,
    field: &str,
) -> Result<(), Failure> {
    let blamed = called.as_ref().err().map(fields).unwrap_or_default();
    demand(called, Code::InvalidArgument, expected)?;
    if blamed == [field] {
        return Ok(());
    }
    Err(Failure::new(format!("blames {blamed:?}, must be {field}")))
}

/// Whether the same call may be made again: the connection broke, or the service says so.
#[must_use]
pub fn may_be_repeated(status: &Status) -> bool {
    // Only the service gives reasons; a status without one was made by the transport.
    reason(status).is_none()
        || matches!(
            status.code(),
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
        )
}

/// Calls until an answer that is final, whatever becomes of the service meanwhile.
///
/// # Errors
/// There is none in a minute.
pub async fn persist<T>(
    mut call: impl AsyncFnMut() -> Result<T, Status>,
) -> Result<Result<T, Status>, Failure> {
    until("a final answer", PATIENCE, async || {
        Ok(match call().await {
            Err(status) if may_be_repeated(&status) => None,
            last => Some(last),
        })
    })
    .await
}
