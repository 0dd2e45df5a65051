//! Owns the way to the collector: OTLP over gRPC to this host. Batches are bounded, sent by threads of their own, and lost
//! when the collector does not take them. Everything is said here, for the libraries would else ask the environment.

use std::{sync::Arc, time::Duration};

use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, Temporality},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanLimits},
};
use tonic::{
    Request, Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use super::{
    TelemetryError,
    delivery::{Accounted, Delivery},
    sampling::Budget,
};
use crate::config::Collector;

/// How long a connection to this host may take, and a batch.
const CONNECT_TIME: Duration = Duration::from_secs(1);
const EXPORT_TIME: Duration = Duration::from_secs(3);
/// How often measurements are sent.
const METRICS_EVERY: Duration = Duration::from_secs(10);
/// Spans that wait; more are lost. A traced order has nine.
const SPANS: usize = 4096;
const SPANS_PER_BATCH: usize = 512;
const SPANS_EVERY: Duration = Duration::from_secs(1);
const LIMITS: SpanLimits = SpanLimits {
    max_events_per_span: 0,
    max_attributes_per_span: 16,
    max_links_per_span: 0,
    max_attributes_per_event: 0,
    max_attributes_per_link: 0,
};

/// The connection, made when it is first used and again when it is lost.
pub(super) fn channel(collector: &Collector) -> Result<Channel, TelemetryError> {
    let endpoint = Endpoint::from_shared(format!("http://{}", collector.address))
        .map_err(|e| TelemetryError(e.to_string()))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIME)
        .timeout(EXPORT_TIME)
        .connect_lazy())
}

pub(super) fn traces(
    channel: &Channel,
    collector: &Collector,
    resource: Resource,
    delivery: Arc<Delivery>,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_channel(channel.clone())
        .with_timeout(EXPORT_TIME)
        .with_interceptor(bare)
        .build()
        .map_err(|e| TelemetryError(e.to_string()))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS)
        .with_max_export_batch_size(SPANS_PER_BATCH)
        .with_scheduled_delay(SPANS_EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(Accounted { exporter, delivery })
        .with_batch_config(batches)
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Budget::new(collector.sample_ratio))
        .with_span_limits(LIMITS)
        .with_span_processor(processor)
        .build())
}

pub(super) fn metrics(
    channel: &Channel,
    delivery: Arc<Delivery>,
) -> Result<PeriodicReader<Accounted<MetricExporter>>, TelemetryError> {
    let exporter = MetricExporter::builder()
        .with_temporality(Temporality::Cumulative)
        .with_tonic()
        .with_channel(channel.clone())
        .with_timeout(EXPORT_TIME)
        .with_interceptor(bare)
        .build()
        .map_err(|e| TelemetryError(e.to_string()))?;
    Ok(PeriodicReader::builder(Accounted { exporter, delivery })
        .with_interval(METRICS_EVERY)
        .build())
}

/// Takes off the headers that the library found in the environment.
fn bare(mut request: Request<()>) -> Result<Request<()>, Status> {
    *request.metadata_mut() = MetadataMap::new();
    Ok(request)
}
