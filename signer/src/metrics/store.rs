//! Owns what is measured of the record: how many rows go together and how long they take to be durable; and of its server,
//! how often it had to be asked once more, and how far its clock is from this host's.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter},
};

use super::{Metrics, catalog, counter, number, rows, seconds};

/// What a group of rows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Intents.
    Begin,
    /// Ends of intents.
    Complete,
    /// Audit events that go with no change of state.
    Audit,
}

impl Written {
    const fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Complete => "complete",
            Self::Audit => "audit",
        }
    }
}

/// Why the record's server was asked once more: PostgreSQL's words for it, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// The transaction does not fit in with one beside it.
    Serialization,
    /// It and another waited for each other.
    Deadlock,
    /// Another replica recorded the same at the same time.
    Duplicate,
    /// The connection was lost, with a commit that did not take place or before one.
    ConnectionLost,
}

impl Retried {
    const ALL: [Self; 4] = [
        Self::Serialization,
        Self::Deadlock,
        Self::Duplicate,
        Self::ConnectionLost,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Serialization => "SERIALIZATION_FAILURE",
            Self::Deadlock => "DEADLOCK_DETECTED",
            Self::Duplicate => "UNIQUE_VIOLATION",
            Self::ConnectionLost => "CONNECTION_LOST",
        }
    }
}

pub(super) struct Commits {
    took: Histogram<f64>,
    rows: Histogram<u64>,
    retried: Counter<u64>,
    apart: Gauge<f64>,
}

impl Commits {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            took: seconds(meter, &catalog::STORE_COMMIT),
            rows: rows(meter, &catalog::STORE_ROWS),
            retried: counter(meter, &catalog::STORE_RETRIES),
            apart: meter
                .f64_gauge(catalog::STORE_CLOCK.name)
                .with_description(catalog::STORE_CLOCK.help)
                .build(),
        }
    }
}

impl Metrics {
    /// So many rows were made durable together, in so much time.
    pub fn committed(&self, what: Written, count: usize, time: Duration) {
        let labels = [KeyValue::new("operation", what.name())];
        self.0.commits.took.record(time.as_secs_f64(), &labels);
        self.0.commits.rows.record(number(count), &labels);
    }

    /// Every cause, at none, so that a rise from nothing is seen; and no clock but this host's, until another is read.
    pub(super) fn nothing_retried_yet(&self) {
        for why in Retried::ALL {
            let labels = [KeyValue::new("reason", why.name())];
            self.0.commits.retried.add(0, &labels);
        }
        self.store_clock(Duration::ZERO);
    }

    /// The record's server is asked once more.
    pub fn retried(&self, why: Retried) {
        let labels = [KeyValue::new("reason", why.name())];
        self.0.commits.retried.add(1, &labels);
    }

    /// The clock of the record's server is so far from this host's, at least.
    pub fn store_clock(&self, apart: Duration) {
        self.0.commits.apart.record(apart.as_secs_f64(), &[]);
    }
}
