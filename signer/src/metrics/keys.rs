//! Owns what is measured of the signing keys, read whenever somebody looks: a key that is no more is shown no more.

use std::sync::Arc;

use opentelemetry::KeyValue;
use semops_objects::institution::InstitutionId;

use super::{
    Metrics,
    catalog::{self, Spec},
    standing::moment,
};
use crate::{
    clock::Timestamp,
    domain::key::{KeyId, Purpose},
};

/// The moments of a signing key.
#[derive(Clone, Debug)]
pub struct KeyMoments {
    /// Whose it is.
    pub institution: InstitutionId,
    /// What it is for.
    pub purpose: Purpose,
    /// Which.
    pub key: KeyId,
    /// The start of its cryptoperiod.
    pub since: Timestamp,
    /// Until when its whole chain is valid.
    pub until: Timestamp,
    /// From when until when the CRL in force counts, of a CA that has been looked at.
    pub crl: Option<(Timestamp, Timestamp)>,
}

type Read = Arc<dyn Fn() -> Vec<KeyMoments> + Send + Sync>;

impl Metrics {
    /// Has `read` asked how the keys stand whenever the numbers are looked at.
    pub fn observe_keys(&self, read: impl Fn() -> Vec<KeyMoments> + Send + Sync + 'static) {
        let read: Read = Arc::new(read);
        self.key_gauge(&catalog::KEY_SINCE, &read, |key| Some(key.since));
        self.key_gauge(&catalog::KEY_UNTIL, &read, |key| Some(key.until));
        self.key_gauge(&catalog::CRL_SINCE, &read, |key| Some(key.crl?.0));
        self.key_gauge(&catalog::CRL_UNTIL, &read, |key| Some(key.crl?.1));
    }

    fn key_gauge(&self, spec: &Spec, read: &Read, of: fn(&KeyMoments) -> Option<Timestamp>) {
        let (metrics, read) = (self.clone(), Arc::clone(read));
        let gauge = self
            .0
            .meter
            .u64_observable_gauge(spec.name)
            .with_description(spec.help);
        let observed = gauge.with_callback(move |observer| {
            for key in read() {
                if let Some(at) = of(&key) {
                    observer.observe(moment(at), &metrics.of_key(&key));
                }
            }
        });
        observed.build();
    }

    fn of_key(&self, key: &KeyMoments) -> [KeyValue; 3] {
        [
            self.0.institutions.label(Some(&key.institution)),
            KeyValue::new("purpose", key.purpose.name()),
            KeyValue::new("key", key.key.to_string()),
        ]
    }
}
