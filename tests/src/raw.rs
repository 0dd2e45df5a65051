//! Requests below the generated clients: any path, any header, any body, and all that comes back.

use std::{error::Error, time::Duration};

use http_body_util::{BodyExt as _, Full};
use tokio::time::timeout;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Body as HttpBody, Bytes,
        http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE},
    },
    transport::Channel,
};
use tower::ServiceExt as _;

use crate::failure::Failure;

/// How long an answer may take: longer than the service gives any request.
const ANSWER: Duration = Duration::from_secs(20);

/// All that came back.
#[derive(Debug)]
pub struct Answer {
    /// The status of HTTP.
    pub http: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The status of gRPC, from the trailers or, where there is no message, from the headers.
    pub status: Status,
    /// The length-prefixed messages as they came.
    pub body: Bytes,
}

impl Answer {
    /// The first message, if there is one.
    #[must_use]
    pub fn message(&self) -> Option<&[u8]> {
        let length: [u8; 4] = self.body.get(1..5)?.try_into().ok()?;
        let end = usize::try_from(u32::from_be_bytes(length))
            .ok()?
            .checked_add(5)?;
        self.body.get(5..end)
    }

    /// The request id that every answer carries.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.headers.get("x-request-id")?.to_str().ok()
    }
}

/// A Length-Prefixed-Message of gRPC over HTTP/2, not compressed.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// A request as a gRPC client makes it, with this body.
///
/// # Errors
/// `path` is none.
pub fn request(path: &str, body: Vec<u8>) -> Result<Request<Body>, Failure> {
    let request = Request::post(path)
        .header(CONTENT_TYPE, "application/grpc")
        .header("te", "trailers");
    Ok(request.body(Body::new(Full::new(Bytes::from(body))))?)
}

/// Sends a request and takes its whole answer.
///
/// # Errors
/// The connection broke, or there was no answer in time.
pub async fn send(channel: &Channel, request: Request<Body>) -> Result<Answer, Failure> {
    let answered = timeout(ANSWER, async {
        answer(channel.clone().oneshot(request).await?).await
    })
    .await;
    answered.map_err(|_| Failure::new(format!("no answer within {ANSWER:?}")))?
}

/// Calls a method with the encoded `message`.
///
/// # Errors
/// As [`send`].
pub async fn call(channel: &Channel, path: &str, message: &[u8]) -> Result<Answer, Failure> {
    send(channel, request(path, framed(message))?).await
}

/// Takes the whole answer.
///
/// # Errors
/// The connection broke.
pub async fn answer<B>(response: Response<B>) -> Result<Answer, Failure>
where
    B: HttpBody<Error: Error + 'static>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&trailers)
        .or_else(|| Status::from_header_map(&head.headers))
        .unwrap_or_else(|| Status::new(Code::Unknown, "an answer without grpc-status"));
    Ok(Answer {
        http: head.status,
        headers: head.headers,
        status,
        body: body.to_bytes(),
    })
}
