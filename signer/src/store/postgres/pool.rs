//! Owns the connections: a bounded number, made when they are needed, each lent to one piece of work at a time.

use std::{
    ops::Deref,
    sync::{Mutex, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    metrics::Metrics,
    store::{
        StoreError,
        postgres::{connect::Connector, error::Failure, primary::Primary, session::Session},
    },
};

/// Connections to one server.
pub(super) struct Pool {
    connector: Connector,
    idle: Mutex<Vec<(Primary, Session)>>,
    places: Semaphore,
    kind: Kind,
}

/// What is done on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Single statements that change nothing.
    Reads,
    /// Transactions.
    Writes,
    /// Transactions that need not outlast a crash: they wait for no disk and no standby.
    Lends,
}

/// A connection that is lent. It is closed when it is dropped, for what it was doing is not known then.
pub(super) struct Lease<'a> {
    session: Session,
    primary: Primary,
    pool: &'a Pool,
    _place: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(connector: Connector, kind: Kind, connections: usize) -> Self {
        Self {
            connector,
            idle: Mutex::default(),
            places: Semaphore::new(connections),
            kind,
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.connector.metrics()
    }

    /// A connection, in the order in which they were asked for.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, Failure> {
        let place = self.places.acquire().await;
        let place =
            place.map_err(|_| StoreError::Unavailable("its connections are closed".to_owned()))?;
        let (primary, session) = match self.idle() {
            Some(idle) => idle,
            None => self.connector.connect(self.kind).await?,
        };
        Ok(Lease {
            session,
            primary,
            pool: self,
            _place: place,
        })
    }

    fn idle(&self) -> Option<(Primary, Session)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that were closed meanwhile are dropped, and those to a primary that was replaced.
        while let Some((primary, session)) = idle.pop() {
            if !session.is_closed() && self.connector.stands(primary) {
                return Some((primary, session));
            }
        }
        None
    }
}

impl Lease<'_> {
    /// Lends it to the next: nothing is open on it, nothing under way.
    pub(super) fn give_back(self) {
        let mut idle = self
            .pool
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        idle.push((self.primary, self.session));
    }
}

impl Deref for Lease<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}
