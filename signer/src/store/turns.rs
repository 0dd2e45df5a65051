//! Owns the contract of turns: the tokens of an institution are written by one at a time, whichever replica it is in. What
//! several processes write to one token at once some modules lose, or have twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use tokio::{sync::OwnedMutexGuard, time::timeout};

use crate::store::StoreError;

/// How long a turn is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The turns of institutions.
#[async_trait]
pub trait Turns: Send + Sync + 'static {
    /// The turn to write to the tokens of `institution`, in the order of asking within a process; it ends with the value, or
    /// with the process. One that does not come in a few seconds is `Busy`.
    async fn turn(&self, institution: &InstitutionId) -> Result<Turn<'_>, StoreError>;
}

/// A turn that lasts until this is dropped.
#[must_use = "the turn ends when it is dropped"]
pub struct Turn<'a> {
    _held: Box<dyn Held + 'a>,
}

/// Whatever keeps the others waiting.
trait Held: Send + Sync {}

impl<T: Send + Sync> Held for T {}

impl<'a> Turn<'a> {
    pub(super) fn of(held: impl Send + Sync + 'a) -> Self {
        let _held = Box::new(held);
        Self { _held }
    }
}

/// The turns within this process.
#[derive(Default)]
pub(super) struct Here {
    queues: Mutex<HashMap<InstitutionId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Here {
    pub(super) async fn turn(
        &self,
        institution: &InstitutionId,
    ) -> Result<OwnedMutexGuard<()>, StoreError> {
        let queue = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(institution.clone()).or_default())
        };
        let turn = timeout(PATIENCE, queue.lock_owned()).await;
        turn.map_err(|_| StoreError::Busy)
    }
}
