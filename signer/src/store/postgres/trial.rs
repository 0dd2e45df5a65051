//! Owns how often and how long a piece of work is tried: again when another was in its way, once more when the connection
//! was lost, and never for longer than a request may wait. A commit that was not answered is settled by reading back.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    metrics::Retried,
    store::{
        StoreError,
        postgres::{
            error::{Failure, unavailable},
            pool::{Kind, Lease, Pool},
            session::Open,
        },
    },
};

/// How long a verb may take with all its tries.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often work is done again because others were in its way.
const AGAIN: u32 = 8;

/// Between two looks at a transaction that is still under way.
const LOOK: Duration = Duration::from_millis(20);

const STILL_OPEN: &str = "SELECT pg_xact_status($1::text::xid8) = 'in progress'";
const WRITTEN: &str = "SELECT 1 FROM audit WHERE seq = $1 AND leaf = $2";

/// The tries of one piece of work.
pub(super) struct Trial<'a> {
    pool: &'a Pool,
    until: Instant,
    again: u32,
    lost: bool,
}

impl<'a> Trial<'a> {
    pub(super) fn of(pool: &'a Pool) -> Self {
        let now = Instant::now();
        Self {
            pool,
            until: now.checked_add(PATIENCE).unwrap_or(now),
            again: 0,
            lost: false,
        }
    }

    /// A connection, on which a transaction is open if the work writes.
    pub(super) async fn begin(&self) -> Result<Lease<'a>, Failure> {
        self.bounded(async {
            let lease = self.pool.lease().await?;
            if self.pool.kind() != Kind::Reads {
                lease.begin().await?;
            }
            Ok(lease)
        })
        .await
    }

    /// `work`, until there is no time left for it.
    pub(super) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let late = |_| Err(Failure::Final(slow()));
        timeout_at(self.until, work).await.unwrap_or_else(late)
    }

    /// Ends one try. Gives the answer, or nothing when the work is to be done once more.
    pub(super) async fn end<T>(
        &mut self,
        lease: Lease<'_>,
        done: Result<T, Failure>,
    ) -> Option<Result<T, StoreError>> {
        let ended = match done {
            Ok(answer) => self.commit(lease).await.map(|()| answer),
            Err(failure) => {
                self.roll_back(lease, &failure).await;
                Err(failure)
            }
        };
        match ended {
            Ok(answer) => Some(Ok(answer)),
            Err(failure) => self.failed(failure).map(Err),
        }
    }

    /// The error to answer with, or nothing when the work is to be done once more.
    pub(super) fn failed(&mut self, failure: Failure) -> Option<StoreError> {
        let why = match failure {
            Failure::Again(why, _) if self.again < AGAIN => {
                self.again += 1;
                why
            }
            // A connection that lay idle while the server was away: another may do.
            Failure::Lost(_) if !self.lost => {
                self.lost = true;
                Retried::ConnectionLost
            }
            failure => return Some(failure.into_error()),
        };
        self.pool.metrics().retried(why);
        None
    }

    async fn commit(&self, lease: Lease<'_>) -> Result<(), Failure> {
        if self.pool.kind() != Kind::Reads {
            match self.bounded(lease.batch("COMMIT")).await {
                Err(Failure::Lost(error)) => {
                    let open = lease.opened();
                    // Its place is free for those who settle.
                    drop(lease);
                    return self.bounded(self.settle(&open, error)).await;
                }
                committed => committed?,
            }
        }
        lease.give_back();
        Ok(())
    }

    async fn roll_back(&self, lease: Lease<'_>, failure: &Failure) {
        let usable = !matches!(failure, Failure::Lost(_)) && !lease.is_closed();
        if self.pool.kind() == Kind::Reads {
            // A read that ran out of time is still under way.
            if usable && Instant::now() < self.until {
                lease.give_back();
            }
        } else if usable && self.bounded(lease.batch("ROLLBACK")).await.is_ok() {
            lease.give_back();
        }
    }

    /// Whether a commit that was not answered took place: waits until the server has ended the transaction, then looks for
    /// the last event that it wrote. The transaction's number alone does not tell, for a server that crashed may give it
    /// out again.
    async fn settle(&self, open: &Open, error: StoreError) -> Result<(), Failure> {
        let again = Failure::Again(Retried::ConnectionLost, error);
        let Some((seq, leaf)) = &open.event else {
            return Err(again);
        };
        loop {
            match self.look(&open.number, *seq, leaf).await {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => return Err(again),
                Ok(None) | Err(Failure::Lost(_) | Failure::Again(..)) => sleep(LOOK).await,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Whether the event stands; nothing while the transaction is under way.
    async fn look(&self, number: &str, seq: i64, leaf: &[u8]) -> Result<Option<bool>, Failure> {
        let lease = self.pool.lease().await?;
        // A number that the server does not know is no transaction that is under way.
        let open = match lease.query(STILL_OPEN, &[&number]).await {
            Ok(rows) => rows
                .first()
                .is_some_and(|row| row.try_get(0).unwrap_or(false)),
            Err(Failure::Final(_)) => false,
            Err(failure) => return Err(failure),
        };
        if open {
            lease.give_back();
            return Ok(None);
        }
        let written = !lease.query(WRITTEN, &[&seq, &leaf]).await?.is_empty();
        lease.give_back();
        Ok(Some(written))
    }
}

fn slow() -> StoreError {
    unavailable(
        "it does not answer: see its load, its locks and the network",
        "no time is left",
    )
}

/// Does work on a connection of the pool, in a transaction if it writes; tried as [`Trial`] says.
macro_rules! on {
    ($pool:expr, $session:ident => $work:expr) => {{
        let mut trial = crate::store::postgres::trial::Trial::of(&$pool);
        loop {
            let ended = match trial.begin().await {
                Ok($session) => {
                    let done = trial.bounded($work).await;
                    trial.end($session, done).await
                }
                Err(failure) => trial.failed(failure).map(Err),
            };
            if let Some(answer) = ended {
                break answer;
            }
        }
    }};
}
pub(super) use on;
