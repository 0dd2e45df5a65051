//! Owns the store in one SQLite file: the embedded default. The only place that names SQLite.
//!
//! Write-ahead log, `synchronous=FULL`: what was answered survives a crash and the loss of power. Every write is a
//! `BEGIN IMMEDIATE` transaction of one thread, so that a verb sees and changes one state. Other processes may write to
//! the same file; a transaction waits some seconds for them.

use std::{num::NonZeroUsize, path::Path};

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use semops_pki::crl::Reason;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::Event,
        device::{DeviceId, Reference},
        document::DocumentKind,
        key::KeyId,
        operation::{Operation, Term},
        outcome::Outcome,
        quota::{Lend, Lent, QuotaAsk},
        retention::Kept,
    },
    fault::Point,
    store::{
        Accepted, Begun, Completion, CrlState, DevicePage, DeviceQuery, DeviceView, DocumentView,
        Documents, EnrollmentRecall, Erased, Intents, OrderRecall, Restoration, Restored, Revoked,
        RevokedCertificate, Store, StoreError, Swept, VersionsView, turns::Here,
    },
};

mod audit;
mod begin;
mod changes;
mod columns;
mod complete;
mod crls;
mod destructions;
mod devices;
mod documents;
mod error;
mod execution;
mod histories;
mod keys;
mod new_keys;
mod pages;
mod place;
mod reads;
mod reissue;
mod removal;
mod replace;
mod restore;
mod rows;
mod schema;
mod threads;
mod turns;

#[cfg(test)]
mod tests;

pub use schema::migrate;
use threads::reaching;

/// The store in one file.
pub struct SqliteStore {
    threads: threads::Threads,
    turns: Here,
}

impl SqliteStore {
    /// Opens a file that [`migrate`] has made, with this many reading threads.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when its schema is not this program's, [`StoreError::Unavailable`] when it is not there or
    /// cannot be written, [`StoreError::Corrupt`] when it is no such file.
    pub fn open(path: &Path, readers: NonZeroUsize) -> Result<Self, StoreError> {
        Ok(Self {
            threads: threads::Threads::start(path, readers)?,
            turns: Here::default(),
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        // Committed, so that a full or read-only disk shows. There and back: SQLite writes no page for a value that is the
        // old one.
        let write = |connection: &rusqlite::Connection| {
            for sql in [
                "UPDATE generation SET value = value + 1 WHERE one = 1",
                "UPDATE generation SET value = value - 1 WHERE one = 1",
            ] {
                connection.prepare_cached(sql)?.execute([])?;
            }
            Ok(())
        };
        self.threads
            .read(|connection| rows::generation(connection).map(drop))
            .await?;
        self.threads.write(write).await
    }

    async fn generation(&self) -> Result<u64, StoreError> {
        self.threads.read(rows::generation).await
    }

    async fn documents(&self) -> Result<Documents, StoreError> {
        self.threads.read(documents::documents).await
    }

    async fn document(
        &self,
        institution: &InstitutionId,
        kind: DocumentKind,
        version: Option<u64>,
    ) -> Result<DocumentView, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| documents::document(connection, &institution, kind, version))
            .await
    }

    async fn versions(
        &self,
        institution: &InstitutionId,
        kind: DocumentKind,
        below: Option<u64>,
        at_most: usize,
    ) -> Result<VersionsView, StoreError> {
        let institution = institution.clone();
        let read = move |connection: &rusqlite::Connection| {
            documents::versions(connection, &institution, kind, below, at_most)
        };
        self.threads.read(read).await
    }

    async fn recall_order(
        &self,
        institution: &InstitutionId,
        certificate: [u8; 32],
        jti: Uuid,
    ) -> Result<OrderRecall, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| reads::recall_order(connection, &institution, certificate, jti))
            .await
    }

    async fn order(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        jti: Uuid,
    ) -> Result<(u64, Option<Outcome>), StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| reads::order(connection, &institution, device, jti))
            .await
    }

    async fn recall_enrollment(
        &self,
        institution: &InstitutionId,
        request: [u8; 32],
    ) -> Result<EnrollmentRecall, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| reads::recall_enrollment(connection, &institution, request))
            .await
    }

    async fn device(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
    ) -> Result<DeviceView, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| reads::device(connection, &institution, device))
            .await
    }

    async fn devices(
        &self,
        institution: &InstitutionId,
        query: DeviceQuery,
    ) -> Result<DevicePage, StoreError> {
        let institution = institution.clone();
        self.threads
            .read(move |connection| pages::devices(connection, &institution, &query))
            .await
    }

    async fn begin(
        &self,
        operations: Vec<Operation>,
        now: Timestamp,
    ) -> Result<Vec<Begun>, StoreError> {
        self.threads
            .write_group(reaching(Point::BeginWritten, move |connection| {
                begin::begin(connection, operations, now)
            }))
            .await
    }

    async fn complete(
        &self,
        completions: Vec<Completion>,
        now: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.threads
            .write_group(reaching(Point::CompleteWritten, move |connection| {
                complete::complete(connection, completions, now)
            }))
            .await
    }

    async fn audit(&self, events: Vec<Event>, now: Timestamp) -> Result<(), StoreError> {
        let append = move |connection: &rusqlite::Connection| {
            events
                .iter()
                .try_for_each(|event| audit::append(connection, event, now))
        };
        self.threads.write_group(append).await
    }

    async fn accept(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        account: Reference,
        generation: u64,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Accepted, StoreError> {
        let institution = institution.clone();
        let accept = move |connection: &rusqlite::Connection| {
            devices::accept(
                connection,
                &institution,
                device,
                account,
                generation,
                origin,
                now,
            )
        };
        self.threads
            .write(reaching(Point::AcceptWritten, accept))
            .await
    }

    async fn release(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        origin: Origin,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let institution = institution.clone();
        self.threads
            .write(move |connection| {
                devices::release(connection, &institution, device, origin, now)
            })
            .await
    }

    async fn revoke(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        reason: Reason,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Revoked, StoreError> {
        let institution = institution.clone();
        let revoke = move |connection: &rusqlite::Connection| {
            devices::revoke(connection, &institution, device, reason, origin, now)
        };
        self.threads
            .write(reaching(Point::RevokeWritten, revoke))
            .await
    }

    async fn lead(&self, _replica: Uuid) -> Result<Option<Term>, StoreError> {
        // One service serves a file.
        Ok(Some(Term(0)))
    }

    async fn step_down(&self, _replica: Uuid) -> Result<(), StoreError> {
        // The next service that is given the file leads anyway.
        Ok(())
    }

    async fn lend(&self, _: &[QuotaAsk], _: Lend) -> Result<Option<Vec<Lent>>, StoreError> {
        Ok(None)
    }

    async fn crl_state(&self, issuer: KeyId) -> Result<CrlState, StoreError> {
        self.threads
            .read(move |connection| crls::crl_state(connection, issuer))
            .await
    }

    async fn revoked(
        &self,
        issuer: KeyId,
        revocations: u64,
        since: Timestamp,
    ) -> Result<Vec<RevokedCertificate>, StoreError> {
        self.threads
            .read(move |connection| crls::revoked(connection, issuer, revocations, since))
            .await
    }

    async fn restore(
        &self,
        restoration: Restoration,
        now: Timestamp,
    ) -> Result<Restored, StoreError> {
        self.threads
            .write(move |connection| restore::restore(connection, &restoration, now))
            .await
    }

    async fn held_until(&self) -> Result<Timestamp, StoreError> {
        self.threads.read(rows::held_until).await
    }

    async fn sweep(&self, limit: u32, origin: Origin, now: Timestamp) -> Result<Swept, StoreError> {
        self.threads
            .write(move |connection| complete::sweep(connection, limit, &origin, now))
            .await
    }

    async fn intents(&self, limit: u32, now: Timestamp) -> Result<Intents, StoreError> {
        self.threads
            .read(move |connection| complete::intents(connection, limit, now))
            .await
    }

    async fn prune(
        &self,
        kept: Kept,
        before: Timestamp,
        limit: u32,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let prune = move |connection: &rusqlite::Connection| {
            removal::prune(connection, kept, before, limit, &origin, now)
        };
        self.threads.write(prune).await.map(Some)
    }

    async fn erase(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        limit: u32,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        let institution = institution.clone();
        let erase = move |connection: &rusqlite::Connection| {
            removal::erase(connection, &institution, device, limit, origin, now)
        };
        self.threads.write(erase).await
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        self.threads.alone(removal::scrub).await
    }
}
