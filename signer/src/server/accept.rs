//! Owns the accepting of connections: TLS handshakes are concurrent, bounded and timed, and never stand in the way of
//! connections that are established.

use std::{sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

use crate::{
    authority::Authority,
    metrics::{Metrics, OpenConnection, Turned},
    rpc::{caller::Caller, connection::Connection, peer::PeerIdentity},
    server::places::{Place, Places},
};

/// How long to wait when the system gives no connection, for example because no descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection holds until it has ended: its place, and that it is counted.
type Held = (Place, OpenConnection);

/// What decides who comes in.
pub(super) struct Reception {
    /// What handshakes are made with.
    pub(super) tls: watch::Receiver<Arc<ServerConfig>>,
    /// The longest handshake.
    pub(super) handshake: Duration,
    pub(super) places: Arc<Places>,
    /// The most handshakes at a time. Strangers can fill these places and no others.
    pub(super) handshakes: usize,
    /// Whose registers say who is a caller, of this SPIFFE trust domain.
    pub(super) authority: Arc<Authority>,
    pub(super) scheme: String,
    pub(super) metrics: Metrics,
}

/// The connections to a listener, which is closed soon after the stream is dropped.
pub(super) fn incoming(
    listener: TcpListener,
    reception: Reception,
) -> ReceiverStream<Connection<Held>> {
    let (established, connections) = mpsc::channel(reception.handshakes);
    tokio::spawn(Arc::new(reception).accept(listener, established));
    ReceiverStream::new(connections)
}

impl Reception {
    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        established: mpsc::Sender<Connection<Held>>,
    ) {
        // Dropped with this task, and the handshakes with it.
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                () = established.closed() => return,
                Some(_) = handshakes.join_next() => {}
                accepted = listener.accept(), if handshakes.len() < self.handshakes => match accepted {
                    Ok((stream, _)) => {
                        handshakes.spawn(Arc::clone(&self).establish(stream, established.clone()));
                    }
                    Err(error) => {
                        warn!(%error, "no connection can be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn establish(
        self: Arc<Self>,
        stream: TcpStream,
        established: mpsc::Sender<Connection<Held>>,
    ) {
        // Replies are small and awaited: Nagle's algorithm would only hold them back.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.borrow()));
        let stream = match timeout(self.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.metrics.turned_away(Turned::Handshake);
                return debug!(%error, "a TLS handshake failed");
            }
            Err(_) => {
                self.metrics.turned_away(Turned::Slow);
                return debug!("a TLS handshake took too long");
            }
        };
        let presented = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = PeerIdentity::read(presented).map(Arc::new);
        // Only who has proven possession of a certificate takes a place, and of others' places none.
        let (snapshot, now) = (self.authority.snapshot(), self.authority.clock().now());
        let caller = Caller::known(peer.as_deref(), &snapshot, &self.scheme, now).ok();
        let holder = caller.map(|caller| caller.id().institution().clone());
        match self.places.take(holder) {
            Err(full) => {
                self.metrics.turned_away(full.into());
                let peer = peer.as_deref().map(|peer| peer.uri.as_str());
                warn!(peer, why = %full, "a connection was closed");
            }
            Ok(place) => {
                let connection = Connection {
                    stream,
                    peer,
                    held: (place, self.metrics.connected()),
                };
                // Nobody takes it when the server drains.
                let _closed = established.send(connection).await;
            }
        }
    }
}
