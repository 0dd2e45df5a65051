//! Owns the account of what reached the collector: counted for the metrics, and told once in the log when it turns.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};
use tracing::{info, warn};

use crate::metrics::Export;

/// Of both kinds of batches.
#[derive(Default)]
pub(super) struct Delivery {
    traces: Account,
    metrics: Account,
}

#[derive(Default)]
struct Account {
    sent: AtomicU64,
    lost: AtomicU64,
    failing: AtomicBool,
}

impl Delivery {
    /// What stands in the metrics.
    pub(super) fn counts(&self) -> [Export; 2] {
        let of = |what, account: &Account| Export {
            what,
            sent: account.sent.load(Ordering::Relaxed),
            lost: account.lost.load(Ordering::Relaxed),
        };
        [of("traces", &self.traces), of("metrics", &self.metrics)]
    }
}

impl Account {
    fn note(&self, what: &'static str, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                self.sent.fetch_add(1, Ordering::Relaxed);
                if self.failing.swap(false, Ordering::Relaxed) {
                    info!(what, "the collector takes telemetry again");
                }
            }
            Err(error) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    warn!(what, %error, "the collector does not take telemetry; it is lost until it does");
                }
            }
        }
    }
}

/// An exporter whose results are accounted for.
pub(super) struct Accounted<E> {
    pub(super) exporter: E,
    pub(super) delivery: Arc<Delivery>,
}

impl<E: fmt::Debug> fmt::Debug for Accounted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exporter.fmt(f)
    }
}

impl<E: SpanExporter> SpanExporter for Accounted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.delivery.traces.note("traces", &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Accounted<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.exporter.export(metrics).await;
        self.delivery.metrics.note("metrics", &result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
