//! Times on the command line: as such, or counted from now.

use std::str::FromStr;

const RULE: &str =
    "a time such as 2026-12-01T00:00:00Z, or one counted from now such as +90m, +72h or +30d";

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Unix seconds.
    At(u64),
    /// Seconds from now.
    In(u64),
}

impl Moment {
    /// Unix seconds.
    pub(super) fn seconds(self, now: u64) -> u64 {
        match self {
            Self::At(seconds) => seconds,
            Self::In(seconds) => now.saturating_add(seconds),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = match text.strip_prefix('+') {
            Some(span) => span_of(span).map(Self::In),
            None => text
                .parse::<der::DateTime>()
                .ok()
                .map(|time| Self::At(time.unix_duration().as_secs())),
        };
        moment.ok_or_else(|| RULE.to_owned())
    }
}

/// `90m`, `72h` or `30d` in seconds.
pub(in crate::commands) fn span_of(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits)?;
    match unit {
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3_600),
        "d" => number.checked_mul(86_400),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_for_themselves_or_are_counted_from_now() {
        for (text, moment) in [
            ("1970-01-01T00:01:00Z", Moment::At(60)),
            ("+0m", Moment::In(0)),
            ("+90m", Moment::In(5_400)),
            ("+72h", Moment::In(259_200)),
            ("+30d", Moment::In(2_592_000)),
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text}");
        }
        assert_eq!(Moment::In(5).seconds(10), 15);
        assert_eq!(Moment::At(5).seconds(10), 5);
        for text in [
            "",
            "+",
            "5",
            "+5",
            "+5s",
            "+-5m",
            "+5\u{e4}",
            "2026-12-01",
            "now",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(RULE.to_owned()), "{text}");
        }
    }
}
