//! What came of the requests: counts by outcome, and latencies as histograms. Pure.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use super::{
    outcome::{Outcome, Sample},
    schedule::Kind,
};

/// The longest latency that is told apart; what took longer counts as this.
const LONGEST: Duration = Duration::from_secs(600);
/// As many different outcomes of a kind are told apart; what comes beyond is one more, [`Outcome::other`].
const OUTCOMES: usize = 48;

/// How often an outcome came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// So often.
    pub times: u64,
    /// The longest wait that the service told.
    pub longest_retry: Option<Duration>,
}

/// The requests of one kind in one phase.
#[derive(Clone, Debug)]
pub struct Tally {
    outcomes: BTreeMap<Outcome, Count>,
    done: Histogram<u64>,
    not_done: Histogram<u64>,
}

/// Quantiles of latency, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// Nine of ten are as fast.
    pub p90: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// 999 of a thousand.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let quantile = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Self {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: milliseconds(histogram.max()),
        })
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            outcomes: BTreeMap::new(),
            done: microseconds(),
            not_done: microseconds(),
        }
    }
}

impl Tally {
    /// One more.
    pub fn add(&mut self, sample: &Sample) {
        let latency = u64::try_from(sample.latency.as_micros()).unwrap_or(u64::MAX);
        match sample.outcome {
            Outcome::Done => self.done.saturating_record(latency),
            _ => self.not_done.saturating_record(latency),
        }
        let known = self.outcomes.contains_key(&sample.outcome) || self.outcomes.len() < OUTCOMES;
        let outcome = if known {
            sample.outcome.clone()
        } else {
            Outcome::other()
        };
        let count = self.outcomes.entry(outcome).or_default();
        count.times = count.times.saturating_add(1);
        count.longest_retry = count.longest_retry.max(sample.retry_after);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.outcomes.clear();
        self.done.reset();
        self.not_done.reset();
    }

    /// How many there were.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.outcomes.values().map(|count| count.times).sum()
    }

    /// How many were answered, and rightly.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.len()
    }

    /// Each outcome and how often it came, the good one first.
    #[must_use]
    pub fn outcomes(&self) -> &BTreeMap<Outcome, Count> {
        &self.outcomes
    }

    /// Latency of those that were answered rightly; none if there were none.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        Latency::of(&self.done)
    }

    /// Latency of all others.
    #[must_use]
    pub fn latency_not_done(&self) -> Option<Latency> {
        Latency::of(&self.not_done)
    }
}

/// A tally of each kind.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    cosign: Tally,
    enroll: Tally,
    accept: Tally,
}

impl Tallies {
    /// That of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &Tally {
        match kind {
            Kind::Cosign => &self.cosign,
            Kind::Enroll => &self.enroll,
            Kind::Accept => &self.accept,
        }
    }

    /// One more.
    pub fn add(&mut self, sample: &Sample) {
        match sample.kind {
            Kind::Cosign => self.cosign.add(sample),
            Kind::Enroll => self.enroll.add(sample),
            Kind::Accept => self.accept.add(sample),
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.cosign.clear();
        self.enroll.clear();
        self.accept.clear();
    }

    /// The requests of all kinds.
    #[must_use]
    pub fn sent(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self.of(*kind).sent()).sum()
    }

    /// Those answered rightly.
    #[must_use]
    pub fn done(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self.of(*kind).done()).sum()
    }

    /// Each outcome of each kind and how often it came.
    pub fn outcomes(&self) -> impl Iterator<Item = (Kind, &Outcome, &Count)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            let outcomes = self.of(kind).outcomes().iter();
            outcomes.map(move |(outcome, count)| (kind, outcome, count))
        })
    }
}

/// A count, to reckon with.
#[must_use]
pub fn number(count: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits).unwrap_or(u32::MAX));
    half(count >> 32) * 4_294_967_296.0 + half(count & 0xffff_ffff)
}

fn milliseconds(microseconds: u64) -> f64 {
    Duration::from_micros(microseconds).as_secs_f64() * 1e3
}

#[expect(
    clippy::expect_used,
    reason = "invariant: the bounds and digits are constants within the histogram's own bounds"
)]
fn microseconds() -> Histogram<u64> {
    let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
    Histogram::new_with_max(longest, 3).expect("constant bounds")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn sample(kind: Kind, outcome: Outcome, due: u64, latency: u64) -> Sample {
        Sample {
            kind,
            outcome,
            due: Duration::from_millis(due),
            latency: Duration::from_millis(latency),
            retry_after: None,
        }
    }

    #[test]
    fn quantiles_are_those_of_right_answers_alone() {
        let mut tallies = Tallies::default();
        for latency in 1..=1_000 {
            tallies.add(&sample(Kind::Enroll, Outcome::Done, 0, latency));
        }
        tallies.add(&sample(Kind::Enroll, Outcome::TOO_LATE, 0, 10_000));
        let tally = tallies.of(Kind::Enroll);
        let latency = tally.latency().unwrap();
        for (found, expected) in [
            (latency.p50, 500.0),
            (latency.p90, 900.0),
            (latency.p99, 990.0),
            (latency.p999, 999.0),
            (latency.max, 1_000.0),
        ] {
            assert!((found / expected - 1.0_f64).abs() < 0.002, "{latency:?}");
        }
        assert_eq!((tally.sent(), tally.done()), (1_001, 1_000));
        assert!(tally.latency_not_done().unwrap().p50 > 9_990.0);
        assert_eq!(tallies.of(Kind::Cosign).latency(), None);
    }

    #[test]
    fn outcomes_are_counted_apart_and_their_number_is_bounded() {
        let mut tally = Tally::default();
        let refused = |number: usize| Outcome::Refused {
            code: "RESOURCE_EXHAUSTED",
            reason: Some(format!("R{number}")),
        };
        for number in 0..OUTCOMES + 20 {
            tally.add(&sample(Kind::Cosign, refused(number), 0, 1));
        }
        let told = Sample {
            retry_after: Some(Duration::from_millis(700)),
            ..sample(Kind::Cosign, refused(0), 0, 1)
        };
        tally.add(&told);
        tally.add(&sample(Kind::Cosign, refused(0), 0, 1));
        assert_eq!(tally.outcomes().len(), OUTCOMES + 1);
        assert_eq!(tally.outcomes()[&Outcome::other()].times, 20);
        let first = tally.outcomes()[&refused(0)];
        assert_eq!((first.times, first.longest_retry), (3, told.retry_after));
        assert_eq!(usize::try_from(tally.sent()), Ok(OUTCOMES + 22));
    }

    #[test]
    fn what_takes_for_ever_counts_as_the_longest() {
        let mut tally = Tally::default();
        tally.add(&sample(Kind::Cosign, Outcome::Done, 0, 3_600_000));
        let max = tally.latency().unwrap().max;
        assert!((max / 600_000.0 - 1.0).abs() < 0.01, "{max}");
    }

    #[test]
    fn large_counts_stay_numbers() {
        assert!((number(7) - 7.0).abs() < f64::EPSILON);
        assert!((number(5_000_000_000) / 5e9 - 1.0).abs() < 1e-9);
    }
}
