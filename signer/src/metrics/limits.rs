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
    quota_asked: Counter<u64>,
    quota_lent: Counter<u64>,
    quota_failed: Counter<u64>,
}

impl Limits {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            admitted: counter(meter, &catalog::LIMIT_ADMITTED),
            refused: counter(meter, &catalog::LIMIT_REFUSED),
            quota_asked: counter(meter, &catalog::QUOTA_ASKED),
            quota_lent: counter(meter, &catalog::QUOTA_LENT),
            quota_failed: counter(meter, &catalog::QUOTA_FAILED),
        }
    }
}

/// Whose limits there are.
const SCOPES: [&str; 5] = ["in_flight", "institution", "caller", "device", "public"];
/// Whose quotas replicas share.
const SHARED: [&str; 3] = ["institution", "caller", "device"];

impl Metrics {
    /// Every refusal that can come, and what replicas may be lent, at none: a rise from nothing is seen by those who watch.
    pub(super) fn no_limit_refused_yet(&self) {
        for institution in self.0.institutions.all() {
            for scope in SCOPES {
                let labels = [institution.clone(), KeyValue::new("scope", scope)];
                self.0.limits.refused.add(0, &labels);
            }
            for scope in SHARED {
                let labels = [institution.clone(), KeyValue::new("scope", scope)];
                self.0.limits.quota_asked.add(0, &labels);
                self.0.limits.quota_lent.add(0, &labels);
            }
        }
        self.0.limits.quota_failed.add(0, &[]);
    }

    /// So many requests were asked for of a quota.
    pub fn quota_asked(&self, of: &InstitutionId, scope: &'static str, requests: u32) {
        let labels = [
            self.0.institutions.label(Some(of)),
            KeyValue::new("scope", scope),
        ];
        self.0.limits.quota_asked.add(u64::from(requests), &labels);
    }

    /// So many of them were lent.
    pub fn quota_lent(&self, of: &InstitutionId, scope: &'static str, requests: u32) {
        let labels = [
            self.0.institutions.label(Some(of)),
            KeyValue::new("scope", scope),
        ];
        self.0.limits.quota_lent.add(u64::from(requests), &labels);
    }

    /// The record could not be asked.
    pub fn quota_not_asked(&self) {
        self.0.limits.quota_failed.add(1, &[]);
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
