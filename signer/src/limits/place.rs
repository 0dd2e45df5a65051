//! Owns the places of requests under way: counted, and given back when the work is done, however it ends.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// How many places are taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<AtomicU32>);

/// A place among the requests under way, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicU32>);

impl Places {
    /// One more place, if fewer than `limit` are taken.
    pub(super) fn take(&self, limit: u32) -> Option<Place> {
        let one_more = |taken: u32| (taken < limit).then(|| taken.saturating_add(1));
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Place(Arc::clone(&self.0)))
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
