//! Owns the threads that hold the connections: one that writes, a few that read. A piece of work goes to them through a
//! bounded queue and answers by a oneshot channel; once it is queued it runs, whether its caller still waits or not.

use std::{num::NonZeroUsize, path::Path, thread};

use crossbeam_channel::TrySendError;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::{
    fault::{self, Point},
    store::{
        StoreError,
        sqlite::{place::Place, schema},
    },
};

/// Transactions that may wait for the writer, and for a reader. A request waits for one at a time, and policy bounds how
/// many of an institution are under way (4,096 at most), so that no institution can fill a queue alone.
const WRITES: usize = 16_384;
const READS: usize = 16_384;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The threads. Dropping them finishes what is queued and closes the file.
pub(super) struct Threads {
    // Dropped in this order: each channel, then its threads' end. The writer closes the file last and alone, for of
    // connections that close at once none puts the log into the file.
    readers: crossbeam_channel::Sender<Job>,
    _readers_ended: Ended,
    writer: mpsc::Sender<Job>,
    _writer_ended: Ended,
    place: Place,
}

struct Ended(Vec<thread::JoinHandle<()>>);

impl Drop for Ended {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            // A thread that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}

impl Threads {
    /// Opens one connection per thread, so that a mistake shows before anything is served.
    pub(super) fn start(path: &Path, readers: NonZeroUsize) -> Result<Self, StoreError> {
        // Before the channels, so that a mistake drops those first and no thread is waited for in vain.
        let (mut readers_ended, mut writer_ended) = (Ended(Vec::new()), Ended(Vec::new()));
        let (writer, mut writes) = mpsc::channel::<Job>(WRITES);
        let (reader, reads) = crossbeam_channel::bounded::<Job>(READS);
        let mut connection = schema::open(path)?;
        let place = Place::of(path)?;
        writer_ended
            .0
            .push(spawn("store-write".to_owned(), move || {
                while let Some(job) = writes.blocking_recv() {
                    job(&mut connection);
                }
            })?);
        for number in 0..readers.get() {
            let mut connection = schema::open(path)?;
            connection.pragma_update(None, "query_only", true)?;
            let reads = reads.clone();
            readers_ended
                .0
                .push(spawn(format!("store-read-{number}"), move || {
                    while let Ok(job) = reads.recv() {
                        job(&mut connection);
                    }
                })?);
        }
        Ok(Self {
            readers: reader,
            _readers_ended: readers_ended,
            writer,
            _writer_ended: writer_ended,
            place,
        })
    }

    /// Runs `work` in a read transaction: all its statements see one state of the store.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, answer) = job(TransactionBehavior::Deferred, work);
        self.readers.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => ended(),
        })?;
        answer.await.map_err(|_| ended())?
    }

    /// Runs `work` in a write transaction, or answers `Busy` at once when too many wait.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, answer) = job(TransactionBehavior::Immediate, self.lasting(work));
        self.writer.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        answer.await.map_err(|_| ended())?
    }

    /// Runs `work` on the writer's connection, between transactions.
    pub(super) async fn alone<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _ = reply.send(work(connection));
        });
        self.writer.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// `work`, and then nothing is committed where it would be lost.
    fn lasting<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static {
        let place = self.place.clone();
        move |connection| {
            let done = work(connection)?;
            place.check().map(|()| done)
        }
    }

    /// As [`Threads::write`], but waits for its turn: for groups, of which one writer task has one at a time.
    pub(super) async fn write_group<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, answer) = job(TransactionBehavior::Immediate, self.lasting(work));
        self.writer.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// `work`, then the point at which all of it is written and nothing committed.
pub(super) fn reaching<T>(
    point: Point,
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static {
    move |connection| {
        let done = work(connection)?;
        fault::point(point);
        Ok(done)
    }
}

fn spawn(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, StoreError> {
    let spawned = thread::Builder::new().name(name).spawn(body);
    spawned.map_err(|error| {
        StoreError::Unavailable(format!("no thread can be started for it: {error}"))
    })
}

fn ended() -> StoreError {
    StoreError::Unavailable(
        "its thread has ended, the log says why: restart the service".to_owned(),
    )
}

fn job<T, F>(
    behavior: TransactionBehavior,
    work: F,
) -> (Job, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        // Nobody hears the answer when the caller has gone; the work is done all the same.
        let _ = reply.send(in_transaction(connection, behavior, work));
    });
    (job, answer)
}

fn in_transaction<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
