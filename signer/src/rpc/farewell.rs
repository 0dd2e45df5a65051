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

/// How long the peer has to close its side.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many octets are dropped at a time.
const DROPPED: usize = 4 * 1024;

/// A stream that is closed so.
pub(super) struct Farewell<S> {
    stream: S,
    below: fn(&mut S) -> &mut TcpStream,
    said: Option<Pin<Box<Sleep>>>,
}

impl<S> Farewell<S> {
    /// `stream`, which stands on the socket that `below` gives.
    pub(super) fn new(stream: S, below: fn(&mut S) -> &mut TcpStream) -> Self {
        Self {
            stream,
            below,
            said: None,
        }
    }

    fn poll_peer_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = self.said.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        let tcp = (self.below)(&mut self.stream);
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

impl<S: AsyncRead + Unpin> AsyncRead for Farewell<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Farewell<S> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    /// Somebody at whom last words are said, and the saying of them.
    async fn parting() -> (TcpStream, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut stream = Farewell::new(accepted.unwrap().0, |tcp| tcp);
        let saying = tokio::spawn(async move {
            stream.write_all(b"last words").await.unwrap();
            stream.shutdown().await.unwrap();
        });
        (peer.unwrap(), saying)
    }

    #[tokio::test]
    async fn the_peer_is_listened_to_until_it_has_heard_all() {
        let (mut peer, saying) = parting().await;
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        // It did not know, and was still talking. Of a closed socket the second write would learn.
        for _ in 0..8 {
            peer.write_all(&[7; 8 * DROPPED]).await.unwrap();
        }
        assert!(!saying.is_finished());
        drop(peer);
        saying.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_does_not_close_is_not_waited_for_for_ever() {
        let (peer, saying) = parting().await;
        saying.await.unwrap();
        drop(peer);
    }
}
