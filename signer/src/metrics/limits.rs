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

/// Whose limits there are.
const SCOPES: [&str; 5] = ["in_flight", "institution", "caller", "device", "public"];

impl Metrics {
    /// Every refusal that can come, at none: a rise from nothing is seen by those who watch.
    pub(super) fn no_limit_refused_yet(&self) {
        for institution in self.0.institutions.all() {
            for scope in SCOPES {
                let labels = [institution.clone(), KeyValue::new("scope", scope)];
                self.0.limits.refused.add(0, &labels);
            }
        }
    }

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
