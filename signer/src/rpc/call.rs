//! Owns one call of one method: parsed into domain types, done in a task of its own, and decided again when the
//! documents moved meanwhile.

use std::{future::Future, sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::{
    authority::{AdmittedBy, Authority, Context, Snapshot},
    domain::actor::{Actor, Origin},
    error::Error,
    ids::RequestId,
    limits::Place,
    metrics::Metrics,
    rpc::{
        caller::{Caller, Stranger},
        deadline::Deadline,
        peer::Peer,
        span::RequestSpan,
        status::status,
    },
};

/// How often a request is decided anew because the documents moved: by a change, or twice by each end of a key, of which
/// several may come at once.
const MOST_ATTEMPTS: u32 = 8;

/// What all methods act on.
#[derive(Clone)]
pub(crate) struct Desk {
    /// The use cases.
    pub(crate) authority: Arc<Authority>,
    /// The SPIFFE trust domain of callers.
    pub(crate) scheme: Arc<str>,
    /// The longest request.
    pub(crate) longest: Duration,
    /// The work that was begun, also of clients that went away.
    pub(crate) work: TaskTracker,
    /// Where requests are measured.
    pub(crate) metrics: Metrics,
}

/// An admitted request: who calls, by which documents, until when.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) request: RequestId,
    pub(crate) peer: Peer,
    pub(crate) caller: Caller,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) deadline: Deadline,
    /// Among the institution's requests under way, until the work is done; none where no limit holds.
    pub(crate) place: Option<Arc<Place>>,
    pub(crate) admitted_by: AdmittedBy,
    pub(crate) span: RequestSpan,
}

impl Call {
    fn context(&self) -> Context {
        Context {
            institution: self.caller.id().institution().clone(),
            origin: Origin {
                actor: Actor::Caller(self.caller.id().clone()),
                request: self.request,
            },
            snapshot: Arc::clone(&self.snapshot),
            deadline: self.deadline.at,
            admitted_by: self.admitted_by,
        }
    }
}

impl Desk {
    /// Authenticates the peer by these documents.
    pub(crate) fn authenticate(&self, peer: &Peer, snapshot: &Snapshot) -> Result<Caller, Error> {
        Caller::authenticate(
            peer.as_deref(),
            snapshot,
            &self.scheme,
            self.authority.clock().now(),
        )
    }

    /// The same, with the cause.
    pub(crate) fn known(&self, peer: &Peer, snapshot: &Snapshot) -> Result<Caller, Stranger> {
        let now = self.authority.clock().now();
        Caller::known(peer.as_deref(), snapshot, &self.scheme, now)
    }

    /// Runs a method. `parse` takes the message apart, `work` is the use case.
    pub(crate) async fn run<Q, A, R, F, W>(
        &self,
        request: Request<Q>,
        parse: impl FnOnce(Q) -> Result<A, Error>,
        work: W,
    ) -> Result<Response<R>, Status>
    where
        A: Clone + Send + Sync + 'static,
        R: Send + 'static,
        F: Future<Output = Result<R, Error>> + Send,
        W: Fn(Arc<Authority>, Context, A) -> F + Send + Sync + 'static,
    {
        let (_, mut extensions, message) = request.into_parts();
        let call = extensions.remove::<Call>();
        let call = call.ok_or_else(|| {
            status(
                Error::internal("a request was not admitted"),
                RequestId::new(),
            )
        })?;
        let id = call.request;
        let ask = parse(message).map_err(|error| status(error, id))?;
        let (desk, span) = (self.clone(), call.span.clone());
        // A client that goes away must not end what has begun.
        let task = self
            .work
            .spawn(async move { span.within(desk.decide(call, ask, work)).await });
        let done = task
            .await
            .unwrap_or_else(|panicked| Err(Error::internal(panicked)));
        done.map(Response::new).map_err(|error| status(error, id))
    }

    /// `call` lives as long as the work, and with it the place that it takes.
    async fn decide<A, R, F, W>(self, mut call: Call, ask: A, work: W) -> Result<R, Error>
    where
        A: Clone,
        F: Future<Output = Result<R, Error>>,
        W: Fn(Arc<Authority>, Context, A) -> F,
    {
        let mut attempt = 1;
        loop {
            let ctx = call.context();
            match work(Arc::clone(&self.authority), ctx, ask.clone()).await {
                Err(Error::Stale) if attempt < MOST_ATTEMPTS => {
                    attempt += 1;
                    call.snapshot = self.authority.refresh().await?;
                    call.caller = self.authenticate(&call.peer, &call.snapshot)?;
                }
                Err(error) => {
                    self.authority.note_overload(&call.context(), &error);
                    return Err(error);
                }
                done => return done,
            }
        }
    }
}
