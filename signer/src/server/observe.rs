//! Owns what the metrics are told that is known where the service is put together: keys, tokens, readiness.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    authority::Authority,
    hsm::{Health, TokenView, Watch},
    metrics::{Metrics, RootMoments, TokenState},
};

/// The words for a token's health.
const HEALTHS: &[&str] = &[
    "SERVING",
    "FAILING",
    "REPLACING",
    "STUCK",
    "FATAL",
    "UNKNOWN",
];

/// What the use cases know of keys and roots, whenever somebody looks, for as long as there are use cases.
pub(super) fn authority(metrics: &Metrics, authority: &Arc<Authority>) {
    keys(metrics, authority);
    roots(metrics, authority);
}

fn roots(metrics: &Metrics, authority: &Arc<Authority>) {
    let authority = Arc::downgrade(authority);
    metrics.observe_roots(move || {
        let authority = authority.upgrade();
        authority.map_or_else(RootMoments::default, |authority| authority.root_moments())
    });
}

fn keys(metrics: &Metrics, authority: &Arc<Authority>) {
    let authority = Arc::downgrade(authority);
    metrics.observe_keys(move || {
        let authority = authority.upgrade();
        authority.map_or_else(Vec::new, |authority| authority.key_moments())
    });
}

/// The tokens, whenever somebody looks.
pub(super) fn tokens(metrics: &Metrics, watch: Watch) {
    metrics.observe_tokens(HEALTHS, move || watch.views().map(token).collect());
}

fn token(view: TokenView) -> TokenState {
    let gauges = view.gauges;
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    TokenState {
        institution: view.institution,
        token: view.label,
        health: match view.health {
            Health::Serving => "SERVING",
            Health::Failing(_) => "FAILING",
            Health::Replacing(_) => "REPLACING",
            Health::Stuck(_) => "STUCK",
            Health::Fatal(_) => "FATAL",
            Health::Unknown => "UNKNOWN",
        },
        queue_depth: number(gauges.waiting),
        queue_capacity: number(gauges.capacity),
        workers: number(gauges.workers),
        replaced: gauges.replaced,
        threads: number(gauges.threads),
        threads_busy: number(gauges.busy),
        sessions: number(gauges.sessions),
        longest_call: gauges.longest_call,
        signatures: gauges.signatures,
        failures: gauges.failures,
        expired: gauges.expired,
        logins: gauges.logins,
    }
}

/// Whether requests are taken. It holds no use case: these end while the numbers may still be looked at.
#[derive(Clone)]
pub(super) struct Readiness {
    authority: Weak<Authority>,
    draining: CancellationToken,
}

impl Readiness {
    pub(super) fn of(authority: &Arc<Authority>, draining: CancellationToken) -> Self {
        Self {
            authority: Arc::downgrade(authority),
            draining,
        }
    }

    /// How long no order is co-signed yet.
    pub(super) fn held(&self) -> Duration {
        let authority = self.authority.upgrade();
        authority.map_or(Duration::ZERO, |authority| authority.held())
    }

    /// Why none are taken, if none are.
    pub(super) fn unready(&self) -> Option<&'static str> {
        if self.draining.is_cancelled() {
            return Some("the service drains");
        }
        let ready = self
            .authority
            .upgrade()
            .is_some_and(|authority| authority.is_ready());
        (!ready).then_some("the store could not be read and written in the last seconds")
    }
}
