//! Owns what becomes of the body of a request that is refused before anybody reads it: it is read out and dropped, within
//! bounds. An answer that overtakes its request has the rest of it arrive on a stream that is over (RFC 9113 s8.1), and a
//! connection on which that happens often is closed (CVE-2025-8671). Who only asks too often must not lose the answers to
//! what else is asked on that connection.

use std::{future::poll_fn, pin::Pin, time::Duration};

use http_body::Body as _;
use tokio::time::timeout;
use tonic::{body::Body, codegen::Bytes};

/// How long the rest of a refused request is waited for, and how many octets of it are read.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST: usize = 64 * 1024;

/// Reads `body` to its end, or as far as the bounds let it.
pub(super) async fn read_out(mut body: Body) {
    let read = async {
        let mut left = MOST;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let octets = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(octets) else {
                return;
            };
            left = rest;
        }
    };
    // Whoever sends no end is answered all the same.
    let _late = timeout(PATIENCE, read).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::task::{Context, Poll};

    use http_body::Frame;
    use tonic::Status;

    use super::*;

    /// So many frames of so many octets, and then an end or silence; how many were read is told.
    struct Frames {
        left: usize,
        octets: usize,
        ends: bool,
        read: tokio::sync::mpsc::UnboundedSender<()>,
    }

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let Some(left) = self.left.checked_sub(1) else {
                return if self.ends {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                };
            };
            self.left = left;
            self.read.send(()).unwrap();
            Poll::Ready(Some(Ok(Frame::data(vec![0; self.octets].into()))))
        }
    }

    async fn frames_read(left: usize, octets: usize, ends: bool) -> usize {
        let (read, mut told) = tokio::sync::mpsc::unbounded_channel();
        let frames = Frames {
            left,
            octets,
            ends,
            read,
        };
        read_out(Body::new(frames)).await;
        let mut count = 0;
        while told.try_recv().is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_end_and_not_beyond_the_bounds() {
        assert_eq!(frames_read(0, 1, true).await, 0);
        assert_eq!(frames_read(7, 1_000, true).await, 7);
        assert_eq!(frames_read(MOST / 1_024, 1_024, true).await, 64);
        // More than is read of anybody, and a client that falls silent.
        assert_eq!(frames_read(1_000, 1_024, true).await, 65);
        assert_eq!(frames_read(3, 10, false).await, 3);
    }
}
