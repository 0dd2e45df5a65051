//! Owns the removal of what is not kept any longer.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    authority::Authority,
    clock::Timestamp,
    domain::{
        actor::{Actor, Origin},
        retention::Kept,
    },
    error::Error,
    ids::RequestId,
};

/// The most rows in one transaction, so that signing waits for no more than these.
const GROUP: u32 = 250;

/// The most transactions of one kind in a tick: what is due goes by and by.
const GROUPS: u32 = 4;

/// What is known of each kind: up to which moment nothing is left to remove.
#[derive(Debug, Default)]
pub(super) struct Pruning(Mutex<BTreeMap<Kept, Timestamp>>);

impl Pruning {
    fn is_done(&self, kept: Kept, before: Timestamp) -> bool {
        let done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        done.get(&kept) == Some(&before)
    }

    fn done(&self, kept: Kept, before: Timestamp) {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert(kept, before);
    }
}

/// What came of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// So many rows are removed.
    Rows(u64),
    /// Nothing is, while a program may serve that does not look for what stays.
    NotYet,
}

impl Authority {
    /// Removes some of what is not kept any longer, if this replica does the scheduled work. Beside one that has just lost
    /// the lead it does no harm: what is removed is so once.
    pub async fn prune(&self) -> Result<Pruned, Error> {
        let now = self.clock.now();
        let retention = self.setup.retention;
        let due = Kept::ALL.into_iter().filter_map(|kept| {
            let before = retention.before(kept, now)?;
            (!self.pruning.is_done(kept, before)).then_some((kept, before))
        });
        let due: Vec<_> = due.collect();
        if due.is_empty() || self.store.lead(self.replica).await?.is_none() {
            return Ok(Pruned::Rows(0));
        }
        let mut removed = 0_u64;
        for (kept, before) in due {
            match self.prune_kind(kept, before).await? {
                Some(rows) => removed = removed.saturating_add(rows),
                None => return Ok(Pruned::NotYet),
            }
        }
        Ok(Pruned::Rows(removed))
    }

    async fn prune_kind(&self, kept: Kept, before: Timestamp) -> Result<Option<u64>, Error> {
        let mut removed = 0_u64;
        for _ in 0..GROUPS {
            let origin = Origin {
                actor: Actor::Schedule,
                request: RequestId::new(),
            };
            let now = self.clock.now();
            let pruned = self.store.prune(kept, before, GROUP, origin, now).await?;
            let Some(rows) = pruned else {
                return Ok(None);
            };
            self.metrics.pruned(kept, rows);
            removed = removed.saturating_add(rows);
            if rows < u64::from(GROUP) {
                self.pruning.done(kept, before);
                break;
            }
        }
        Ok(Some(removed))
    }
}
