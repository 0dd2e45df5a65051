//! Owns the snapshot of all that is in force, and its refreshing when the store's generation has moved. What an
//! institution's custodians did not approve is in none.

use std::{collections::BTreeMap, sync::Arc};

use semops_objects::{change::Standing, institution::InstitutionId, trust::TrustDocument};
use tokio::sync::watch;
use tracing::error;

use crate::{
    authority::{
        Authority, Setup,
        reads::Turn,
        ruled::{Ruled, Unapproved},
    },
    clock::Timestamp,
    domain::{document::DocumentVersion, key::KeyId, keyring::Keyring, scheme_roots::SchemeRoots},
    error::Error,
    fault::{self, Point},
    policy::{Policy, Register},
    store::{Store, StoreError},
};

/// All that is in force in one generation.
#[derive(Debug)]
pub struct Snapshot {
    generation: u64,
    roots: Arc<SchemeRoots>,
    institutions: BTreeMap<InstitutionId, Ruled>,
    /// Rows that cannot be read, nor whose they are.
    strays: Vec<String>,
}

impl Snapshot {
    /// Reads what is in force and verifies it; `held` is what was before.
    pub(super) async fn read(
        store: &dyn Store,
        setup: &Setup,
        roots: &Arc<SchemeRoots>,
        held: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let histories = store.histories().await?;
        let generation = histories.generation;
        let mut institutions = BTreeMap::new();
        for institution in setup.ceremonies.keys() {
            let before = held.and_then(|held| held.of(institution));
            let mut ruled = Ruled::read(setup, roots, institution, &histories, before);
            match store.keys(institution).await {
                // Of another generation they are compared with that one's: the next request asks for it.
                Ok(keys) if keys.generation == generation => ruled.compare(&keys.keys, now),
                Ok(_) => {}
                Err(StoreError::Corrupt(why)) => ruled.lose_keys(why),
                Err(error) => return Err(error),
            }
            institutions.insert(institution.clone(), ruled);
        }
        let strays = histories.damaged.into_iter();
        let strays = strays.filter(|row| row.institution.is_none());
        Ok(Self {
            generation,
            roots: Arc::clone(roots),
            institutions,
            strays: strays.map(|stray| stray.row).collect(),
        })
    }

    /// Whether it follows `held`: never with roots of before, and with others or of a later generation.
    fn follows(&self, held: &Self) -> bool {
        let of = |one: &Self| (one.generation, one.roots.revision());
        let goes_on = self.roots.revision() >= held.roots.revision();
        goes_on && of(self) > of(held)
    }

    /// The roots by which it was judged.
    pub fn roots(&self) -> &SchemeRoots {
        &self.roots
    }

    /// Logs what is not used.
    pub(super) fn tell(&self) {
        for row in &self.strays {
            error!(
                row,
                "the record holds what cannot be read, nor whose it is; it is not used"
            );
        }
        for (institution, ruled) in &self.institutions {
            for Unapproved { what, why } in ruled.unapproved() {
                error!(%institution, what = what.name(), why, "the record holds what was not approved; it is not used");
            }
            let keys = ruled.keyring.iter().flat_map(|ring| ring.keys());
            for (key, revoked) in keys.filter_map(|key| Some((key, key.revoked_ca()?))) {
                let (key, purpose) = (key.record().id, key.record().purpose.name());
                error!(%institution, %key, purpose, why = %revoked, "a key signs no more");
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

    /// Whether a root has revoked the CA with this key.
    pub(super) fn is_revoked_ca(&self, institution: &InstitutionId, key: KeyId) -> bool {
        let keyring = self
            .of(institution)
            .and_then(|ruled| ruled.keyring.as_ref());
        let held = keyring.and_then(|keyring| keyring.get(key));
        held.is_some_and(|held| held.revoked_ca().is_some())
    }

    /// Whether the record says that a key is destroyed in its token.
    pub(super) fn is_destroyed(&self, institution: &InstitutionId, key: KeyId) -> bool {
        let ruled = self.of(institution);
        ruled.is_some_and(|ruled| ruled.is_destroyed(key))
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

    /// The documents as read after this call: by it, or for all who ask at one time.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, Error> {
        match self.reads.turn().await? {
            Turn::Read(ended) => ended?,
            Turn::Yours(reading) => {
                let read = self.read().await;
                reading.end(read.clone());
                read?;
            }
        }
        Ok(self.snapshot())
    }

    /// Reads the documents anew, and takes them if they follow those that there are.
    async fn read(&self) -> Result<(), StoreError> {
        let (held, now) = (self.snapshot(), self.clock.now());
        let (store, roots) = (self.store.as_ref(), self.roots());
        let fresh = Snapshot::read(store, &self.setup, &roots, Some(&held), now).await?;
        let fresh = Arc::new(fresh);
        fault::point(Point::SnapshotRead);
        let taken = self.snapshot.send_if_modified(|held| {
            let newer = fresh.follows(held);
            if newer {
                *held = Arc::clone(&fresh);
            }
            newer
        });
        if taken {
            fresh.tell();
        }
        fault::point(Point::SnapshotTaken);
        Ok(())
    }

    /// The documents in force now: as last read, if the store's generation and the roots are still theirs. For requests
    /// that read nothing else from the store.
    pub async fn current(&self) -> Result<Arc<Snapshot>, Error> {
        let snapshot = self.snapshot();
        let judged = snapshot.roots.revision() == self.roots().revision();
        if self.store.generation().await? == snapshot.generation && judged {
            return Ok(snapshot);
        }
        self.refresh().await
    }
}
