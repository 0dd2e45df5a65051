//! Owns the reading of the system clock and the type of a moment. A [`Clock`] is a value made in `main`; no setting and
//! no environment variable changes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment `seconds` seconds after the epoch; the far ends saturate.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment moved by `seconds`, which may be negative; the far ends saturate.
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// How long it is from this moment until `later`; zero when `later` has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// The clock of the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    /// Unit tests turn the hands themselves.
    #[cfg(test)]
    Hands(&'static std::sync::atomic::AtomicI64),
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows these microseconds.
    #[cfg(test)]
    pub(crate) const fn hands(micros: &'static std::sync::atomic::AtomicI64) -> Self {
        Self(Source::Hands(micros))
    }

    /// The time now. A system clock before 1970 reads as the epoch, at which no certificate is valid.
    pub fn now(self) -> Timestamp {
        match self.0 {
            Source::System => {
                let elapsed = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Timestamp(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
            }
            #[cfg(test)]
            Source::Hands(micros) => Timestamp(micros.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_on_both_sides_of_the_epoch() {
        assert_eq!(Timestamp::from_micros(1_999_999).seconds(), 1);
        assert_eq!(Timestamp::from_micros(-1).seconds(), -1);
    }

    #[test]
    fn what_has_passed_is_no_time_away() {
        let t = Timestamp::from_seconds(10);
        assert_eq!(t.until(t.plus_seconds(-5)), Duration::ZERO);
        assert_eq!(t.until(t.plus_seconds(5)), Duration::from_secs(5));
    }
}
