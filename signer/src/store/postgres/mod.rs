//! Owns the store in a PostgreSQL database, which replicas of the service share. The only place that names PostgreSQL.
//!
//! The driver is tokio-postgres: kept since 2016, without unsafe code of its own, asynchronous (a wait for the network
//! holds no thread), without a query language of its own, and it brings no other database along.
//!
//! A verb that reads is one statement, or a walk and then one; a verb that writes is one transaction under the locks of
//! `locks`. Whatever was committed outlasts the server's crash, and its end if it has standbys: a server that does not
//! promise that is refused.

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
    fault::{self, Point},
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
mod connect;
mod crls;
mod destructions;
mod devices;
mod documents;
mod error;
mod execution;
mod facts;
mod histories;
mod keys;
mod lease;
mod locks;
mod new_keys;
mod pages;
mod pool;
mod primary;
mod quota;
mod reads;
mod record;
mod reissue;
mod removal;
mod restore;
mod rows;
mod schema;
mod session;
mod trial;
mod turns;

#[cfg(test)]
mod tests;

pub use connect::Settings;
pub use schema::{contract, migrate};

use pool::{Kind, Pool};
use trial::on;

/// Connections for groups and for the other verbs that write: a group at a time, and a few beside it.
const WRITERS: usize = 4;

/// Connections that hold a turn, of one institution each.
const TURNS: usize = 4;

/// Connections that read.
const READERS: usize = 8;

const PULSE: &str = "UPDATE pulse SET beat = beat + 1 WHERE one = 1";

/// The store in one database.
pub struct PostgresStore {
    reads: Pool,
    writes: Pool,
    lends: Pool,
    turns: Pool,
    here: Here,
}

impl PostgresStore {
    /// Comes to a database that [`migrate`] has made.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when its schema is not one that this program serves, [`StoreError::Unavailable`] when it is
    /// not reached, or would lose what it has answered.
    pub async fn open(settings: Settings) -> Result<Self, StoreError> {
        let connector = connect::Connector::new(settings);
        let store = Self {
            reads: Pool::new(connector.clone(), Kind::Reads, READERS),
            writes: Pool::new(connector.clone(), Kind::Writes, WRITERS),
            lends: Pool::new(connector.clone(), Kind::Lends, 1),
            turns: Pool::new(connector, Kind::Reads, TURNS),
            here: Here::default(),
        };
        store.generation().await?;
        Ok(store)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.generation().await?;
        on!(self.writes, s => async {
            self.writes.metrics().store_clock(s.apart());
            s.in_time()?;
            s.execute(PULSE, &[]).await.map(drop)
        })
    }

    async fn generation(&self) -> Result<u64, StoreError> {
        on!(self.reads, s => reads::generation(&s))
    }

    async fn documents(&self) -> Result<Documents, StoreError> {
        on!(self.reads, s => documents::documents(&s))
    }

    async fn document(
        &self,
        institution: &InstitutionId,
        kind: DocumentKind,
        version: Option<u64>,
    ) -> Result<DocumentView, StoreError> {
        on!(self.reads, s => documents::document(&s, institution, kind, version))
    }

    async fn versions(
        &self,
        institution: &InstitutionId,
        kind: DocumentKind,
        below: Option<u64>,
        at_most: usize,
    ) -> Result<VersionsView, StoreError> {
        on!(self.reads, s => documents::versions(&s, institution, kind, below, at_most))
    }

    async fn recall_order(
        &self,
        institution: &InstitutionId,
        certificate: [u8; 32],
        jti: Uuid,
    ) -> Result<OrderRecall, StoreError> {
        on!(self.reads, s => reads::recall_order(&s, institution, &certificate, jti))
    }

    async fn order(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        jti: Uuid,
    ) -> Result<(u64, Option<Outcome>), StoreError> {
        on!(self.reads, s => reads::order(&s, institution, device, jti))
    }

    async fn recall_enrollment(
        &self,
        institution: &InstitutionId,
        request: [u8; 32],
    ) -> Result<EnrollmentRecall, StoreError> {
        on!(self.reads, s => reads::recall_enrollment(&s, institution, &request))
    }

    async fn device(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
    ) -> Result<DeviceView, StoreError> {
        on!(self.reads, s => reads::device(&s, institution, device))
    }

    async fn devices(
        &self,
        institution: &InstitutionId,
        query: DeviceQuery,
    ) -> Result<DevicePage, StoreError> {
        on!(self.reads, s => pages::devices(&s, institution, &query))
    }

    async fn begin(
        &self,
        operations: Vec<Operation>,
        now: Timestamp,
    ) -> Result<Vec<Begun>, StoreError> {
        on!(self.writes, s => reaching(Point::BeginWritten, begin::begin(&s, &operations, now)))
    }

    async fn complete(
        &self,
        completions: Vec<Completion>,
        now: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        on!(self.writes, s => reaching(Point::CompleteWritten, complete::complete(&s, &completions, now)))
    }

    async fn audit(&self, events: Vec<Event>, now: Timestamp) -> Result<(), StoreError> {
        on!(self.writes, s => audit::append(&s, &events, now))
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
        let asked = devices::Acceptor {
            institution,
            device,
            account,
            generation,
        };
        on!(self.writes, s => reaching(Point::AcceptWritten, devices::accept(&s, &asked, &origin, now)))
    }

    async fn release(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        origin: Origin,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        on!(self.writes, s => devices::release(&s, institution, device, &origin, now))
    }

    async fn revoke(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        reason: Reason,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Revoked, StoreError> {
        on!(self.writes, s => reaching(Point::RevokeWritten, devices::revoke(&s, institution, device, reason, &origin, now)))
    }

    async fn lead(&self, replica: Uuid) -> Result<Option<Term>, StoreError> {
        on!(self.writes, s => lease::lead(&s, replica))
    }

    async fn step_down(&self, replica: Uuid) -> Result<(), StoreError> {
        on!(self.writes, s => lease::step_down(&s, replica))
    }

    async fn lend(&self, asks: &[QuotaAsk], decide: Lend) -> Result<Option<Vec<Lent>>, StoreError> {
        on!(self.lends, s => quota::lend(&s, asks, decide)).map(Some)
    }

    async fn crl_state(&self, issuer: KeyId) -> Result<CrlState, StoreError> {
        on!(self.reads, s => crls::state(&s, issuer))
    }

    async fn revoked(
        &self,
        issuer: KeyId,
        revocations: u64,
        since: Timestamp,
    ) -> Result<Vec<RevokedCertificate>, StoreError> {
        on!(self.reads, s => crls::revoked(&s, issuer, revocations, since))
    }

    async fn restore(
        &self,
        restoration: Restoration,
        now: Timestamp,
    ) -> Result<Restored, StoreError> {
        on!(self.writes, s => restore::restore(&s, &restoration, now))
    }

    async fn held_until(&self) -> Result<Timestamp, StoreError> {
        on!(self.reads, s => reads::held_until(&s))
    }

    async fn sweep(&self, limit: u32, origin: Origin, now: Timestamp) -> Result<Swept, StoreError> {
        on!(self.writes, s => complete::sweep(&s, limit, &origin, now))
    }

    async fn intents(&self, limit: u32, now: Timestamp) -> Result<Intents, StoreError> {
        on!(self.reads, s => complete::intents(&s, limit, now))
    }

    async fn prune(
        &self,
        kept: Kept,
        before: Timestamp,
        limit: u32,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        on!(self.writes, s => removal::prune(&s, kept, before, limit, &origin, now))
    }

    async fn erase(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        limit: u32,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        on!(self.writes, s => removal::erase(&s, institution, device, limit, &origin, now))
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// `work`, then the point at which all of it is written and nothing committed.
async fn reaching<T>(
    point: Point,
    work: impl Future<Output = Result<T, error::Failure>>,
) -> Result<T, error::Failure> {
    let done = work.await?;
    fault::point(point);
    Ok(done)
}
