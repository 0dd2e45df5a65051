//! Owns the life of an established connection: it is served until its peer is no caller any more, its age is reached or
//! the service drains. Then it takes nothing new (GOAWAY, RFC 9113 s6.8), what is under way is answered, and after the
//! longest time that a request may take it is cut off.

use std::{convert::Infallible, pin::pin, time::Duration};

use aws_lc_rs::rand;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service as _;
use tracing::{debug, info};

use crate::{
    clock::Timestamp,
    metrics::Ended,
    rpc::{call::Desk, caller::Stranger, farewell::Farewell, gate::Gate, peer::Peer},
};

/// The most requests at a time on one connection (RFC 9113 s6.5.2).
const MAX_STREAMS: u32 = 256;
/// The longest header list of a request, octets; ours have some 300.
const MAX_HEADERS: u32 = 8 * 1024;
/// How many octets of requests' bodies may come before they are read: of one request, of all of a connection (RFC 9113
/// s6.9). They bound what a client can have the service hold.
const WINDOWS: (u32, u32) = (64 * 1024, 256 * 1024);
/// How many streams a client may have reset before the server has seen to them, and how many the server resets for a
/// client's faults, before the connection is closed (CVE-2023-44487, CVE-2025-8671).
const MAX_RESETS: usize = 32;
/// How long a connection may be silent before the peer is asked for a sign of life, and how long that may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));
/// The longest time between two looks at a certificate's validity: the clock may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// An established connection.
pub(crate) struct Connection<H> {
    /// Its two ways.
    pub(crate) stream: TlsStream<TcpStream>,
    /// Who is at the other end.
    pub(crate) peer: Peer,
    /// What it holds until it has ended.
    pub(crate) held: H,
}

/// What connections are kept with.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) gate: Gate,
    pub(super) desk: Desk,
    /// The oldest that a connection becomes.
    pub(super) age: Duration,
    pub(super) draining: CancellationToken,
}

/// Why a connection takes nothing new.
enum Ending {
    Drain,
    Age,
    NoCaller(Stranger),
}

impl Keeper {
    /// Serves a connection to its end.
    pub(super) async fn keep<H>(self, connection: Connection<H>) {
        let Connection {
            stream,
            peer,
            held: _held,
        } = connection;
        let (gate, of) = (self.gate.clone(), peer.clone());
        let service = service_fn(move |request| answer(gate.clone(), of.clone(), request));
        let stream = TokioIo::new(Farewell::new(stream, |tls| tls.get_mut().0));
        let mut served = pin!(protocol().serve_connection(stream, service));
        let ending = tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "a connection failed");
                }
                return;
            }
            ending = self.ending(&peer) => ending,
        };
        let name = peer.as_deref().map(|peer| peer.uri.as_str());
        let ended = match ending {
            Ending::Drain => Ended::Drain,
            Ending::Age => {
                debug!(peer = name, "a connection ends: it has reached its age");
                Ended::Age
            }
            Ending::NoCaller(why) => {
                info!(peer = name, %why, "a connection ends: its peer is no caller");
                Ended::NoCaller
            }
        };
        served.as_mut().graceful_shutdown();
        let in_time = timeout(self.desk.longest, served).await.is_ok();
        if !in_time {
            info!(peer = name, "a connection was cut off");
        }
        let ended = if in_time { ended } else { Ended::CutOff };
        self.desk.metrics.disconnected(ended);
    }

    async fn ending(&self, peer: &Peer) -> Ending {
        tokio::select! {
            () = self.draining.cancelled() => Ending::Drain,
            () = sleep(jittered(self.age)) => Ending::Age,
            why = self.is_no_caller(peer) => Ending::NoCaller(why),
        }
    }

    /// Waits until the peer is no caller, by the documents in force and the time.
    async fn is_no_caller(&self, peer: &Peer) -> Stranger {
        let mut documents = self.desk.authority.documents();
        // Who never was a caller has the time of a request: it is told so, and may be registered meanwhile.
        let mut patience = Some(self.desk.longest);
        loop {
            let snapshot = documents.borrow_and_update().clone();
            let wait = match (self.desk.known(peer, &snapshot), patience.take()) {
                (Ok(_), _) => self.left(peer).min(LOOK_AGAIN),
                (Err(_), Some(patience)) => patience,
                (Err(why), None) => return why,
            };
            tokio::select! {
                // The authority keeps the sender for as long as this is served.
                _ = documents.changed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// How long the peer's certificate is valid; both ends of its validity count (RFC 5280 s4.1.2.5).
    fn left(&self, peer: &Peer) -> Duration {
        let end = peer.as_deref().map(|peer| peer.not_after.saturating_add(1));
        let end = end.map(Timestamp::from_seconds);
        end.map_or(Duration::ZERO, |end| {
            self.desk.authority.clock().now().until(end)
        })
    }
}

fn protocol() -> http2::Builder<TokioExecutor> {
    let mut protocol = http2::Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1);
    protocol
}

async fn answer(
    mut gate: Gate,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    gate.call(request).await
}

/// Up to a tenth less, so that those who came together do not come back together.
fn jittered(age: Duration) -> Duration {
    let mut drawn = [0];
    match rand::fill(&mut drawn) {
        Ok(()) => age - age / 10 * u32::from(drawn[0]) / 256,
        Err(_) => age,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_connection_lives_longer_than_its_age_or_a_tenth_less() {
        let age = Duration::from_secs(3_600);
        let drawn: Vec<Duration> = (0..1_000).map(|_| jittered(age)).collect();
        assert!(
            drawn
                .iter()
                .all(|drawn| (age * 9 / 10..=age).contains(drawn))
        );
        let spread = drawn.iter().max().zip(drawn.iter().min());
        assert!(
            spread.is_some_and(|(most, least)| *most - *least > age / 20),
            "{spread:?}"
        );
    }
}
