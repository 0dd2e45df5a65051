//! What the load is to be: how long, how driven, of what; and the words in which a user says so.

use std::time::Duration;

use super::{order::Terms, schedule::Spacing};

/// The longest load and the longest warm-up.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The whole load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who calls when.
    pub driving: Driving,
    /// How long it is measured.
    pub duration: Duration,
    /// What comes before that and is not measured.
    pub warm_up: Duration,
    /// Connections of each caller.
    pub connections: usize,
    /// Of a hundred requests, those that enrol a phone.
    pub enrolments: u64,
    /// Orders of one phone before another takes its place.
    pub orders_per_phone: u32,
    /// Of so many authorizations, one has its signature verified.
    pub verify_every: u64,
    /// What each order says.
    pub terms: Terms,
}

/// Who calls when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Driving {
    /// So many callers, each with one request under way at any time.
    Closed {
        /// The callers.
        concurrency: usize,
    },
    /// Requests come whether or not others are answered.
    Open {
        /// How many, on average.
        per_second: f64,
        /// How they are spaced.
        spacing: Spacing,
        /// So many are under way at most; what comes beyond waits, and its wait counts.
        in_flight: usize,
    },
}

impl Plan {
    /// Warm-up and measurement together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.warm_up.saturating_add(self.duration)
    }

    /// How many requests are under way at most.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match self.driving {
            Driving::Closed { concurrency } => concurrency,
            Driving::Open { in_flight, .. } => in_flight,
        }
    }
}

/// `30s`, `500ms`, `2m` or `1h`; at most a day.
///
/// # Errors
/// What is wrong with it, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| RULE.to_owned())?;
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        _ => None,
    };
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| RULE.to_owned())
}

const RULE: &str = "a number and ms, s, m or h, such as 30s; 24h at most";

/// `500/s`, `30/m` or `500`, which is per second; from one a minute to a hundred thousand a second.
///
/// # Errors
/// What is wrong with it, in words.
pub fn rate(text: &str) -> Result<f64, String> {
    let rule = || "a number per s or m, such as 500/s; 1/m to 100000/s".to_owned();
    let (number, seconds) = match text.split_once('/') {
        None => (text, 1.0),
        Some((number, "s")) => (number, 1.0),
        Some((number, "m")) => (number, 60.0),
        Some(_) => return Err(rule()),
    };
    let number: u32 = number.parse().map_err(|_| rule())?;
    let rate = f64::from(number) / seconds;
    let sensible = (1.0 / 60.0..=100_000.0).contains(&rate);
    sensible.then_some(rate).ok_or_else(rule)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn durations_are_numbers_with_a_unit() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text).unwrap(),
                Duration::from_millis(milliseconds),
                "{text}"
            );
        }
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "25h",
            "1d",
            "99999999999999999999s",
            "5é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_numbers_per_second_or_minute() {
        for (text, expected) in [("500/s", 500.0), ("30/m", 0.5), ("7", 7.0), ("100000", 1e5)] {
            assert!((rate(text).unwrap() - expected).abs() < 1e-9, "{text}");
        }
        for text in [
            "", "0/s", "0", "-1/s", "1/h", "100001/s", "1e9", "NaN", "inf", "/s",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
