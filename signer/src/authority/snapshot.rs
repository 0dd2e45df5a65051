//! Owns the snapshot of all documents in force, and its refreshing when the store's generation has moved.

use std::{collections::BTreeMap, sync::Arc};

use semops_objects::{change::Custodians, institution::InstitutionId, trust::TrustDocument};
use semops_pki::profile::Oids;
use tokio::sync::watch;
use tracing::error;

use crate::{
    authority::{Authority, Setup},
    domain::{
        document::{Document, DocumentKind, DocumentVersion, StoredDocument},
        keyring::Keyring,
    },
    error::Error,
    fault::{self, Point},
    policy::{Policy, Register},
    store::{Store, StoreError},
};

/// All documents in force in one generation.
#[derive(Debug, Default)]
pub struct Snapshot {
    generation: u64,
    policies: BTreeMap<InstitutionId, Arc<Policy>>,
    trusts: BTreeMap<InstitutionId, Arc<TrustDocument>>,
    registers: BTreeMap<InstitutionId, Arc<Register>>,
    versions: BTreeMap<InstitutionId, Vec<DocumentVersion>>,
    keyrings: BTreeMap<InstitutionId, Arc<Keyring>>,
}

impl Snapshot {
    pub(super) async fn read(store: &dyn Store, setup: &Setup) -> Result<Self, StoreError> {
        let documents = store.documents().await?;
        let mut snapshot = Self {
            generation: documents.generation,
            keyrings: setup.institutions.clone(),
            ..Self::default()
        };
        for stored in documents.documents {
            let document = &stored.document;
            // A document that does not parse was refused at load; if the store has one all the same, it rules nothing
            // and what it would allow is refused.
            match snapshot.add(document, &setup.oids) {
                Ok(()) => snapshot.name(&stored),
                Err(mistake) => {
                    error!(institution = %document.institution, kind = document.kind.name(), %mistake, "a stored document is not usable");
                }
            }
        }
        Ok(snapshot)
    }

    fn add(&mut self, document: &Document, oids: &Oids) -> Result<(), String> {
        let institution = document.institution.clone();
        match document.kind {
            DocumentKind::Policy => {
                let policy = Policy::parse(&document.bytes).map_err(|e| e.to_string())?;
                self.policies.insert(institution, Arc::new(policy));
            }
            DocumentKind::Trust => {
                let trust =
                    TrustDocument::parse(&document.bytes, oids).map_err(|e| e.to_string())?;
                self.trusts.insert(institution, Arc::new(trust));
            }
            DocumentKind::Callers => {
                let register = Register::parse(&document.bytes).map_err(|e| e.to_string())?;
                self.registers.insert(institution, Arc::new(register));
            }
            DocumentKind::Custodians => {
                Custodians::parse(&document.bytes).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    fn name(&mut self, stored: &StoredDocument) {
        let institution = stored.document.institution.clone();
        let versions = self.versions.entry(institution).or_default();
        versions.push(stored.version());
        versions.sort_by_key(|version| version.kind);
    }

    /// The names of the documents in force for an institution, in the order of their kinds.
    pub fn versions(&self, institution: &InstitutionId) -> &[DocumentVersion] {
        self.versions.get(institution).map_or(&[], Vec::as_slice)
    }

    /// The generation of these documents.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The policy in force for an institution.
    pub fn policy(&self, institution: &InstitutionId) -> Option<&Arc<Policy>> {
        self.policies.get(institution)
    }

    /// The trust document in force for an institution.
    pub fn trust(&self, institution: &InstitutionId) -> Option<&Arc<TrustDocument>> {
        self.trusts.get(institution)
    }

    /// The register of callers in force for an institution.
    pub fn register(&self, institution: &InstitutionId) -> Option<&Arc<Register>> {
        self.registers.get(institution)
    }

    /// The keys of an institution.
    pub fn keyring(&self, institution: &InstitutionId) -> Result<&Arc<Keyring>, Error> {
        let keyring = self.keyrings.get(institution);
        keyring.ok_or_else(|| Error::not_served(institution))
    }

    /// The institutions with their keys.
    pub(super) fn keyrings(&self) -> impl Iterator<Item = &Arc<Keyring>> {
        self.keyrings.values()
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
        let fresh = Arc::new(Snapshot::read(self.store.as_ref(), &self.setup).await?);
        fault::point(Point::SnapshotRead);
        self.snapshot.send_if_modified(|held| {
            let newer = held.generation < fresh.generation;
            if newer {
                *held = fresh;
            }
            newer
        });
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
