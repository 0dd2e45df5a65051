//! Owns the one task that writes the hot rows: it takes what waits, hands it to the store as groups, and answers each
//! caller. It is never cancelled; what a caller has handed over is written whether the caller still waits or not.

mod shares;

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use semops_objects::institution::InstitutionId;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use self::shares::{Share, Shares};
use crate::{
    clock::Clock,
    domain::{
        audit::Event,
        operation::{Operation, Subject},
        outcome::Outcome,
        pace::Pace,
    },
    fault::{self, Point},
    metrics::{Metrics, Written},
    store::{Begun, Completion, Store, StoreError},
};

/// The most rows of a kind in one transaction. Larger groups gain little, and the first waits for the last.
const GROUP: usize = 256;

/// Begins and events of one institution that may wait: about a tenth of a second of work.
const QUEUE: usize = 4 * GROUP;

/// The way to the writer task. The task ends, after writing what waits, when every clone is gone.
#[derive(Clone, Debug)]
pub struct Group {
    // What bounds it is each institution's share.
    asks: mpsc::UnboundedSender<(Ask, Share)>,
    shares: Arc<Shares>,
    pace: Arc<Pace>,
    // Without a bound of its own: there is at most one completion for each intent that `begin` gave out, and a signature
    // that was made must not be lost to a full queue.
    ends: mpsc::UnboundedSender<Waiting<Completion, Outcome>>,
}

struct Waiting<I, O> {
    item: I,
    reply: oneshot::Sender<Result<O, StoreError>>,
}

enum Ask {
    Begin(Box<Waiting<Operation, Begun>>),
    Audit(Box<Waiting<Event, ()>>),
}

impl Group {
    /// Starts the writer task. Await the handle on the way out, after the last clone of the group was dropped.
    pub fn start(store: Arc<dyn Store>, clock: Clock, metrics: Metrics) -> (Self, JoinHandle<()>) {
        let (asks, asked) = mpsc::unbounded_channel();
        let (ends, ended) = mpsc::unbounded_channel();
        let pace = Arc::new(Pace::default());
        let writer = Writer {
            store,
            clock,
            metrics,
            pace: Arc::clone(&pace),
            asked,
            ended,
        };
        let group = Self {
            asks,
            shares: Arc::default(),
            pace,
            ends,
        };
        (group, tokio::spawn(writer.run()))
    }

    /// Records one operation; see [`Store::begin`].
    ///
    /// # Errors
    /// [`StoreError::QueueFull`] at once when too many of the institution wait.
    pub async fn begin(&self, operation: Operation) -> Result<Begun, StoreError> {
        let share = self.share(&operation.institution)?;
        self.ask(operation, share, Ask::Begin).await
    }

    /// Writes one event; see [`Store::audit`].
    ///
    /// # Errors
    /// [`StoreError::QueueFull`] at once when too many of the institution wait.
    pub async fn audit(&self, event: Event) -> Result<(), StoreError> {
        let share = self.share(&event.institution)?;
        self.ask(event, share, Ask::Audit).await
    }

    /// Ends one intent; see [`Store::complete`]. Never refused because others wait.
    ///
    /// # Errors
    /// What the store says; the intent then stands, until a retry or the sweep ends it.
    pub async fn complete(&self, completion: Completion) -> Result<Outcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ends
            .send(Waiting {
                item: completion,
                reply,
            })
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn ask<I, O>(
        &self,
        item: I,
        share: Share,
        wrap: fn(Box<Waiting<I, O>>) -> Ask,
    ) -> Result<O, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.asks
            .send((wrap(Box::new(Waiting { item, reply })), share))
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// How many begins and events wait that the writer has not taken.
    #[cfg(test)]
    pub(in crate::store) fn waiting(&self) -> usize {
        self.shares.waiting()
    }

    fn share(&self, institution: &InstitutionId) -> Result<Share, StoreError> {
        let full = || {
            let waiting = self.shares.waiting();
            StoreError::QueueFull(self.pace.time_for(waiting, 1, Duration::ZERO))
        };
        self.shares.take(institution, QUEUE).ok_or_else(full)
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("its writer task has stopped: restart the service".to_owned())
}

struct Writer {
    store: Arc<dyn Store>,
    clock: Clock,
    metrics: Metrics,
    pace: Arc<Pace>,
    asked: mpsc::UnboundedReceiver<(Ask, Share)>,
    ended: mpsc::UnboundedReceiver<Waiting<Completion, Outcome>>,
}

impl Writer {
    async fn run(mut self) {
        let (mut asks, mut ends) = (Vec::with_capacity(GROUP), Vec::with_capacity(GROUP));
        loop {
            let open = tokio::select! {
                biased;
                received = self.ended.recv_many(&mut ends, GROUP) => received > 0,
                received = self.asked.recv_many(&mut asks, GROUP) => received > 0,
            };
            // Whatever else waits goes along; a closed channel still gives what it holds.
            while ends.len() < GROUP
                && let Ok(end) = self.ended.try_recv()
            {
                ends.push(end);
            }
            while asks.len() < GROUP
                && let Ok(ask) = self.asked.try_recv()
            {
                asks.push(ask);
            }
            if !open && ends.is_empty() && asks.is_empty() {
                return;
            }
            self.write(mem::take(&mut asks), mem::take(&mut ends)).await;
        }
    }

    /// Ends go first: they give reservations back, and their callers have waited longest.
    async fn write(&self, asks: Vec<(Ask, Share)>, ends: Vec<Waiting<Completion, Outcome>>) {
        let (store, clock) = (&*self.store, self.clock);
        let (began, rows) = (Instant::now(), asks.len().saturating_add(ends.len()));
        let (mut begins, mut events) = (Vec::new(), Vec::new());
        for (ask, _) in asks {
            match ask {
                Ask::Begin(begin) => begins.push(*begin),
                Ask::Audit(event) => events.push(*event),
            }
        }
        // The order in which every store takes its locks, so that two replicas do not wait for each other.
        begins.sort_by_cached_key(|begin| lock_order(&begin.item));
        let write = |items: Vec<_>| {
            let count = items.len();
            self.measured(Written::Complete, count, store.complete(items, clock.now()))
        };
        group(ends, write).await;
        let write = |items: Vec<_>| {
            let count = items.len();
            self.measured(Written::Begin, count, store.begin(items, clock.now()))
        };
        group(begins, write).await;
        let write = |items: Vec<_>| async move {
            let count = items.len();
            self.measured(Written::Audit, count, store.audit(items, clock.now()))
                .await
                .map(|()| vec![(); count])
        };
        group(events, write).await;
        let rows = u32::try_from(rows).unwrap_or(u32::MAX).max(1);
        self.pace.took(began.elapsed() / rows);
    }

    async fn measured<T>(
        &self,
        what: Written,
        rows: usize,
        write: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let written = write.await?;
        match what {
            Written::Begin => fault::point(Point::BeginCommitted),
            Written::Complete => fault::point(Point::CompleteCommitted),
            Written::Audit => {}
        }
        self.metrics.committed(what, rows, began.elapsed());
        Ok(written)
    }
}

fn lock_order(operation: &Operation) -> (Option<crate::domain::device::DeviceId>, Vec<u8>) {
    match &operation.subject {
        Subject::Authorization(order) => (Some(order.device), order.jti.as_bytes().to_vec()),
        Subject::DeviceCertificate(device) => (None, device.request.to_vec()),
        Subject::Reissue(device) => (Some(device.device), device.replaces.to_vec()),
        Subject::Crl(crl) => (None, crl.number.to_be_bytes().to_vec()),
        Subject::AuthorizationCertificate(certificate) | Subject::KeyCertificate(certificate) => {
            (None, certificate.key.as_bytes().to_vec())
        }
        Subject::CertificationRequest(key) => (None, key.as_bytes().to_vec()),
    }
}

/// Writes the items as one group and answers each. If that fails and it may be for one of them, each goes alone, so that one
/// that cannot be written does not fail the others. The verbs answer a repetition with what stands.
async fn group<I, O, F, W>(waiting: Vec<Waiting<I, O>>, write: W)
where
    I: Clone,
    F: Future<Output = Result<Vec<O>, StoreError>>,
    W: Fn(Vec<I>) -> F,
{
    if waiting.is_empty() {
        return;
    }
    let (items, replies): (Vec<I>, Vec<_>) =
        waiting.into_iter().map(|one| (one.item, one.reply)).unzip();
    let alone = items.len() == 1;
    match write(items.clone()).await {
        Ok(answers) => {
            for (reply, answer) in replies.into_iter().zip(answers) {
                // A caller that has gone reads its answer with the retry.
                let _ = reply.send(Ok(answer));
            }
        }
        Err(error) if alone || of_the_store(&error) => {
            for reply in replies {
                let _ = reply.send(Err(error.clone()));
            }
        }
        Err(_) => {
            for (item, reply) in items.into_iter().zip(replies) {
                let answer = write(vec![item])
                    .await
                    .and_then(|mut answers| answers.pop().ok_or_else(stopped));
                let _ = reply.send(answer);
            }
        }
    }
}

/// Whether the store itself could not do it, whatever it was: each alone would wait as long again.
fn of_the_store(error: &StoreError) -> bool {
    match error {
        StoreError::Busy
        | StoreError::QueueFull(_)
        | StoreError::Unavailable(_)
        | StoreError::Clock(_)
        | StoreError::Schema { .. } => true,
        StoreError::Corrupt(_) | StoreError::Violated(_) => false,
    }
}
