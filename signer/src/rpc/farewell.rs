//! Owns how a connection is closed: what the peer still sends is read and dropped until it closes too, for a while. A
//! socket that is closed with octets unread is reset (RFC 1122 s4.2.2.13), and the peer may lose the last answers with
//! it (RFC 9112 s9.6).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

/// How long the peer has to close its side.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many octets are dropped at a time.
const DROPPED: usize = 4 * 1024;

/// A stream that is closed so.
pub(super) struct Farewell {
    stream: TlsStream<TcpStream>,
    said: Option<Pin<Box<Sleep>>>,
}

impl Farewell {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, said: None }
    }

    fn poll_peer_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = self.said.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        let (tcp, _) = self.stream.get_mut();
        let mut dropped = [0; DROPPED];
        loop {
            if end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut read = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut *tcp).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for Farewell {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Farewell {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.said.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.poll_peer_closed(cx).map(Ok)
    }
}
