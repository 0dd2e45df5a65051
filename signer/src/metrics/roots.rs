//! Owns what is measured of the offline roots, read whenever somebody looks.

use std::sync::Arc;

use opentelemetry::KeyValue;

use super::{Metrics, catalog, standing::moment};
use crate::{clock::Timestamp, domain::key::KeyId};

/// How the roots stand.
#[derive(Clone, Debug, Default)]
pub struct RootMoments {
    /// The change of the scheme by which they are in force; 0 if nobody approved them.
    pub change: u64,
    /// Of each root that is published here: what it is for, its key, and when its CRL becomes stale.
    pub crls: Vec<(&'static str, KeyId, Timestamp)>,
}

impl Metrics {
    /// Has `read` asked how the roots stand whenever the numbers are looked at.
    pub fn observe_roots(&self, read: impl Fn() -> RootMoments + Send + Sync + 'static) {
        let read = Arc::new(read);
        let crls = Arc::clone(&read);
        let gauge = |spec: &catalog::Spec| {
            let gauge = self.0.meter.u64_observable_gauge(spec.name);
            gauge.with_description(spec.help)
        };
        gauge(&catalog::ROOT_CRL_UNTIL)
            .with_callback(move |observer| {
                for (purpose, key, until) in crls().crls {
                    let key = KeyValue::new("key", key.to_string());
                    let labels = [KeyValue::new("purpose", purpose), key];
                    observer.observe(moment(until), &labels);
                }
            })
            .build();
        gauge(&catalog::SCHEME_CHANGE)
            .with_callback(move |observer| observer.observe(read().change, &[]))
            .build();
    }
}
