//! The run second by second, and in its two phases. Pure.
//!
//! A request counts for the phase in which it was due, and is followed to its end. The rows count answers in the second
//! in which they came. So both add up to what was sent.

use std::time::Duration;

use super::{
    outcome::Sample,
    schedule::Kind,
    statistics::{Latency, Tallies, number},
};

/// What happened in one second, or in what is left of one at the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// From the start of the load.
    pub from: Duration,
    /// The same.
    pub to: Duration,
    /// Requests under way at its end.
    pub in_flight: u64,
    /// Each kind, in the order of [`Kind::ALL`].
    pub kinds: [RowOfKind; 3],
}

/// The answers of one kind in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowOfKind {
    /// Right ones.
    pub done: u64,
    /// All others.
    pub not_done: u64,
    /// Of the right ones.
    pub latency: Option<Latency>,
}

impl Row {
    /// How long it is, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.to.saturating_sub(self.from).as_secs_f64()
    }

    /// Right answers per second, of each kind.
    #[must_use]
    pub fn rates(&self) -> [f64; 3] {
        self.kinds
            .map(|kind| number(kind.done) / self.seconds().max(1e-9))
    }
}

/// Takes the samples of a run.
#[derive(Debug)]
pub struct Recorder {
    /// Requests due before this are not measured.
    warm_up: Duration,
    /// Of the second that runs.
    interval: Tallies,
    since: Duration,
    /// Of requests due in the warm-up.
    pub before: Tallies,
    /// Of requests due after it.
    pub measured: Tallies,
    /// Arrivals that were due and never sent, in the warm-up and after it.
    pub not_sent: [u64; 2],
    /// The seconds so far.
    pub rows: Vec<Row>,
}

impl Recorder {
    /// Nothing yet.
    #[must_use]
    pub fn new(warm_up: Duration) -> Self {
        Self {
            warm_up,
            interval: Tallies::default(),
            since: Duration::ZERO,
            before: Tallies::default(),
            measured: Tallies::default(),
            not_sent: [0; 2],
            rows: Vec::new(),
        }
    }

    /// A request has ended.
    pub fn record(&mut self, sample: &Sample) {
        self.interval.add(sample);
        if sample.due < self.warm_up {
            self.before.add(sample);
        } else {
            self.measured.add(sample);
        }
    }

    /// A request that was due at `due` was never sent.
    pub fn not_sent(&mut self, due: Duration) {
        let [before, measured] = &mut self.not_sent;
        let counter = if due < self.warm_up { before } else { measured };
        *counter = counter.saturating_add(1);
    }

    /// Ends the second that runs, at `now`.
    pub fn tick(&mut self, now: Duration, in_flight: u64) -> Row {
        let kinds = Kind::ALL.map(|kind| {
            let tally = self.interval.of(kind);
            RowOfKind {
                done: tally.done(),
                not_done: tally.sent().saturating_sub(tally.done()),
                latency: tally.latency(),
            }
        });
        let row = Row {
            from: self.since,
            to: now,
            in_flight,
            kinds,
        };
        self.interval.clear();
        self.since = now;
        self.rows.push(row);
        row
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::{super::outcome::Outcome, *};

    const WARM_UP: Duration = Duration::from_secs(1);

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
    fn a_request_counts_for_the_phase_in_which_it_was_due() {
        let mut recorder = Recorder::new(WARM_UP);
        recorder.record(&sample(Kind::Cosign, Outcome::Done, 999, 5_000));
        recorder.record(&sample(Kind::Cosign, Outcome::Done, 1_000, 1));
        recorder.not_sent(Duration::from_millis(999));
        recorder.not_sent(WARM_UP);
        recorder.not_sent(WARM_UP);
        assert_eq!((recorder.before.sent(), recorder.measured.sent()), (1, 1));
        assert_eq!(recorder.not_sent, [1, 2]);
        assert!(recorder.measured.of(Kind::Cosign).latency().unwrap().max < 2.0);
    }

    #[test]
    fn rows_and_phases_add_up_to_what_was_sent() {
        let mut recorder = Recorder::new(WARM_UP);
        for due in 0..300 {
            let outcome = match due % 3 {
                0 => Outcome::Wrong,
                _ => Outcome::Done,
            };
            recorder.record(&sample(Kind::Accept, outcome, due * 10, 3));
            if due % 100 == 99 {
                recorder.tick(Duration::from_millis(due * 10 + 10), 7);
            }
        }
        let rows = &recorder.rows;
        assert_eq!(rows.len(), 3);
        let answers: u64 = rows
            .iter()
            .map(|row| row.kinds[2].done + row.kinds[2].not_done)
            .sum();
        assert_eq!(answers, recorder.before.sent() + recorder.measured.sent());
        assert_eq!((rows[1].from, rows[1].to), (WARM_UP, 2 * WARM_UP));
        assert!((rows[1].rates()[2] - number(rows[1].kinds[2].done)).abs() < 1e-6);
        assert_eq!((rows[2].in_flight, rows[2].kinds[0].latency), (7, None));
    }
}
