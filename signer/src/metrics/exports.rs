//! Owns what is measured of telemetry itself.

use opentelemetry::KeyValue;

use super::{Metrics, catalog};

/// What became of one kind of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Which kind: `traces` or `metrics`.
    pub what: &'static str,
    /// Batches that the collector took.
    pub sent: u64,
    /// Batches that it did not.
    pub lost: u64,
}

impl Metrics {
    /// Has `read` asked what became of the batches whenever the numbers are looked at.
    pub fn observe_exports(&self, read: impl Fn() -> [Export; 2] + Send + Sync + 'static) {
        let spec = &catalog::EXPORTS;
        let counter = self
            .0
            .meter
            .u64_observable_counter(spec.name)
            .with_description(spec.help);
        let observed = counter.with_callback(move |observer| {
            for export in read() {
                for (reason, count) in [("SENT", export.sent), ("LOST", export.lost)] {
                    let labels = [
                        KeyValue::new("operation", export.what),
                        KeyValue::new("reason", reason),
                    ];
                    observer.observe(count, &labels);
                }
            }
        });
        observed.build();
    }
}
