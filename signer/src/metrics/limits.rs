//! Owns what is measured of the rate limits.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};
use semops_objects::institution::InstitutionId;

use super::{Metrics, catalog, counter};

pub(super) struct Limits {
    admitted: Counter<u64>,
    refused: Counter<u64>,
}

impl Limits {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            admitted: counter(meter, &catalog::LIMIT_ADMITTED),
            refused: counter(meter, &catalog::LIMIT_REFUSED),
        }
    }
}

impl Metrics {
    /// The limits up to this scope let a request of this institution through.
    pub fn limits_admitted(&self, institution: Option<&InstitutionId>, scope: &'static str) {
        let label = self.0.institutions.label(institution);
        self.0
            .limits
            .admitted
            .add(1, &[label, KeyValue::new("scope", scope)]);
    }

    /// A limit of this scope refused one.
    pub fn limit_refused(&self, institution: Option<&InstitutionId>, scope: &'static str) {
        let label = self.0.institutions.label(institution);
        self.0
            .limits
            .refused
            .add(1, &[label, KeyValue::new("scope", scope)]);
    }
}
