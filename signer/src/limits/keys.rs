//! Owns what is remembered of many keys, in bounded memory: what is as good as new is forgotten first, then whoever would
//! recover soonest. To be forgotten is to be let through as if new, so a key never waits longer than it was told.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
};

use governor::nanos::Nanos;

use super::spent::Spent;
use crate::domain::limit::Windows;

/// Keys that share a lock; also the most that are looked at to find one, or to make room for one.
const SHARD: usize = 32;

/// What has been spent by up to `capacity` keys.
pub(super) struct Keys<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
}

/// Some of the keys, under one lock.
pub(super) struct Shard<K>(Vec<(K, Spent)>);

impl<K: Clone + Eq + Hash> Keys<K> {
    pub(super) fn new(capacity: usize) -> Self {
        let shards = capacity.div_ceil(SHARD).max(1);
        let empty = || Mutex::new(Shard(Vec::new()));
        Self {
            shards: std::iter::repeat_with(empty).take(shards).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The lock under which `key` stands with all its windows.
    pub(super) fn lock(&self, key: &K) -> MutexGuard<'_, Shard<K>> {
        let shards = u64::try_from(self.shards.len()).unwrap_or(u64::MAX);
        let place = usize::try_from(self.hasher.hash_one(key) % shards).unwrap_or(0);
        #[expect(
            clippy::indexing_slicing,
            reason = "a remainder of the number of shards, of which there is one at least"
        )]
        let shard = &self.shards[place];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let shards = self.shards.iter();
        let each = shards.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).0.len());
        each.sum()
    }
}

impl<K: Clone + Eq> Shard<K> {
    /// What `key` has spent under these windows.
    pub(super) fn spent(&self, key: &K, windows: &Windows) -> Spent {
        let known = self.0.iter().find(|(known, _)| known == key);
        known.map_or_else(
            || Spent::nothing(windows),
            |(_, spent)| spent.under(windows),
        )
    }

    /// Remembers what `key` has spent by now.
    pub(super) fn keep(&mut self, key: &K, spent: Spent, now: Nanos) {
        if let Some((_, place)) = self.0.iter_mut().find(|(known, _)| known == key) {
            *place = spent;
            return;
        }
        if self.0.len() >= SHARD {
            self.make_room(now);
        }
        self.0.push((key.clone(), spent));
    }

    fn make_room(&mut self, now: Nanos) {
        let recovery = |(place, (_, spent)): (usize, &(K, Spent))| (spent.recovered_at(), place);
        let soonest = self.0.iter().enumerate().map(recovery).min();
        let Some((recovered_at, place)) = soonest else {
            return;
        };
        if recovered_at <= now {
            self.0.retain(|(_, spent)| spent.recovered_at() > now);
        } else {
            self.0.swap_remove(place);
        }
    }
}
