//! Owns the time that a request may take: what the client says in `grpc-timeout`, and never more than the server's.

use std::time::{Duration, Instant};

use http::HeaderMap;

/// When a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// No wait inside goes beyond it. It lies a little before the client's, so that the client hears
    /// DEADLINE_EXCEEDED from here, with a request id.
    pub(crate) at: Instant,
}

/// A `grpc-timeout` that is not 1-8 digits and a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTimeout;

impl Deadline {
    /// The deadline of a request that arrived at `arrived`.
    ///
    /// # Errors
    /// The header is there and malformed.
    pub(crate) fn of(
        headers: &HeaderMap,
        longest: Duration,
        arrived: Instant,
    ) -> Result<Self, BadTimeout> {
        let time = time(headers, longest)?;
        Ok(Self {
            at: arrived.checked_add(time).unwrap_or(arrived),
        })
    }
}

/// The time that a request with these headers may take; never more than `longest`.
///
/// # Errors
/// The header is there and malformed.
pub fn time(headers: &HeaderMap, longest: Duration) -> Result<Duration, BadTimeout> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(longest);
    };
    let asked = parse(value.as_bytes()).ok_or(BadTimeout)?;
    Ok(asked.saturating_sub(margin(asked)).min(longest))
}

/// How long before the client's deadline it is answered.
fn margin(asked: Duration) -> Duration {
    (asked / 10).clamp(Duration::from_millis(1), Duration::from_millis(50))
}

/// TimeoutValue and TimeoutUnit of the gRPC protocol over HTTP/2.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number.saturating_mul(3_600))),
        b'M' => Some(Duration::from_secs(number.saturating_mul(60))),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use http::HeaderValue;

    use super::*;

    fn time(timeout: Option<&'static str>) -> Result<Duration, BadTimeout> {
        let mut headers = HeaderMap::new();
        if let Some(timeout) = timeout {
            headers.insert("grpc-timeout", HeaderValue::from_static(timeout));
        }
        let now = Instant::now();
        Deadline::of(&headers, Duration::from_secs(10), now).map(|deadline| deadline.at - now)
    }

    #[test]
    fn the_shorter_time_counts() {
        assert_eq!(time(None), Ok(Duration::from_secs(10)));
        assert_eq!(time(Some("2S")), Ok(Duration::from_millis(1_950)));
        assert_eq!(time(Some("100m")), Ok(Duration::from_millis(90)));
        assert_eq!(time(Some("99999999H")), Ok(Duration::from_secs(10)));
        assert_eq!(time(Some("500u")), Ok(Duration::ZERO));
    }

    #[test]
    fn other_spellings_are_refused() {
        for timeout in [
            "",
            "S",
            "5",
            "5s",
            "-1S",
            "+1S",
            "1 S",
            "123456789S",
            "1.5S",
        ] {
            assert_eq!(time(Some(timeout)), Err(BadTimeout), "{timeout}");
        }
    }
}
