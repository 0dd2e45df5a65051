//! Owns the snapshot of all that is in force, and its refreshing when the store's generation has moved. What an
//! institution's custodians did not approve is in none.

use std::{collections::BTreeMap, sync::Arc};

use semops_objects::{change::Standing, institution::InstitutionId, trust::TrustDocument};
use tokio::sync::watch;
use tracing::error;

use crate::{
    authority::{
        Authority, Setup,
        ruled::{Ruled, Unapproved},
    },
    clock::Timestamp,
    domain::{document::DocumentVersion, keyring::Keyring},
    error::Error,
    fault::{self, Point},
    policy::{Policy, Register},
    store::{Store, StoreError},
};

/// All that is in force in one generation.
#[derive(Debug, Default)]
pub struct Snapshot {
    generation: u64,
    institutions: BTreeMap<InstitutionId, Ruled>,
}

impl Snapshot {
    /// Reads what is in force and verifies it; `held` is what was before.
    pub(super) async fn read(
        store: &dyn Store,
        setup: &Setup,
        held: &Self,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let histories = store.histories().await?;
        let generation = histories.generation;
        let mut institutions = BTreeMap::new();
        for institution in setup.ceremonies.keys() {
            let before = held.institutions.get(institution);
            let mut ruled = Ruled::read(setup, institution, &histories, before);
            let keys = store.keys(institution).await?;
            // Of another generation they are compared with that one's: the next request asks for it.
            if keys.generation == generation {
                ruled.compare(&keys.keys, now);
            }
            institutions.insert(institution.clone(), ruled);
        }
        Ok(Self {
            generation,
            institutions,
        })
    }

    /// Logs what is not used.
    pub(super) fn tell(&self) {
        for (institution, ruled) in &self.institutions {
            for Unapproved { what, why } in ruled.unapproved() {
                error!(%institution, what = what.name(), why, "the record holds what was not approved; it is not used");
            }
        }
    }

    /// The parts of what rules an institution that the record holds otherwise than they were approved.
    pub fn unapproved(&self, institution: &InstitutionId) -> &[Unapproved] {
        self.of(institution).map_or(&[], Ruled::unapproved)
    }

    fn of(&self, institution: &InstitutionId) -> Option<&Ruled> {
        self.institutions.get(institution)
    }

    /// Whether the configuration names the institution.
    pub fn serves(&self, institution: &InstitutionId) -> bool {
        self.institutions.contains_key(institution)
    }

    /// What stands by the institution's history.
    ///
    /// # Errors
    /// `NOT_APPROVED`: its history is not what its custodians approved.
    pub fn standing(&self, institution: &InstitutionId) -> Result<&Standing, Error> {
        let standing = self.of(institution).and_then(Ruled::standing);
        standing.ok_or_else(|| Error::not_approved(institution, "history"))
    }

    /// The keys of an institution, as they stand by its history.
    ///
    /// # Errors
    /// `NOT_APPROVED`: its history is not what its custodians approved.
    pub fn keyring(&self, institution: &InstitutionId) -> Result<&Arc<Keyring>, Error> {
        let ruled = self.of(institution);
        let ruled = ruled.ok_or_else(|| Error::not_served(institution))?;
        let keyring = ruled.keyring.as_ref();
        keyring.ok_or_else(|| Error::not_approved(institution, "history"))
    }

    /// The institutions with their keys.
    pub(super) fn keyrings(&self) -> impl Iterator<Item = &Arc<Keyring>> {
        let institutions = self.institutions.values();
        institutions.filter_map(|ruled| ruled.keyring.as_ref())
    }

    /// The names of the documents in force for an institution, in the order of their kinds.
    pub fn versions(&self, institution: &InstitutionId) -> &[DocumentVersion] {
        self.of(institution).map_or(&[], |ruled| &ruled.versions)
    }

    /// The generation of these documents.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The policy in force for an institution.
    pub fn policy(&self, institution: &InstitutionId) -> Option<&Arc<Policy>> {
        self.of(institution)?.policy.as_ref()
    }

    /// The trust document in force for an institution.
    pub fn trust(&self, institution: &InstitutionId) -> Option<&Arc<TrustDocument>> {
        self.of(institution)?.trust.as_ref()
    }

    /// The register of callers in force for an institution.
    pub fn register(&self, institution: &InstitutionId) -> Option<&Arc<Register>> {
        self.of(institution)?.register.as_ref()
    }
}

impl Authority {
    /// The documents as last read.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// The documents as last read, now and whenever others come into force.
    pub fn documents(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Reads the documents anew.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, Error> {
        let (held, now) = (self.snapshot(), self.clock.now());
        let fresh = Snapshot::read(self.store.as_ref(), &self.setup, &held, now).await?;
        let fresh = Arc::new(fresh);
        fault::point(Point::SnapshotRead);
        let taken = self.snapshot.send_if_modified(|held| {
            let newer = held.generation < fresh.generation;
            if newer {
                *held = Arc::clone(&fresh);
            }
            newer
        });
        if taken {
            fresh.tell();
        }
        fault::point(Point::SnapshotTaken);
        Ok(self.snapshot())
    }

    /// The documents in force now: as last read, if the store's generation is still theirs. For requests that read
    /// nothing else from the store.
    pub async fn current(&self) -> Result<Arc<Snapshot>, Error> {
        let snapshot = self.snapshot();
        if self.store.generation().await? == snapshot.generation {
            return Ok(snapshot);
        }
        self.refresh().await
    }
}
