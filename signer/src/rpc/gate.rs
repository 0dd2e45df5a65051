//! Owns the way in: every request of every service passes here before its body is read. Its caller is authenticated, its
//! role compared with the method, its limits are asked, its deadline is set; and every reply leaves here, with its request
//! id and one log line.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use tokio::{sync::Semaphore, time::timeout_at};
use tonic::{Status, body::Body};
use tower::Service;
use tracing::info;

use crate::{
    authority::{AdmittedBy, Snapshot},
    domain::actor::SpiffeId,
    error::{Error, Reason},
    ids::RequestId,
    metrics::{Rpc, UNKNOWN},
    rpc::{
        bounded::Bounded,
        call::{Call, Desk},
        caller::Caller,
        deadline::Deadline,
        ending::{code_name, ending, transports_own},
        method::{self, Method},
        peer::Peer,
        read_out::read_out,
        routes::Routes,
        span::RequestSpan,
        status::{Unreached, status},
    },
};

/// The way in.
#[derive(Clone)]
pub(crate) struct Gate {
    desk: Desk,
    routes: Routes,
    /// Of the store, for requests that no limit holds back.
    reads: Arc<Semaphore>,
}

/// The most reads of the store at a time for requests that no limit holds back: of those who are not known, and of health.
const UNLIMITED_READS: usize = 8;

impl Gate {
    /// The way in to these routes.
    pub(crate) fn new(desk: Desk, routes: Routes) -> Self {
        let reads = Arc::new(Semaphore::new(UNLIMITED_READS));
        Self {
            desk,
            routes,
            reads,
        }
    }

    async fn answer(mut self, request: Request<Body>) -> Response<Body> {
        let (id, arrived) = (RequestId::new(), Instant::now());
        let method = Method::at(request.uri().path());
        let name = method.map_or(UNKNOWN, Method::path);
        let mut told = Told {
            rpc: self.desk.metrics.rpc(name, arrived),
            span: RequestSpan::new(id, name, request.headers()),
        };
        let span = told.span.clone();
        let reply = self.reply(request, method, id, arrived, &mut told);
        let reply = span.within(reply).await;
        let mut response = reply.unwrap_or_else(Status::into_http);
        if let Ok(value) = HeaderValue::try_from(id.to_string()) {
            response.headers_mut().insert("x-request-id", value);
        }
        told.answered(&response, arrived);
        response
    }

    async fn reply(
        &mut self,
        request: Request<Body>,
        method: Option<Method>,
        id: RequestId,
        arrived: Instant,
        told: &mut Told,
    ) -> Result<Response<Body>, Status> {
        let deadline = Deadline::of(request.headers(), self.desk.longest, arrived)
            .map_err(|_| Unreached::MalformedTimeout.status(id))?;
        let served = timeout_at(
            deadline.at.into(),
            self.serve(request, method, id, deadline, told),
        )
        .await;
        let response = served.unwrap_or_else(|_| Err(status(Error::DeadlineExceeded, id)))?;
        Ok(match transports_own(&response) {
            Some(code) => Unreached::from_transport(code).status(id).into_http(),
            None => response,
        })
    }

    async fn serve(
        &mut self,
        request: Request<Body>,
        method: Option<Method>,
        id: RequestId,
        deadline: Deadline,
        told: &mut Told,
    ) -> Result<Response<Body>, Status> {
        let peer = request.extensions().get::<Peer>().cloned().flatten();
        let call = match self.admit(peer, method, id, deadline, told).await {
            Ok(call) => call,
            Err(error) => {
                read_out(request.into_body()).await;
                return Err(status(error, id));
            }
        };
        // Only an authenticated caller learns which methods there are.
        let method = method.ok_or_else(|| Unreached::MethodUnknown.status(id))?;
        if let Some(code) = not_grpc(&request) {
            let mut response = Unreached::NotGrpc.status(id).into_http();
            *response.status_mut() = code;
            return Ok(response);
        }
        let mut request = match method.service() {
            method::Service::Reflection => {
                let place = call.place.clone();
                request.map(|body| Body::new(Bounded::new(body, deadline.at, place)))
            }
            _ => request,
        };
        request.extensions_mut().insert(call);
        Ok(self.routes.serve(method, request).await)
    }

    async fn admit(
        &self,
        peer: Peer,
        method: Option<Method>,
        id: RequestId,
        deadline: Deadline,
        told: &mut Told,
    ) -> Result<Call, Error> {
        let (snapshot, caller) = self.recognize(&peer).await?;
        told.called_by(caller.id());
        if method.is_some_and(|method| !method.allows(caller.id().role())) {
            return Err(Error::Forbidden(Reason::RoleNotAllowed));
        }
        let authority = &self.desk.authority;
        // Before anything is read, from the store or from the caller.
        let (place, admitted_by) = if method.is_none_or(Method::is_limited) {
            let admission = authority.admit(&snapshot, caller.id(), id).await?;
            (Some(Arc::new(admission.place)), admission.by)
        } else {
            (None, AdmittedBy::Quota)
        };
        let (snapshot, caller) = match method {
            Some(method) if method.compares_generation() => (snapshot, caller),
            _ => {
                self.recognize_again(&peer, snapshot, caller, place.is_some())
                    .await?
            }
        };
        Ok(Call {
            request: id,
            peer,
            caller,
            snapshot,
            deadline,
            place,
            admitted_by,
            span: told.span.clone(),
        })
    }

    /// The caller by the documents as last read, or as they are now: it may have been registered since.
    async fn recognize(&self, peer: &Peer) -> Result<(Arc<Snapshot>, Caller), Error> {
        let authority = &self.desk.authority;
        let snapshot = authority.snapshot();
        let unknown = match self.desk.authenticate(peer, &snapshot) {
            Ok(caller) => return Ok((snapshot, caller)),
            Err(unknown) => unknown,
        };
        let Ok(_read) = self.reads.try_acquire() else {
            return Err(unknown);
        };
        let current = authority.current().await?;
        if current.generation() == snapshot.generation() {
            return Err(unknown);
        }
        let caller = self.desk.authenticate(peer, &current)?;
        Ok((current, caller))
    }

    /// The same by the documents as they are now, where no use case compares them. A request without a limit does without
    /// when too many read: the documents are at most a tick of the schedule old.
    async fn recognize_again(
        &self,
        peer: &Peer,
        snapshot: Arc<Snapshot>,
        caller: Caller,
        limited: bool,
    ) -> Result<(Arc<Snapshot>, Caller), Error> {
        let _read = match (limited, self.reads.try_acquire()) {
            (true, _) => None,
            (false, Ok(read)) => Some(read),
            (false, Err(_)) => return Ok((snapshot, caller)),
        };
        let current = self.desk.authority.current().await?;
        // Of the same generation it may be judged by other roots.
        if Arc::ptr_eq(&current, &snapshot) {
            return Ok((snapshot, caller));
        }
        let caller = self.desk.authenticate(peer, &current)?;
        Ok((current, caller))
    }
}

/// HTTP's word for what is no request of gRPC (gRPC over HTTP/2, "Requests"). The generated servers do not look.
fn not_grpc<B>(request: &Request<B>) -> Option<StatusCode> {
    if request.method() != http::Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let media_type = request.headers().get(CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let subtype = media_type.and_then(|text| text.strip_prefix("application/grpc"));
    let known = subtype.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']));
    (!known).then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// What is told of one request: measured, logged, traced.
struct Told {
    rpc: Rpc,
    span: RequestSpan,
}

impl Told {
    fn called_by(&mut self, caller: &SpiffeId) {
        self.rpc.called_by(caller.institution());
        self.span.called_by(caller);
    }

    fn answered(self, response: &Response<Body>, arrived: Instant) {
        let (code, reason) = ending(response);
        let micros = u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(reason) = reason {
            self.span.refused(code, reason);
        }
        self.span.say(|| info!(result = ?code, micros, "answered"));
        let name = code_name(code);
        self.span.ended(name);
        self.rpc.answered(name, reason.unwrap_or("none"));
    }
}

impl Service<Request<Body>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gate = self.clone();
        Box::pin(async move { Ok(gate.answer(request).await) })
    }
}
