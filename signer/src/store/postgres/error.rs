//! Owns what a failure of PostgreSQL means: to the transaction that meets it, to the callers of the store, and what its
//! operator can do about it.

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

use crate::{metrics::Retried, store::StoreError};

/// Why a transaction did not do its work.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Another was in its way, and it was rolled back: done again it may go well.
    Again(Retried, StoreError),
    /// The connection is gone; whether a commit that was under way took place is not known.
    Lost(StoreError),
    /// Done again it would fail again.
    Final(StoreError),
}

impl Failure {
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Again(_, error) | Self::Lost(error) | Self::Final(error) => error,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Some(state) = error.code() else {
            return without_code(&error);
        };
        let text = said(&error);
        match *state {
            SqlState::T_R_SERIALIZATION_FAILURE => {
                Self::Again(Retried::Serialization, StoreError::Busy)
            }
            SqlState::T_R_DEADLOCK_DETECTED => Self::Again(Retried::Deadlock, StoreError::Busy),
            // Another replica recorded the same at the same time: seen again, it is what stands.
            SqlState::UNIQUE_VIOLATION => {
                Self::Again(Retried::Duplicate, StoreError::Violated(text))
            }
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Lost(unavailable(
                "the server stops or starts: nothing else is needed",
                &text,
            )),
            SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => {
                Self::Final(StoreError::Busy)
            }
            _ => Self::Final(of_class(state, &text)),
        }
    }
}

fn of_class(state: &SqlState, text: &str) -> StoreError {
    let advice = match *state {
        SqlState::DISK_FULL => "its disk is full: free space there, nothing else is needed",
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "it is a standby: name the primary, or all hosts and target_session_attrs=read-write"
        }
        SqlState::TOO_MANY_CONNECTIONS => "it takes no more connections: raise max_connections",
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "the role may not do this: give it the database's schema"
        }
        SqlState::UNDEFINED_TABLE => {
            "it holds no record: make one with `signer --config FILE migrate`"
        }
        SqlState::UNDEFINED_DATABASE => "there is no such database: make it with createdb",
        // The rest by its class (PostgreSQL, appendix A).
        _ => match state.code().get(..2) {
            Some("23") => return StoreError::Violated(text.to_owned()),
            Some("28") => "it does not let this role in: check user, password file and pg_hba.conf",
            Some("08") => "the connection to it fails: check the network",
            Some("53") => "it lacks resources: see its log",
            Some("58") => "its disk fails: see its log, then check the file system",
            _ => return StoreError::Corrupt(text.to_owned()),
        },
    };
    unavailable(advice, text)
}

fn without_code(error: &Error) -> Failure {
    let text = said(error);
    let input_output = |error: &Error| {
        error
            .source()
            .is_some_and(|source| source.is::<std::io::Error>())
    };
    if error.is_closed() || input_output(error) {
        let advice = "the connection to it is gone: check that the server runs and is reached";
        return Failure::Lost(unavailable(advice, &text));
    }
    Failure::Final(StoreError::Corrupt(text))
}

/// What happened, in the words of the server and of what lies below.
pub(super) fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}

/// It cannot be used now; what to do, and what was said.
pub(super) fn unavailable(advice: &str, said: &str) -> StoreError {
    StoreError::Unavailable(format!("{advice} ({said})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_operator_can_mend_is_unavailable_and_says_how() {
        for (state, advice) in [
            (SqlState::DISK_FULL, "free space"),
            (SqlState::READ_ONLY_SQL_TRANSACTION, "name the primary"),
            (SqlState::TOO_MANY_CONNECTIONS, "raise max_connections"),
            (SqlState::INVALID_PASSWORD, "pg_hba.conf"),
            (SqlState::UNDEFINED_TABLE, "migrate"),
            (SqlState::IO_ERROR, "file system"),
        ] {
            let error = of_class(&state, "said");
            assert!(
                matches!(&error, StoreError::Unavailable(text) if text.contains(advice) && text.contains("said")),
                "{error:?}"
            );
        }
    }

    #[test]
    fn what_breaks_a_rule_is_violated_and_the_rest_is_corrupt() {
        assert!(matches!(
            of_class(&SqlState::CHECK_VIOLATION, ""),
            StoreError::Violated(_)
        ));
        assert!(matches!(
            of_class(&SqlState::DATA_CORRUPTED, ""),
            StoreError::Corrupt(_)
        ));
    }
}
