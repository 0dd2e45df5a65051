//! Owns what logs and traces tell of a request: two spans with the same words, one for the lines of the log, one inside it
//! for the trace. Without a collector the inner one is not there.

use std::future::Future;

use http::HeaderMap;
use tonic::Code;
use tracing::{Instrument as _, Span, field::Empty, info_span, trace_span};

use crate::{domain::actor::SpiffeId, ids::RequestId, metrics::TRACES, telemetry::continue_trace};

/// The spans of one request.
#[derive(Clone)]
pub(crate) struct RequestSpan {
    log: Span,
    trace: Span,
}

impl RequestSpan {
    /// For a request with this id; its trace goes on from the caller's, if the headers say so.
    pub(super) fn new(id: RequestId, method: &'static str, headers: &HeaderMap) -> Self {
        let log = info_span!(
            "request", request = %id, method, caller = Empty, institution = Empty, reason = Empty
        );
        let trace = log.in_scope(|| {
            trace_span!(
                target: TRACES, "rpc", otel.name = method, otel.kind = "server",
                otel.status_code = Empty, request = %id, method, caller = Empty,
                institution = Empty, result = Empty, reason = Empty,
            )
        });
        continue_trace(&trace, headers);
        Self { log, trace }
    }

    /// Its caller is known.
    pub(super) fn called_by(&self, caller: &SpiffeId) {
        for span in [&self.log, &self.trace] {
            span.record("caller", tracing::field::display(caller));
            span.record("institution", caller.institution().as_str());
        }
    }

    /// It was refused for this reason.
    pub(super) fn refused(&self, code: Code, reason: &'static str) {
        for span in [&self.log, &self.trace] {
            span.record("reason", reason);
        }
        // As OpenTelemetry's conventions for gRPC servers have it: not what the caller did wrong.
        let ours = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        if ours {
            self.trace.record("otel.status_code", "ERROR");
        }
    }

    /// It ended with this code.
    pub(super) fn ended(&self, code: &'static str) {
        self.trace.record("result", code);
    }

    /// Does `work` as a part of the request. In another task, too: a log sees a span only where it is entered.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        work.instrument(self.trace.clone())
            .instrument(self.log.clone())
            .await
    }

    /// Says something as a part of the request.
    pub(super) fn say<T>(&self, say: impl FnOnce() -> T) -> T {
        self.log.in_scope(say)
    }
}
