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
    /// The end of its cryptoperiod.
    pub ends: Timestamp,
    /// Until when its whole chain is valid.
    pub until: Timestamp,
    /// From when until when the CRL in force counts, of a CA that has been looked at.
    pub crl: Option<(Timestamp, Timestamp)>,
    /// Whether the token does not have it.
    pub missing: bool,
    /// How many objects it has signed, and how many it may, if policy limits its lifetime.
    pub worn: Option<(u64, u64)>,
}

type Read = Arc<dyn Fn() -> Vec<KeyMoments> + Send + Sync>;

impl Metrics {
    /// Has `read` asked how the keys stand whenever the numbers are looked at.
    pub fn observe_keys(&self, read: impl Fn() -> Vec<KeyMoments> + Send + Sync + 'static) {
        let read: Read = Arc::new(read);
        self.key_gauge(&catalog::KEY_SINCE, &read, |key| Some(moment(key.since)));
        self.key_gauge(&catalog::KEY_ENDS, &read, |key| Some(moment(key.ends)));
        self.key_gauge(&catalog::KEY_UNTIL, &read, |key| Some(moment(key.until)));
        self.key_gauge(&catalog::KEY_MISSING, &read, |key| Some(key.missing.into()));
        self.key_gauge(&catalog::KEY_SIGNED, &read, |key| Some(key.worn?.0));
        self.key_gauge(&catalog::KEY_LIFETIME, &read, |key| Some(key.worn?.1));
        self.key_gauge(&catalog::CRL_SINCE, &read, |key| Some(moment(key.crl?.0)));
        self.key_gauge(&catalog::CRL_UNTIL, &read, |key| Some(moment(key.crl?.1)));
    }

    fn key_gauge(&self, spec: &Spec, read: &Read, of: fn(&KeyMoments) -> Option<u64>) {
        let (metrics, read) = (self.clone(), Arc::clone(read));
        let gauge = self
            .0
            .meter
            .u64_observable_gauge(spec.name)
            .with_description(spec.help);
        let observed = gauge.with_callback(move |observer| {
            for key in read() {
                if let Some(number) = of(&key) {
                    observer.observe(number, &metrics.of_key(&key));
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
