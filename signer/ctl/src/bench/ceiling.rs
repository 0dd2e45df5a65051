//! The ceiling: a command that signs in a bare loop with a key of the same token, run before and after the load, and says
//! in JSON how many signatures that gave.

use std::{process::Stdio, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{process::Command, time::timeout};

/// The longest that the command may take.
const LONGEST: Duration = Duration::from_secs(300);
/// Of what it says when it fails, so much is shown.
const SHOWN: usize = 400;

/// What the command measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawLoop {
    /// Signatures made.
    pub signatures: u64,
    /// In this time.
    pub seconds: f64,
    /// Their rate.
    pub per_second: f64,
    /// By so many threads.
    pub threads: u32,
}

/// Both measurements.
#[derive(Clone, Debug)]
pub struct Ceiling {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Before the load.
    pub before: RawLoop,
    /// After it, or why not.
    pub after: Result<RawLoop, String>,
}

impl Ceiling {
    /// Signatures per second, the mean of what was measured.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let before = self.before.per_second;
        self.after
            .as_ref()
            .map_or(before, |after| f64::midpoint(before, after.per_second))
    }

    /// How far the two are apart, as a share of the mean.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        let after = self.after.as_ref().ok()?;
        Some((self.before.per_second - after.per_second).abs() / self.mean())
    }
}

/// The words of a command: one text is split at white space, several are its words as they are.
#[must_use]
pub fn words(given: &[String]) -> Vec<String> {
    match given {
        [line] => line.split_whitespace().map(str::to_owned).collect(),
        words => words.to_vec(),
    }
}

/// Runs the command, without a shell, and reads what it measured.
///
/// # Errors
/// What went wrong, in words.
pub async fn measure(command: &[String]) -> Result<RawLoop, String> {
    let (program, arguments) = command.split_first().ok_or("it is empty")?;
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(LONGEST, run)
        .await
        .map_err(|_| format!("{program} did not end in {} s", LONGEST.as_secs()))?
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return read(&output.stdout).map_err(|rule| format!("{program}: {rule}"));
    }
    let said: String = String::from_utf8_lossy(&output.stderr)
        .trim()
        .chars()
        .take(SHOWN)
        .collect();
    Err(format!("{program}: {}: {said}", output.status))
}

fn read(json: &[u8]) -> Result<RawLoop, String> {
    let measured: RawLoop = serde_json::from_slice(json).map_err(|error| {
        format!(
            "it must print {{\"signatures\", \"seconds\", \"per_second\", \"threads\"}}: {error}"
        )
    })?;
    let RawLoop {
        signatures,
        seconds,
        per_second,
        threads,
    } = measured;
    let sensible = seconds > 0.0 && seconds.is_finite() && per_second > 0.0 && threads > 0;
    let reckoned = super::statistics::number(signatures) / seconds;
    if sensible && (per_second / reckoned - 1.0).abs() < 0.01 {
        return Ok(measured);
    }
    Err(format!(
        "{signatures} signatures in {seconds} s by {threads} threads are not {per_second} per second"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn raw(per_second: f64) -> RawLoop {
        RawLoop {
            signatures: 1,
            seconds: 1.0,
            per_second,
            threads: 1,
        }
    }

    #[test]
    fn what_the_loop_prints_is_read() {
        let json = br#"{"signatures": 29500, "seconds": 2.0, "per_second": 14750.0, "threads": 2}"#;
        let measured = read(json).unwrap();
        assert_eq!((measured.signatures, measured.threads), (29_500, 2));
    }

    #[test]
    fn anything_else_is_refused() {
        for json in [
            "",
            "14750",
            r#"{"per_second": 14750.0}"#,
            r#"{"signatures": 29500, "seconds": 0.0, "per_second": 14750.0, "threads": 1}"#,
            r#"{"signatures": 29500, "seconds": 2.0, "per_second": 29500.0, "threads": 1}"#,
            r#"{"signatures": 29500, "seconds": 2.0, "per_second": 14750.0, "threads": 0}"#,
            r#"{"signatures": 0, "seconds": 2.0, "per_second": 0.0, "threads": 1}"#,
            r#"{"signatures": -1, "seconds": 2.0, "per_second": 0.5, "threads": 1}"#,
        ] {
            assert!(read(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn a_line_is_split_and_words_are_kept() {
        assert_eq!(words(&["a  --b c".to_owned()]), ["a", "--b", "c"]);
        let kept = ["a b".to_owned(), "--c".to_owned()];
        assert_eq!(words(&kept), kept);
    }

    #[tokio::test]
    async fn a_command_that_fails_says_why() {
        let failed = |line: &str| words(&[line.to_owned()]);
        let missing = measure(&failed("/nonexistent/sign-loop"))
            .await
            .unwrap_err();
        assert!(missing.starts_with("/nonexistent/sign-loop: "), "{missing}");
        let refused = measure(&failed("ls /nonexistent")).await.unwrap_err();
        assert!(
            refused.contains("exit status") && refused.contains("No such file"),
            "{refused}"
        );
        assert!(
            measure(&failed("true"))
                .await
                .unwrap_err()
                .contains("it must print")
        );
        assert!(measure(&[]).await.is_err());
    }

    #[test]
    fn mean_and_spread_are_of_both() {
        let mut ceiling = Ceiling {
            command: Vec::new(),
            before: raw(9_000.0),
            after: Ok(raw(11_000.0)),
        };
        assert!((ceiling.mean() - 10_000.0).abs() < 1e-9);
        assert!((ceiling.spread().unwrap() - 0.2).abs() < 1e-9);
        ceiling.after = Err("gone".to_owned());
        assert!((ceiling.mean() - 9_000.0).abs() < 1e-9);
        assert_eq!(ceiling.spread(), None);
    }
}
