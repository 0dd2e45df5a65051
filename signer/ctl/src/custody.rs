//! What a custodian does for an institution: the approval key, the history of changes verified from the ceremony file on,
//! and what a change says. Nothing that the service shows is believed: digests, decisions and differences are computed here.

pub mod approver;
pub mod consent;
pub mod history;
pub mod review;
pub mod seen;
pub mod service;
pub mod token;
pub mod told;

#[cfg(test)]
pub(crate) mod specimen;

/// What is shown is not what was approved; the text says what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Untrue(String);

impl Untrue {
    /// For this reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
