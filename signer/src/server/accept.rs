//! Owns the accepting of connections: TLS handshakes are concurrent, bounded and timed, and never stand in the way of
//! connections that are established.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::{
    config::Grpc,
    metrics::{Metrics, OpenConnection, Turned},
    rpc::peer::{Peer, PeerIdentity},
};

/// The most handshakes at a time. Strangers can fill these places and no others.
const MAX_HANDSHAKES: usize = 256;
/// How long to wait when the system gives no connection, for example because no descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An established connection. It holds its place among the connections until it is dropped.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
    _counted: OpenConnection,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// The connections to a listener, which is closed soon after the stream is dropped.
pub(super) fn incoming(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    grpc: &Grpc,
    metrics: Metrics,
) -> ReceiverStream<io::Result<Connection>> {
    let (established, connections) = mpsc::channel(MAX_HANDSHAKES);
    let door = Door {
        tls,
        places: Arc::new(Semaphore::new(grpc.max_connections)),
        handshake: grpc.handshake,
        established,
        metrics,
    };
    tokio::spawn(Arc::new(door).accept(listener));
    ReceiverStream::new(connections)
}

struct Door {
    tls: watch::Receiver<Arc<ServerConfig>>,
    places: Arc<Semaphore>,
    handshake: Duration,
    established: mpsc::Sender<io::Result<Connection>>,
    metrics: Metrics,
}

impl Door {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        // Dropped with this task, and the handshakes with it.
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                () = self.established.closed() => return,
                Some(_) = handshakes.join_next() => {}
                accepted = listener.accept(), if handshakes.len() < MAX_HANDSHAKES => match accepted {
                    Ok((stream, _)) => {
                        handshakes.spawn(Arc::clone(&self).establish(stream));
                    }
                    Err(error) => {
                        warn!(%error, "no connection can be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn establish(self: Arc<Self>, stream: TcpStream) {
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
        // Only who has proven possession of a certificate takes a place.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.turned_away(Turned::Full);
            return warn!(
                "a connection was closed: there are as many as grpc.max_connections allows"
            );
        };
        let presented = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = PeerIdentity::read(presented).map(Arc::new);
        let connection = Connection {
            stream,
            peer,
            _place: place,
            _counted: self.metrics.connected(),
        };
        // Nobody takes it when the server drains.
        let _closed = self.established.send(Ok(connection)).await;
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
