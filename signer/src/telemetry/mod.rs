//! Owns what leaves the process to tell how it fares: the log, and where measurements and traces go. One set of
//! instruments has two readers, Prometheus text for whoever asks and OTLP for the collector of the configuration. No
//! request waits for either, and none fails with them.

mod context;
mod delivery;
mod log;
mod otlp;
mod sampling;
mod scrape;

use std::{sync::Arc, thread, time::Duration};

use opentelemetry::{KeyValue, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    metrics::{Instrument, SdkMeterProvider, Stream},
    trace::SdkTracerProvider,
};
use semops_objects::institution::InstitutionId;
use tokio::{sync::oneshot, time::timeout};
use tracing::warn;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt as _, registry,
    util::SubscriberInitExt as _,
};

pub use self::context::trace_context;
use self::delivery::Delivery;
pub(crate) use self::{context::continue_trace, scrape::Scrape};
use crate::{
    config::{Collector, Log},
    ids::RequestId,
    metrics::{Metrics, TRACES, catalog},
};

/// What it is called in traces and measurements.
const SERVICE: &str = "semops-signer";
/// How long the last batches may take.
const END_TIME: Duration = Duration::from_secs(4);

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
#[error("telemetry cannot be set up: {0}")]
pub struct TelemetryError(String);

/// The log and the exporters of the process.
pub(crate) struct Telemetry {
    meters: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
    metrics: Metrics,
    scrape: Scrape,
}

impl Telemetry {
    /// Starts logging for the whole process, and exporting if there is a collector; a second call starts no second log.
    pub(crate) fn start<'a>(
        log: Log,
        collector: Option<&Collector>,
        institutions: impl IntoIterator<Item = &'a InstitutionId>,
    ) -> Result<Self, TelemetryError> {
        let institutions: Vec<_> = institutions.into_iter().collect();
        let (delivery, count) = (Arc::new(Delivery::default()), institutions.len());
        let (scrape, reader) = Scrape::new()?;
        let mut meters = SdkMeterProvider::builder()
            .with_resource(resource())
            .with_view(move |instrument: &Instrument| bounded(instrument, count))
            .with_reader(reader);
        let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![log::layer(log)];
        let mut traces = None;
        if let Some(collector) = collector {
            let channel = otlp::channel(collector)?;
            meters = meters.with_reader(otlp::metrics(&channel, Arc::clone(&delivery))?);
            let provider = otlp::traces(&channel, collector, resource(), Arc::clone(&delivery))?;
            let layer = tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(SERVICE))
                .with_context_activation(false)
                .with_location(false)
                .with_threads(false)
                .with_level(false)
                .with_target(false)
                .with_tracked_inactivity(false);
            let filter = Targets::new().with_target(TRACES, tracing::Level::TRACE);
            layers.push(layer.with_filter(filter).boxed());
            traces = Some(provider);
        }
        let _second = registry().with(layers).try_init();
        let meters = meters.build();
        let metrics = Metrics::new(meters.meter(SERVICE), institutions);
        metrics.observe_exports(move || delivery.counts());
        Ok(Self {
            meters,
            traces,
            metrics,
            scrape,
        })
    }

    /// The instruments.
    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The way to read them all.
    pub(crate) fn scrape(&self) -> Scrape {
        self.scrape.clone()
    }

    /// Sends what was not sent yet, for a bounded time.
    pub(crate) async fn end(self) {
        let (finished, finish) = oneshot::channel();
        // Both block. The process does not wait for this thread beyond the time.
        let ending = thread::Builder::new()
            .name("telemetry-end".to_owned())
            .spawn(move || {
                if let Some(traces) = &self.traces {
                    let _lost = traces.shutdown_with_timeout(END_TIME / 2);
                }
                let _lost = self.meters.shutdown();
                // Nobody may wait any more.
                let _ = finished.send(());
            });
        if ending.is_err() || timeout(END_TIME, finish).await.is_err() {
            warn!("the collector did not take the last traces and metrics in time");
        }
    }
}

/// What is said of the process with every batch. No environment variable adds to it.
fn resource() -> Resource {
    Resource::builder_empty()
        .with_service_name(SERVICE)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", RequestId::new().to_string()),
        ])
        .build()
}

/// As many series as the catalogue allows: memory is set aside for that many, and more would be a fault of this program.
fn bounded(instrument: &Instrument, institutions: usize) -> Option<Stream> {
    let spec = catalog::ALL
        .iter()
        .find(|spec| spec.name == instrument.name())?;
    Stream::builder()
        .with_cardinality_limit(spec.series(institutions))
        .build()
        .ok()
}
