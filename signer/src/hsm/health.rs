//! Owns how a token fares, and what that says to people.

use std::fmt;
use std::time::Duration;

use super::error::Fault;

/// How a token fares. Display says what failed and what to do; nothing while it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last call succeeded.
    Serving,
    /// The last call failed; the next one is tried with a fresh session.
    Failing(Fault),
    /// No worker process serves the token: the last one ended in this way, or none could be started for this reason.
    /// Another one is being started, again and again.
    Replacing(Fault),
    /// A call has lasted this long and still does.
    Stuck(Duration),
    /// The token refused the login or failed for good: nothing is tried until the service is started again.
    Fatal(Fault),
    /// There is no such token.
    Unknown,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving => Ok(()),
            Self::Failing(fault) => write!(
                f,
                "{fault}: the next call is tried in a fresh session; if it goes on, {}",
                fault.advice()
            ),
            Self::Replacing(fault) => write!(
                f,
                "{fault}: another worker process is being started; if it goes on, {}",
                fault.advice()
            ),
            Self::Stuck(time) => write!(
                f,
                "a call has not returned for {} s: look at the HSM and the way to it; the worker process is killed and \
                 replaced after `hung_seconds` under [hsm]",
                time.as_secs()
            ),
            Self::Fatal(fault) => write!(
                f,
                "{fault}: nothing is tried any more; {}, then start the service again",
                fault.advice()
            ),
            Self::Unknown => f.write_str(
                "there is no such token: name it under [[institutions]] of the configuration",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_does_not_serve_says_what_failed_and_what_to_do() {
        let fault = || Fault::new("C_Login", "CKR_PIN_INCORRECT");
        assert_eq!(Health::Serving.to_string(), "");
        for (health, words) in [
            (
                Health::Failing(fault()),
                ["C_Login: CKR_PIN_INCORRECT", "correct the PIN file"],
            ),
            (
                Health::Replacing(fault()),
                ["C_Login: CKR_PIN_INCORRECT", "is being started"],
            ),
            (
                Health::Stuck(Duration::from_secs(31)),
                ["31 s", "killed and replaced"],
            ),
            (
                Health::Fatal(fault()),
                ["correct the PIN file", "start the service again"],
            ),
            (Health::Unknown, ["no such token", "configuration"]),
        ] {
            let said = health.to_string();
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}
