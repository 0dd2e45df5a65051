//! A collector of OpenTelemetry on this host: takes traces and metrics over OTLP and keeps all that came, octet by octet.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Bytes, http, tokio_stream::wrappers::TcpListenerStream},
    transport::Server,
};
use tower::Service;

use crate::failure::Failure;

/// All that came.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The spans, in the order in which they came.
    pub spans: Vec<Span>,
    /// The metrics of the last export.
    pub metrics: Vec<Metric>,
    /// What was said of the process, with each batch.
    pub resources: Vec<Resource>,
    /// Heads and bodies, as they came.
    pub octets: Vec<u8>,
}

/// The collector; it ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    server: JoinHandle<()>,
}

impl Collector {
    /// Starts one.
    ///
    /// # Errors
    /// No address is free.
    pub async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let inbox = Inbox(Arc::clone(&seen));
        let door = Door {
            traces: TraceServiceServer::new(inbox.clone()),
            metrics: MetricsServiceServer::new(inbox),
            seen: Arc::clone(&seen),
        };
        let connections = TcpListenerStream::new(listener);
        let serving = Server::builder().serve_with_incoming(door, connections);
        let server = tokio::spawn(async {
            // What is missing then is missed by the test.
            let _ended = serving.await;
        });
        Ok(Self {
            address,
            seen,
            server,
        })
    }

    /// The tables of a `signer.toml` that has everything sent here, and every request traced.
    #[must_use]
    pub fn configuration(&self) -> String {
        configuration(self.address)
    }

    /// All that came so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }
}

/// The tables of a `signer.toml` that has everything sent to this address, and every request traced.
#[must_use]
pub fn configuration(address: SocketAddr) -> String {
    format!("[telemetry]\notlp_endpoint = \"http://{address}\"\nsample_ratio = 1.0\n")
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The text of an attribute; nothing if there is none of this key.
#[must_use]
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref() {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text),
        _ => None,
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Inbox(Arc<Mutex<Seen>>);

#[tonic::async_trait]
impl TraceService for Inbox {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut seen = locked(&self.0);
        for batch in request.into_inner().resource_spans {
            seen.resources.extend(batch.resource);
            let spans = batch.scope_spans.into_iter().flat_map(|scope| scope.spans);
            seen.spans.extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Inbox {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut seen = locked(&self.0);
        seen.metrics.clear();
        for batch in request.into_inner().resource_metrics {
            seen.resources.extend(batch.resource);
            let metrics = batch.scope_metrics.into_iter();
            seen.metrics.extend(metrics.flat_map(|scope| scope.metrics));
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Keeps what comes before anybody reads it.
#[derive(Clone)]
struct Door {
    traces: TraceServiceServer<Inbox>,
    metrics: MetricsServiceServer<Inbox>,
    seen: Arc<Mutex<Seen>>,
}

impl Service<http::Request<Body>> for Door {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut door = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // One that breaks off is none.
            let body = body.collect().await;
            let body = body.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
            {
                let mut seen = locked(&door.seen);
                seen.octets.extend(format!("{:?}\n", head.headers).bytes());
                seen.octets.extend(&body);
            }
            let traces = head.uri.path().contains("TraceService");
            let request = http::Request::from_parts(head, Body::new(Full::new(body)));
            if traces {
                door.traces.call(request).await
            } else {
                door.metrics.call(request).await
            }
        })
    }
}
