//! Owns the asking of quotas that replicas share: one task hands what waits to the record as a group, and tells those who
//! wait. What is lent stands in `limits`.

use std::{mem, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use crate::{
    domain::quota::{Lent, QuotaAsk},
    limits::{Asking, Limits, lend},
    metrics::Metrics,
    store::{Store, StoreError},
};

/// The most asks in one transaction.
const GROUP: usize = 256;

/// Whether the record could be asked, the last time.
type Heard = Result<(), StoreError>;

/// The way to the task that asks. It ends when this is gone.
pub(super) struct Lending {
    // Bounded by the requests under way: one ask for each scope, and one for each request that waits for its device's.
    waiting: mpsc::UnboundedSender<Waiting>,
    heard: watch::Receiver<Heard>,
}

enum Waiting {
    /// Goes to the purse.
    Purse(Asking),
    /// Goes to who asked.
    One(QuotaAsk, oneshot::Sender<Result<Lent, StoreError>>),
}

impl Waiting {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Purse(_) => true,
            Self::One(_, reply) => !reply.is_closed(),
        }
    }

    const fn ask(&self) -> &QuotaAsk {
        match self {
            Self::Purse(asking) => &asking.ask,
            Self::One(ask, _) => ask,
        }
    }
}

impl Lending {
    /// Starts the task; none where no replica shares the store.
    pub(super) async fn start(
        store: &Arc<dyn Store>,
        limits: &Arc<Limits>,
        metrics: &Metrics,
    ) -> Result<Option<Self>, StoreError> {
        if store.lend(&[], lend).await?.is_none() {
            return Ok(None);
        }
        let (waiting, asked) = mpsc::unbounded_channel();
        let (tell, heard) = watch::channel(Ok(()));
        let lender = Lender {
            store: Arc::clone(store),
            limits: Arc::clone(limits),
            metrics: metrics.clone(),
            asked,
            tell,
        };
        tokio::spawn(lender.run());
        Ok(Some(Self { waiting, heard }))
    }

    /// Has these asked; `heard` tells when they were.
    pub(super) fn ask(&self, asks: Vec<Asking>) {
        for asking in asks {
            // The task ends with the service.
            let _ = self.waiting.send(Waiting::Purse(asking));
        }
    }

    /// Asks for one alone.
    pub(super) async fn one(&self, ask: QuotaAsk) -> Result<Lent, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.waiting.send(Waiting::One(ask, reply));
        sent.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// What is heard of the record from now on, whenever a purse was answered.
    pub(super) fn heard(&self) -> watch::Receiver<Heard> {
        self.heard.clone()
    }
}

pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("its quotas are not asked any more: restart the service".to_owned())
}

struct Lender {
    store: Arc<dyn Store>,
    limits: Arc<Limits>,
    metrics: Metrics,
    asked: mpsc::UnboundedReceiver<Waiting>,
    tell: watch::Sender<Heard>,
}

impl Lender {
    async fn run(mut self) {
        let mut waiting = Vec::with_capacity(GROUP);
        while self.asked.recv_many(&mut waiting, GROUP).await > 0 {
            let mut waiting = mem::take(&mut waiting);
            // Whoever has gone meanwhile spends nothing.
            waiting.retain(Waiting::is_wanted);
            if !waiting.is_empty() {
                self.lend(waiting).await;
            }
        }
    }

    async fn lend(&self, waiting: Vec<Waiting>) {
        let asks: Vec<QuotaAsk> = waiting.iter().map(|one| one.ask().clone()).collect();
        let lent = self.store.lend(&asks, lend).await;
        let lent = lent.and_then(|lent| lent.ok_or_else(stopped));
        self.measured(&asks, &lent);
        let heard = lent.as_ref().map(|_| ()).map_err(StoreError::clone);
        let each = lent
            .iter()
            .flatten()
            .map(Some)
            .chain(std::iter::repeat(None));
        let mut purses = false;
        for (one, lent) in waiting.into_iter().zip(each) {
            match one {
                Waiting::Purse(asking) => {
                    self.limits.answered(&asking, lent);
                    purses = true;
                }
                Waiting::One(_, reply) => {
                    let lent = lent.copied().ok_or_else(stopped);
                    // Who asked may have gone.
                    let _ = reply.send(heard.clone().and(lent));
                }
            }
        }
        if let (Err(error), Ok(())) = (&heard, &*self.tell.borrow()) {
            warn!(%error, "no quota is lent: no new order is co-signed until one is");
        }
        if purses || heard.is_err() {
            drop(self.tell.send_replace(heard));
        }
    }

    fn measured(&self, asks: &[QuotaAsk], lent: &Result<Vec<Lent>, StoreError>) {
        for ask in asks {
            let (institution, kind) = (&ask.quota.institution, ask.quota.scope.kind());
            self.metrics.quota_asked(institution, kind, ask.requests);
        }
        let Ok(lent) = lent else {
            self.metrics.quota_not_asked();
            return;
        };
        for (ask, lent) in asks.iter().zip(lent) {
            let (institution, kind) = (&ask.quota.institution, ask.quota.scope.kind());
            self.metrics.quota_lent(institution, kind, lent.requests);
        }
    }
}
