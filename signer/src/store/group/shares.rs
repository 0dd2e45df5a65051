//! Owns the institutions' shares of what may wait for the writer: one that fills its own finds it full, no other does.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use semops_objects::institution::InstitutionId;

/// How much of each institution waits.
#[derive(Debug, Default)]
pub(super) struct Shares(Mutex<HashMap<InstitutionId, Arc<AtomicUsize>>>);

/// One that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Share(Arc<AtomicUsize>);

impl Shares {
    /// One more of `institution`, if fewer than `most` of its own wait.
    pub(super) fn take(&self, institution: &InstitutionId, most: usize) -> Option<Share> {
        let waiting = self.of(institution);
        let one_more = |count: usize| (count < most).then(|| count.saturating_add(1));
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Share(waiting))
    }

    /// How many wait, of all institutions.
    pub(super) fn waiting(&self) -> usize {
        let shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = shares.values().map(|share| share.load(Ordering::Relaxed));
        each.sum()
    }

    /// There are as many as institutions that were ever served.
    fn of(&self, institution: &InstitutionId) -> Arc<AtomicUsize> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(institution) {
            return Arc::clone(share);
        }
        let share = Arc::new(AtomicUsize::new(0));
        shares.insert(institution.clone(), Arc::clone(&share));
        share
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
