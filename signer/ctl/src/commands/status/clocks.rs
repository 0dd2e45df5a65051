//! The service's clock beside this machine's. Pure.

/// In microseconds.
pub(super) const SECOND: i64 = 1_000_000;

/// The service's clock beside this machine's, in microseconds.
pub(super) struct Clocks {
    pub(super) difference: i64,
    pub(super) round_trip: i64,
}

impl Clocks {
    /// The service looked at its clock at some moment between `before` and `after`; halfway is the best guess.
    pub(super) fn compare(before: i64, service: i64, after: i64) -> Self {
        let round_trip = after.saturating_sub(before).max(0);
        Self {
            difference: service
                .saturating_sub(before)
                .saturating_sub(round_trip / 2),
            round_trip,
        }
    }

    /// Whether they differ by more than a second, whenever the service looked.
    pub(super) fn differ(&self) -> bool {
        self.difference
            .saturating_abs()
            .saturating_sub(self.round_trip / 2)
            > SECOND
    }

    pub(super) fn text(&self) -> String {
        let direction = if self.difference < 0 {
            "behind"
        } else {
            "ahead of"
        };
        format!(
            "{} {direction} this machine's (give or take {})",
            short_span(self.difference.saturating_abs()),
            short_span(self.round_trip / 2 + 1000)
        )
    }
}

/// Microseconds in milliseconds, or in seconds from ten on.
fn short_span(micros: i64) -> String {
    if micros < 10 * SECOND {
        format!("{} ms", micros / 1000)
    } else {
        format!("{} s", micros / SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_said_to_differ_only_when_it_is_certain() {
        let cases = [
            ((0, 0, 0), 0, false),
            ((0, 1_000_000, 0), 1_000_000, false),
            ((0, 1_000_001, 0), 1_000_001, true),
            ((0, -1_000_001, 0), -1_000_001, true),
            // The reply took four seconds: the service may have looked at any moment of them.
            ((0, 3_900_000, 4_000_000), 1_900_000, false),
            ((0, 5_000_001, 4_000_000), 3_000_001, true),
            ((0, -1_000_001, 4_000_000), -3_000_001, true),
        ];
        for ((before, service, after), difference, differ) in cases {
            let clocks = Clocks::compare(before, service, after);
            assert_eq!(clocks.difference, difference, "{service}");
            assert_eq!(clocks.differ(), differ, "{service}");
        }
        let behind = Clocks::compare(0, -3_000_000, 2_000);
        assert_eq!(
            behind.text(),
            "3001 ms behind this machine's (give or take 2 ms)"
        );
    }
}
