//! Owns gRPC: the only place that names tonic and the generated messages. [`gate`] is the way in and out of every
//! request, [`call`] runs one method, the services take messages apart and put them together.

mod bounded;
mod call;
mod caller;
mod cosigning;
mod deadline;
mod device_pages;
mod documents;
mod ending;
mod enrollment;
mod field;
mod gate;
mod health;
mod keys;
mod method;
pub(crate) mod peer;
mod routes;
mod service_status;
mod span;
mod status;
mod trust;

use std::{io, sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::server::{Connected, Server};

use self::{call::Desk, gate::Gate, health::HealthChecks, peer::Peer, routes::Routes};
use crate::{authority::Authority, metrics::Metrics};

/// The most requests at a time on one connection (RFC 9113 s6.5.2).
const MAX_STREAMS: u32 = 256;
/// The longest header list of a request, octets; ours have some 300.
const MAX_HEADERS: u32 = 8 * 1024;
/// How many streams a client may have reset before the server has seen to them, and how many the server resets for a
/// client's faults, before the connection is closed (CVE-2023-44487, CVE-2025-8671).
const MAX_RESETS: usize = 32;
/// How long a connection may be silent before the peer is asked for a sign of life, and how long that may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));

/// What gRPC is served with.
pub(crate) struct Serving {
    /// The use cases.
    pub(crate) authority: Arc<Authority>,
    /// The SPIFFE trust domain of callers.
    pub(crate) scheme: String,
    /// The longest request.
    pub(crate) longest: Duration,
    /// Cancelled to drain.
    pub(crate) draining: CancellationToken,
    /// Where work that was begun is counted.
    pub(crate) work: TaskTracker,
    /// Where requests are measured.
    pub(crate) metrics: Metrics,
}

/// Serves these connections until `draining` is cancelled and every request under way is answered.
///
/// # Errors
/// The services cannot be set up.
pub(crate) async fn serve<C>(
    connections: impl Stream<Item = io::Result<C>>,
    serving: Serving,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    C: AsyncRead + AsyncWrite + Connected<ConnectInfo = Peer> + Unpin + Send + 'static,
{
    let Serving {
        authority,
        scheme,
        longest,
        draining,
        work,
        metrics,
    } = serving;
    let health = HealthChecks::new(Arc::clone(&authority), draining.clone());
    let desk = Desk {
        authority,
        scheme: scheme.into(),
        longest,
        work,
        metrics,
    };
    let gate = Gate::new(desk.clone(), Routes::new(&desk, health)?);
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_RESETS))
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .serve_with_incoming_shutdown(gate, connections, draining.cancelled_owned())
        .await?;
    Ok(())
}
