//! Owns which server is the primary. After a failover two may say that they are: the standby that was promoted, and the
//! one that it replaced, come back with a record that ends earlier and holds what nobody was told.
//!
//! A promotion begins a new timeline, so the primary is the one on the newest timeline of those that are reached, and on
//! no older one than this process has seen.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::store::{
    StoreError,
    postgres::{error::Failure, session::Session},
};

// The first eight digits of a log file's name are the timeline ("WAL Internals").
const WHO: &str = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint, \
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint";

// Its commit waits for the standby as every other does, and changes nothing.
const PROOF: &str = "SELECT pg_logical_emit_message(true, 'signer', ''::text)";

/// A server that takes writes, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Primary {
    timeline: i64,
    started: i64,
}

impl Primary {
    /// Who a server says that it is.
    pub(super) async fn of(session: &Session) -> Result<Self, Failure> {
        let row = session.one(WHO, &[]).await?;
        Ok(Self {
            timeline: row.try_get(0)?,
            started: row.try_get(1)?,
        })
    }
}

/// What this process has seen of primaries.
#[derive(Debug)]
pub(super) struct Primaries {
    seen: Mutex<Seen>,
    proving: Semaphore,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    timeline: i64,
    proven: Option<Primary>,
}

impl Default for Primaries {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            proving: Semaphore::new(1),
        }
    }
}

impl Primaries {
    /// Of the servers that say they are the primary, the one that is.
    pub(super) fn choose(
        &self,
        mut found: Vec<(Primary, Session)>,
    ) -> Result<Option<(Primary, Session)>, Failure> {
        // The sort is stable: of one server that is reached in two ways, the first way.
        found.sort_by_key(|(primary, _)| std::cmp::Reverse(primary.timeline));
        let mut found = found.into_iter();
        let Some((primary, session)) = found.next() else {
            return Ok(None);
        };
        let rival = |(other, _): &(Primary, Session)| {
            other.timeline == primary.timeline && other.started != primary.started
        };
        if found.any(|other| rival(&other)) {
            return Err(refused(format!(
                "two servers say that they are the primary of timeline {}: stop the one that is not",
                primary.timeline
            )));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if primary.timeline < seen.timeline {
            return Err(refused(format!(
                "it is a former primary, on timeline {} after {} was seen: stop it, and start the promoted one",
                primary.timeline, seen.timeline
            )));
        }
        seen.timeline = primary.timeline;
        Ok(Some((primary, session)))
    }

    /// Whether no newer one was seen since.
    pub(super) fn stands(&self, primary: Primary) -> bool {
        primary.timeline >= self.seen().timeline
    }

    /// Makes sure that all that the server shows is at its standby too. After a crash it also shows commits whose wait for
    /// the standby had not ended: told to somebody, they could be lost with it. Once for each start of a server, for one
    /// that runs shows nothing before the wait has ended.
    pub(super) async fn prove(&self, primary: Primary, session: &Session) -> Result<(), Failure> {
        // One at a time: a server keeps whoever waits for its standby, also when nobody hears any more.
        let _proving = self.proving.acquire().await;
        if self.seen().proven != Some(primary) {
            session.query(PROOF, &[]).await?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.proven = Some(primary);
        }
        Ok(())
    }

    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(why: String) -> Failure {
    StoreError::Unavailable(why).into()
}
