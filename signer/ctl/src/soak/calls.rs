//! A call repeated until its answer is final, whatever becomes of the service meanwhile.

use std::time::{Duration, Instant};

use tonic::Status;

use super::ledger::Ledger;
use crate::bench::{outcome::Outcome, refusal::Refused};

/// How long a caller waits who is not told how long.
const PAUSE: Duration = Duration::from_millis(100);

/// Calls, counted in a ledger.
#[derive(Clone, Copy, Debug)]
pub struct Calls<'a> {
    /// Where they are counted.
    pub ledger: &'a Ledger,
    /// A call without a final answer for so long is a finding.
    pub patience: Duration,
}

impl Calls<'_> {
    /// Calls until the service gives what was asked for, or refuses for good: then with its reason.
    ///
    /// # Errors
    /// The reason of the final refusal; none if there was no final answer, which is a finding.
    pub async fn persist<T, F>(&self, what: &str, call: impl Fn() -> F) -> Result<T, Option<String>>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let since = Instant::now();
        loop {
            let refused = match call().await {
                Ok(answer) => {
                    self.ledger.answered();
                    return Ok(answer);
                }
                Err(status) => Refused::from(status),
            };
            let (code, reason) = named(&refused.outcome);
            self.ledger.otherwise(code, reason.unwrap_or_default());
            if let (Some(reason), false) = (reason, refused.may_be_repeated()) {
                if code == "INTERNAL" {
                    self.ledger.finding(format!("{what}: INTERNAL {reason}"));
                }
                return Err(Some(reason.to_owned()));
            }
            if since.elapsed() > self.patience {
                let seconds = self.patience.as_secs();
                self.ledger
                    .finding(format!("{what}: no final answer for {seconds} s"));
                return Err(None);
            }
            self.ledger.count(|counts| &mut counts.repeated);
            tokio::time::sleep(refused.retry_after.unwrap_or(PAUSE)).await;
        }
    }
}

/// The code and the service's reason, or what this side saw instead of an answer.
fn named(outcome: &Outcome) -> (&str, Option<&str>) {
    match outcome {
        Outcome::Refused { code, reason } => (code, reason.as_deref()),
        Outcome::Unanswered(why) => ("NONE", Some(why)),
        Outcome::Done | Outcome::Wrong => ("OK", None),
    }
}
