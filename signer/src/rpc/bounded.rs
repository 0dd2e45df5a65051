//! Owns a request body that ends at a deadline, so that no stream of requests stays open for ever, and that holds the place
//! of its request until then.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http_body::{Body as HttpBody, Frame};
use tokio::time::{Sleep, sleep_until};
use tonic::{Status, body::Body};

use crate::limits::Place;

/// A body that ends when its time is over.
pub(crate) struct Bounded {
    body: Body,
    end: Pin<Box<Sleep>>,
    _place: Option<Arc<Place>>,
}

impl Bounded {
    /// `body`, until `deadline`.
    pub(crate) fn new(body: Body, deadline: Instant, place: Option<Arc<Place>>) -> Self {
        Self {
            body,
            end: Box::pin(sleep_until(deadline.into())),
            _place: place,
        }
    }
}

impl HttpBody for Bounded {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => self.end.as_mut().poll(cx).map(|()| None),
            ready => ready,
        }
    }
}
