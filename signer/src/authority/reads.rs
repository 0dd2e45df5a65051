//! Owns how often what is in force is read while many ask: one read at a time, and one for all who came while another was
//! under way.
//!
//! Whoever asks has seen that the record has moved, and is answered by a read that began after that. One that was under way
//! already may have seen the record of before, so it answers nobody who came later; the next one answers all of them. So those
//! who wait at one time wait for two reads at most, however many they are.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::StoreError;

/// The reads that were begun, and how the last one ended.
pub(super) struct Reads {
    turn: Semaphore,
    begun: AtomicU64,
    ended: Mutex<(u64, Result<(), StoreError>)>,
}

/// What comes of asking for a read.
pub(super) enum Turn<'a> {
    /// One that began after the asking has ended so.
    Read(Result<(), StoreError>),
    /// It is for the asker to read.
    Yours(Reading<'a>),
}

/// A read that was begun. If it is dropped, whoever waits reads.
pub(super) struct Reading<'a> {
    reads: &'a Reads,
    number: u64,
    _turn: SemaphorePermit<'a>,
}

impl Default for Reads {
    fn default() -> Self {
        Self {
            turn: Semaphore::new(1),
            begun: AtomicU64::new(0),
            ended: Mutex::new((0, Ok(()))),
        }
    }
}

impl Reads {
    /// Waits for a read that begins after this call, or for the turn to make it.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let before = self.begun();
        let turn = self.turn.acquire().await;
        let turn = turn.map_err(|closed| StoreError::Unavailable(closed.to_string()))?;
        let last = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            (number, ended) if before < *number => Ok(Turn::Read(ended.clone())),
            _ => Ok(Turn::Yours(Reading {
                number: self.begun.fetch_add(1, Ordering::SeqCst).saturating_add(1),
                reads: self,
                _turn: turn,
            })),
        }
    }

    /// How many were begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Reading<'_> {
    /// It has ended so, for all who came before it began.
    pub(super) fn end(self, ended: Result<(), StoreError>) {
        let last = &self.reads.ended;
        *last.lock().unwrap_or_else(PoisonError::into_inner) = (self.number, ended);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    /// Whether it has to wait.
    async fn waits<T>(one: &mut (impl Future<Output = T> + Unpin)) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(pin!(&mut *one).poll(cx).is_pending())).await
    }

    async fn reading(reads: &Reads) -> Reading<'_> {
        match reads.turn().await.unwrap() {
            Turn::Yours(reading) => reading,
            Turn::Read(ended) => panic!("it was read before it was asked for: {ended:?}"),
        }
    }

    #[tokio::test]
    async fn who_comes_while_one_is_read_waits_for_the_next_which_is_for_all() {
        let reads = Reads::default();
        let first = reading(&reads).await;
        let mut waiting: Vec<_> = (0..20).map(|_| Box::pin(reads.turn())).collect();
        for one in &mut waiting {
            assert!(waits(one).await);
        }
        first.end(Ok(()));
        // The first of them reads, for the read before began before it came.
        let mut waiting = waiting.into_iter();
        let Turn::Yours(second) = waiting.next().unwrap().await.unwrap() else {
            panic!("answered by a read that began before it came")
        };
        second.end(Ok(()));
        for one in waiting {
            assert!(matches!(one.await.unwrap(), Turn::Read(Ok(()))));
        }
        assert_eq!(reads.begun(), 2);
        // Whoever comes after it ended reads anew.
        reading(&reads).await.end(Ok(()));
        assert_eq!(reads.begun(), 3);
    }

    #[tokio::test]
    async fn a_failure_is_that_of_all_who_waited_for_it_and_one_that_is_given_up_nobodys() {
        let reads = Reads::default();
        let first = reading(&reads).await;
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(reads.turn())).collect();
        for one in &mut waiting {
            assert!(waits(one).await);
        }
        first.end(Ok(()));
        let [given_up, next, last] = <[_; 3]>::try_from(waiting).ok().unwrap();
        drop(given_up.await.unwrap());
        let Turn::Yours(reading) = next.await.unwrap() else {
            panic!("answered by a read that never ended")
        };
        reading.end(Err(StoreError::Busy));
        let failed = last.await.unwrap();
        assert!(matches!(failed, Turn::Read(Err(StoreError::Busy))));
    }
}
