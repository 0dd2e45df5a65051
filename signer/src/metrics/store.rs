//! Owns what is measured of the record's writer: how many rows go together, and how long they take to be durable.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use super::{Metrics, catalog, rows, seconds};

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

pub(super) struct Commits {
    took: Histogram<f64>,
    rows: Histogram<u64>,
}

impl Commits {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            took: seconds(meter, &catalog::STORE_COMMIT),
            rows: rows(meter, &catalog::STORE_ROWS),
        }
    }
}

impl Metrics {
    /// So many rows were made durable together, in so much time.
    pub fn committed(&self, what: Written, count: usize, time: Duration) {
        let labels = [KeyValue::new("operation", what.name())];
        self.0.commits.took.record(time.as_secs_f64(), &labels);
        self.0
            .commits
            .rows
            .record(u64::try_from(count).unwrap_or(u64::MAX), &labels);
    }
}
