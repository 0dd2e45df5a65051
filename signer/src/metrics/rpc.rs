//! Owns what is measured of RPCs: how many, how they ended, how long they took.

use std::time::Instant;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};
use semops_objects::institution::InstitutionId;

use super::{Metrics, catalog, counter, seconds, up_down};

/// The method of a request whose path is none.
pub const UNKNOWN: &str = "unknown";
/// How an RPC ends whose client went away before the answer.
pub const CLIENT_GONE: (&str, &str) = ("CANCELLED", "CLIENT_GONE");

pub(super) struct Rpcs {
    ended: Counter<u64>,
    took: Histogram<f64>,
    in_flight: UpDownCounter<i64>,
}

impl Rpcs {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            ended: counter(meter, &catalog::RPC_REQUESTS),
            took: seconds(meter, &catalog::RPC_DURATION),
            in_flight: up_down(meter, &catalog::RPC_IN_FLIGHT),
        }
    }
}

/// An RPC under way. Dropped without an answer, it ends as [`CLIENT_GONE`].
pub struct Rpc {
    metrics: Metrics,
    method: KeyValue,
    institution: KeyValue,
    began: Instant,
    result: (&'static str, &'static str),
}

impl Metrics {
    /// An RPC that arrived at `began`.
    pub fn rpc(&self, method: &'static str, began: Instant) -> Rpc {
        let method = KeyValue::new("method", method);
        self.0.rpcs.in_flight.add(1, std::slice::from_ref(&method));
        Rpc {
            metrics: self.clone(),
            method,
            institution: self.0.institutions.label(None),
            began,
            result: CLIENT_GONE,
        }
    }
}

impl Rpc {
    /// Its caller is known.
    pub fn called_by(&mut self, institution: &InstitutionId) {
        self.institution = self.metrics.0.institutions.label(Some(institution));
    }

    /// It is answered, with this gRPC code and stable reason.
    pub fn answered(mut self, code: &'static str, reason: &'static str) {
        self.result = (code, reason);
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        let rpcs = &self.metrics.0.rpcs;
        rpcs.in_flight.add(-1, std::slice::from_ref(&self.method));
        let of = [self.method.clone(), self.institution.clone()];
        rpcs.took.record(self.began.elapsed().as_secs_f64(), &of);
        let [method, institution] = of;
        let (code, reason) = self.result;
        let labels = [
            method,
            institution,
            KeyValue::new("code", code),
            KeyValue::new("reason", reason),
        ];
        rpcs.ended.add(1, &labels);
    }
}
