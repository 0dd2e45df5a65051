//! Owns the end of keys: from the time on that its custodians approved for a key's destruction no replica uses the key, and
//! the one that does the scheduled work has the token destroy it. Nothing but a verified history says that a key may be
//! destroyed; what else the record says of it only keeps it from being done twice.
//!
//! That it is to be destroyed is recorded before, and that it was after: a process that dies between leaves the rest to the
//! next tick, of whichever replica leads then.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use semops_objects::institution::InstitutionId;

use crate::{
    authority::{Authority, Setup, Snapshot},
    clock::Timestamp,
    domain::{
        actor::{Actor, Origin},
        key::{KeyId, KeyState},
        operation::Term,
    },
    error::Error,
    fault::{self, Point},
    ids::RequestId,
    store::{Destroying, DestructionAsk, Store, Why},
};

/// How long after its time a key is destroyed, seconds. Until the time it can be called off, and replicas whose clocks are
/// two seconds apart do not agree on when that is over.
const SETTLED: i64 = 5;

/// How long the token may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Authority {
    /// Uses the keys of an institution no more whose destruction is due, and has its token destroy those that are not, if this
    /// replica does the scheduled work. Answers how many it destroyed. One key's failure does not keep another from being
    /// destroyed; the last is returned.
    pub async fn destroy_keys(&self, institution: &InstitutionId) -> Result<u32, Error> {
        let snapshot = self.snapshot();
        let now = self.clock.now();

        // 1 use them no more
        let keyring = snapshot.keyring(institution)?;
        for (_, found) in self.tokens.keys.list(institution) {
            let ended = match keyring.get(found.id) {
                Some(key) => key.state(now) == KeyState::Destroyed,
                None => snapshot.is_destroyed(institution, found.id),
            };
            if ended {
                self.tokens.keys.dismiss(institution, found.id);
            }
        }

        // 2 find those that are due, and not destroyed yet
        let mut due = destroyed(&snapshot, institution, now.plus_seconds(-SETTLED))?;
        due.retain(|key| !snapshot.is_destroyed(institution, *key));
        let count = u64::try_from(due.len()).unwrap_or(u64::MAX);
        self.metrics.destructions(institution, count);
        if due.is_empty() {
            return Ok(0);
        }
        let Some(term) = self.lead().await? else {
            return Ok(0);
        };
        let (mut done, mut last) = (0_u32, Ok(()));
        for key in due {
            match self.destroy_due(institution, key, term).await {
                Ok(true) => done = done.saturating_add(1),
                Ok(false) => {}
                Err(error) => last = Err(error),
            }
        }
        last.map(|()| done)
    }

    /// Destroys one key by its institution's history as it stands now. Answers whether it did.
    async fn destroy_due(
        &self,
        institution: &InstitutionId,
        key: KeyId,
        term: Term,
    ) -> Result<bool, Error> {
        // Beginning one destruction moved what the next is decided by.
        let snapshot = self.current().await?;
        let now = self.clock.now();
        if !destroyed(&snapshot, institution, now.plus_seconds(-SETTLED))?.contains(&key) {
            return Ok(false);
        }
        let ask = DestructionAsk {
            institution: institution.clone(),
            key,
            why: Why::Due(term),
            generation: snapshot.generation(),
        };
        let origin = || Origin {
            actor: Actor::Schedule,
            request: RequestId::new(),
        };
        match self.store.begin_destruction(ask, origin(), now).await? {
            Destroying::Begun(_) => {}
            // The next tick looks again.
            Destroying::Done | Destroying::Stale | Destroying::NotLeader => return Ok(false),
            other @ (Destroying::InUse | Destroying::NotFound) => {
                return Err(Error::internal(format!("key {key} on the ring: {other:?}")));
            }
        }
        let _turn = self.store.turn(institution).await?;
        let start = Instant::now();
        let deadline = start.checked_add(PATIENCE).unwrap_or(start);
        self.destroy_begun(institution, key, origin(), deadline)
            .await?;
        Ok(true)
    }

    /// Has the token destroy a key whose destruction has begun, and records it.
    pub(super) async fn destroy_begun(
        &self,
        institution: &InstitutionId,
        key: KeyId,
        origin: Origin,
        deadline: Instant,
    ) -> Result<(), Error> {
        fault::point(Point::DestroyBegun);
        let keys = &self.tokens.keys;
        keys.destroy(institution, key, deadline).await?;
        fault::point(Point::DestroyGone);
        let now = self.clock.now();
        self.store
            .end_destruction(institution, key, origin, now)
            .await?;
        fault::point(Point::DestroyRecorded);
        Ok(())
    }
}

/// The keys of an institution that are destroyed at `at` by its verified history.
fn destroyed(
    snapshot: &Snapshot,
    institution: &InstitutionId,
    at: Timestamp,
) -> Result<Vec<KeyId>, Error> {
    let keys = snapshot.keyring(institution)?.keys().iter();
    let over = keys.filter(|key| key.state(at) == KeyState::Destroyed);
    Ok(over.map(|key| key.record().id).collect())
}

/// The keys of the configuration that a token need not have when the service starts: those whose destruction is approved,
/// whether its time has come or not. A token takes up whichever of them is needed all the same. Of an institution of which
/// nothing stands, and nothing is signed, the record says which are destroyed.
///
/// # Errors
/// The record cannot be read.
pub async fn dispensable_keys(
    store: &dyn Store,
    setup: &Setup,
    now: Timestamp,
) -> Result<BTreeSet<KeyId>, Error> {
    let roots = Arc::new(setup.roots.clone());
    let snapshot = Snapshot::read(store, setup, &roots, None, now).await?;
    let dispensable = |institution: &InstitutionId, key: KeyId| match snapshot.keyring(institution)
    {
        Ok(keyring) => {
            let held = keyring.get(key);
            held.is_some_and(|held| held.life().destruction_at().is_some())
        }
        Err(_) => snapshot.is_destroyed(institution, key),
    };
    let keys = setup.institutions.iter();
    let keys =
        keys.flat_map(|(institution, keys)| keys.iter().map(move |key| (institution, key.id)));
    let keys = keys.filter(|(institution, key)| dispensable(institution, *key));
    Ok(keys.map(|(_, key)| key).collect())
}
