//! When requests are due, and which kind is whose turn. Pure: random numbers are an argument.

use std::time::Duration;

/// How the requests of an open loop are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Spacing {
    /// As customers who know nothing of each other come: exponential gaps, now and then several at once.
    Poisson,
    /// At equal gaps.
    Fixed,
}

impl Spacing {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Fixed => "fixed",
        }
    }
}

/// The moments at which requests are due, from the start of the load on; without end.
#[derive(Debug)]
pub struct Arrivals<R> {
    /// Seconds between two, on average.
    gap: f64,
    spacing: Spacing,
    random: R,
    /// Seconds from the start.
    next: f64,
}

impl<R: FnMut() -> u32> Arrivals<R> {
    /// So many per second; `random` gives 32 random bits at a time, needed by [`Spacing::Poisson`] alone.
    pub fn new(per_second: f64, spacing: Spacing, random: R) -> Self {
        Self {
            gap: 1.0 / per_second,
            spacing,
            random,
            next: 0.0,
        }
    }
}

impl<R: FnMut() -> u32> Iterator for Arrivals<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let due = Duration::try_from_secs_f64(self.next).ok()?;
        self.next += match self.spacing {
            Spacing::Fixed => self.gap,
            Spacing::Poisson => {
                // Uniform in (0, 1], so that its logarithm is finite.
                let uniform = (f64::from((self.random)()) + 1.0) / (f64::from(u32::MAX) + 1.0);
                -uniform.ln() * self.gap
            }
        };
        Some(due)
    }
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// CosignOrder: a phone orders.
    Cosign,
    /// EnrollDevice: a phone gets its certificate.
    Enroll,
    /// AcceptDevice: the payer's institution accepts it.
    Accept,
}

impl Kind {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Cosign, Self::Enroll, Self::Accept];

    /// The name of the call.
    #[must_use]
    pub fn rpc(self) -> &'static str {
        match self {
            Self::Cosign => "CosignOrder",
            Self::Enroll => "EnrollDevice",
            Self::Accept => "AcceptDevice",
        }
    }

    /// The same in one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Cosign => "cosign",
            Self::Enroll => "enroll",
            Self::Accept => "accept",
        }
    }
}

/// The kind of request number `number`: `percent` of a hundred enrol, as many accept, the rest order; spread evenly.
#[must_use]
pub fn turn(number: u64, percent: u64) -> Kind {
    let place = number % 100;
    let before = |place: u64| place.saturating_mul(percent.saturating_mul(2)) / 100;
    let count = before(place);
    if before(place.saturating_add(1)) == count {
        Kind::Cosign
    } else if count.is_multiple_of(2) {
        Kind::Enroll
    } else {
        Kind::Accept
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    /// SplitMix64, for numbers that are the same in each run.
    fn numbers(mut state: u64) -> impl FnMut() -> u32 {
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default()
        }
    }

    #[test]
    fn fixed_arrivals_are_a_gap_apart() {
        let due: Vec<Duration> = Arrivals::new(400.0, Spacing::Fixed, || 0).take(4).collect();
        let expected = [0, 2_500, 5_000, 7_500].map(Duration::from_micros);
        assert_eq!(due, expected);
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread_of_an_exponential_distribution() {
        let due: Vec<f64> = Arrivals::new(200.0, Spacing::Poisson, numbers(1))
            .take(100_001)
            .map(|due| due.as_secs_f64())
            .collect();
        assert!(due.is_sorted());
        let gaps: Vec<f64> = due.windows(2).map(|two| two[1] - two[0]).collect();
        let mean = gaps.iter().sum::<f64>() / 1e5;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean * 200.0 - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{variance}");
        // A gap is longer than the mean with probability 1/e.
        let longer = gaps.iter().filter(|gap| **gap > mean).count();
        assert!((36_000..37_600).contains(&longer), "{longer}");
    }

    #[test]
    fn the_extreme_numbers_give_finite_gaps() {
        for number in [0, u32::MAX] {
            let due = Arrivals::new(1.0, Spacing::Poisson, || number).nth(1);
            assert!(
                due.is_some_and(|due| due < Duration::from_secs(23)),
                "{due:?}"
            );
        }
    }

    #[test]
    fn kinds_have_their_share_in_every_hundred() {
        for percent in [0, 1, 7, 10, 33, 50] {
            let turns: Vec<Kind> = (300..400).map(|number| turn(number, percent)).collect();
            let count = |kind| u64::try_from(turns.iter().filter(|turn| **turn == kind).count());
            assert_eq!(count(Kind::Enroll), Ok(percent));
            assert_eq!(count(Kind::Accept), Ok(percent));
        }
        let first: Vec<Kind> = (0..10).map(|number| turn(number, 10)).collect();
        assert_eq!(
            (first[4], first[9]),
            (Kind::Enroll, Kind::Accept),
            "{first:?}"
        );
    }
}
