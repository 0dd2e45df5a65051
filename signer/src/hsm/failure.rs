//! Owns what a failed call means for the work under way; the codes themselves are classed where the calls are made.

use super::error::Fault;

/// What to do after a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A fresh session may do what this one could not.
    Retry,
    /// The token no longer counts us as logged in.
    Relogin,
    /// Only a new C_Initialize helps. That must not run beside the calls of other threads, so the worker process is
    /// replaced.
    Restart,
    /// This request cannot be done; the next one may.
    Reject,
    /// A person has to act first. Nothing is tried until the service is started again.
    Fatal,
}

/// A call that failed, and what to do about it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) class: Class,
}

impl Failure {
    pub(super) fn new(class: Class, call: &str, code: impl Into<String>) -> Self {
        let fault = Fault::new(call, code);
        Self { fault, class }
    }
}
