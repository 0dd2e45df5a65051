//! Owns the contract of the durable record: what is remembered before a key is used, how it ends, and everything that is
//! read back. Each verb is one transaction; its comment is its contract, and `contract` tests every store by it.
//!
//! A refusal by the record itself (a conflict, a limit, a revocation) is a value; an error means that the store could not
//! do it. Every change of state is written in one transaction with its audit event.

use std::time::Duration;

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
};

mod begun;
mod changes;
mod changing;
mod columns;
mod decision;
mod destructions;
mod ending;
pub mod group;
mod keys;
mod new_keys;
pub mod postgres;
mod reissue;
mod removal;
mod restoration;
pub mod sqlite;
mod turns;
mod views;

#[cfg(test)]
mod contract;

pub use self::begun::{Begun, Completion, Intent, Limit, Refusal};
pub use self::changes::{
    ChangeEnding, ChangeQuery, ChangeView, Changes, ChangesView, DamagedRow, Decided, Execution,
    Histories, KeyProjection, NewChange, NewDecision, PENDING_CHANGES, Proposed, Stands,
};
pub use self::destructions::{Destroying, DestructionAsk, Destructions, StillValid, Why};
pub use self::keys::{
    KeyRegistration, Keys, KeysView, RegisteredKey, SETTLED_SECONDS, SignedPage, SignedPlace,
    SignedQuery, SignedRow,
};
pub use self::new_keys::{Asked, KeyAsk, NewKeys};
pub use self::reissue::{ReissueRecall, Reissues};
pub use self::removal::Erased;
pub use self::restoration::{LastPublished, Restoration, Restored, RestoredIssuer};
pub use self::turns::{Turn, Turns};
pub use self::views::{
    Accepted, CrlState, DevicePage, DeviceQuery, DeviceView, DocumentView, Documents, Earlier,
    EnrollmentRecall, Intents, OrderRecall, PublishedCrl, Revoked, RevokedCertificate, Swept,
    VersionsView,
};

/// Why the store could not do what it was asked; nothing was changed unless a later read says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits, or another process writes for too long.
    #[error("the store is busy")]
    Busy,
    /// Too much of the institution waits to be written. About when what waits now will have been.
    #[error("the institution's share of the store's queue is full, for about {0:?}")]
    QueueFull(Duration),
    /// It cannot be reached, or refuses to write: the disk is full, read-only or gone.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Its clock and this host's do not agree: nothing is begun by a clock that may be wrong.
    #[error(
        "the store's clock and this host's are {0:?} apart, more than a second: set both by NTP; nothing is signed until then"
    )]
    Clock(Duration),
    /// Its schema is not the one this program was built for.
    #[error(
        "the store's schema has version {found}, this program needs {needed}: {}",
        if found < needed { "run `signer --config FILE migrate`" } else { "run the newer program that brought it there" }
    )]
    Schema {
        /// What was found.
        found: u32,
        /// What is needed.
        needed: u32,
    },
    /// What it holds cannot be read.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
    /// Its constraints do not admit what was to be written: a fault of this program, stopped by the last line of defence.
    #[error("the store's constraints do not admit it: {0}")]
    Violated(String),
}

/// The durable record.
#[async_trait]
pub trait Store: Changes + Keys + NewKeys + Destructions + Reissues + Turns {
    /// Checks that the store can be read and written now, by a clock that agrees with its own if it has one. For health.
    async fn ping(&self) -> Result<(), StoreError>;

    /// The documents' generation.
    async fn generation(&self) -> Result<u64, StoreError>;

    /// The newest version of every document, with the generation, in one read.
    async fn documents(&self) -> Result<Documents, StoreError>;

    /// One version of a document of `institution`, or the newest, in one read.
    async fn document(
        &self,
        institution: &InstitutionId,
        kind: DocumentKind,
        version: Option<u64>,
    ) -> Result<DocumentView, StoreError>;

    /// The versions of a document of `institution` below `below`, newest first, in one read: at most `at_most` of them,
    /// fewer where their bytes are many, none only where there is none.
    async fn versions(
        &self,
        institution: &InstitutionId,
        kind: DocumentKind,
        below: Option<u64>,
        at_most: usize,
    ) -> Result<VersionsView, StoreError>;

    /// What stands about the order (`institution`, device whose certificate has SHA-256 `certificate`, `jti`), in one
    /// read. `earlier` is found by (institution, device, `jti`) also when the device was released since.
    async fn recall_order(
        &self,
        institution: &InstitutionId,
        certificate: [u8; 32],
        jti: Uuid,
    ) -> Result<OrderRecall, StoreError>;

    /// What stands about the order (`institution`, `device`, `jti`), in one read.
    async fn order(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        jti: Uuid,
    ) -> Result<(u64, Option<Outcome>), StoreError>;

    /// What stands about the enrolment (`institution`, `request`), in one read. Enrolments that ended without a
    /// certificate do not stand in the way of another.
    async fn recall_enrollment(
        &self,
        institution: &InstitutionId,
        request: [u8; 32],
    ) -> Result<EnrollmentRecall, StoreError>;

    /// A certified device with the acceptance of `institution`, in one read. A device whose certificate is not signed
    /// yet does not exist.
    async fn device(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
    ) -> Result<DeviceView, StoreError>;

    /// A part of the list of certified devices that `institution` issued, or accepted, in the order of their ids, in one
    /// read. It ends after `query.at_most` devices or `query.rows` rows, and may end without a device; whoever goes on
    /// behind `next` until there is none sees every device that stands throughout once.
    async fn devices(
        &self,
        institution: &InstitutionId,
        query: DeviceQuery,
    ) -> Result<DevicePage, StoreError>;

    /// Records operations, in one transaction: for each, in order,
    /// - the same idempotency key with other content: `Conflict`, and an event with reason `ORDER_CONFLICT` or
    ///   `REQUEST_CONFLICT` is written; for a CRL `Refused(CrlNumberTaken)`, for replicas may make the next one at once;
    /// - the same content, ended: `Done` (enrolments that ended without a certificate do not count as recorded);
    /// - an order before the hold's end: `Refused(Held)`, and what is pending stays so;
    /// - another generation of documents: `Refused(Stale)`;
    /// - the key (the recorded one if the same content is pending; a new one for its own request) is not active at `now` (for a CRL a deactivated one may
    ///   be), not the institution's or not for that kind, the device revoked or (for orders) not accepted by the institution: `Refused`; if the
    ///   same content is pending it is ended as `Denied` with that reason and answered as `Done`;
    /// - the same content, pending as the very intent that the operation stands `instead_of`: an event tells that this one
    ///   FAILED with reason `TOKEN_FAILED`, and its row, with what it has reserved, goes over to the operation's key, with a
    ///   BEGUN event: `Recorded`; a new key that is not active by then, or a row that is not what it was, is `Refused(Stale)`;
    /// - the same content, pending: `Resumed`;
    /// - a limit: `OverLimit`. Money limits count the device's authorizations at the institution that are PENDING or
    ///   AUTHORIZED and were begun after now - 86,400 s (what a clock that was set back left ahead of `now` counts too);
    ///   subscribers' devices those that are pending, or certified and neither revoked nor expired at `now` (the moment
    ///   notAfter itself is within the validity, RFC 5280 s4.1.2.5);
    /// - the key has as many signatures that are stored, or intents that are pending, as its lifetime allows: `Refused(KeyWornOut)`. A CRL is recorded
    ///   all the same, and counts; what is pending already is resumed;
    /// - the certificate of a device that replaces another one: if that is in force no longer, `Done` as the one that is was;
    ///   the device is revoked, or another institution's: `Refused(DeviceRevoked)`;
    /// - the public key is reserved by another device anywhere in the deployment: `Refused(PublicKeyTaken)`;
    /// - the CRL's term is not that of the leader: `Refused(NotLeader)`;
    /// - the CRLNumber is not above every number begun for that key: `Refused(CrlNumberTaken)`;
    /// - else it is recorded as PENDING with a BEGUN event: `Recorded`. Operations earlier in the group count.
    ///
    /// A store with a clock of its own begins nothing while this host's is more than a second apart: `Clock`.
    async fn begin(
        &self,
        operations: Vec<Operation>,
        now: Timestamp,
    ) -> Result<Vec<Begun>, StoreError>;

    /// Ends intents, in one transaction. Each is a compare-and-set on PENDING with its event and its effect (a device's
    /// certificate, a CRL; the reservation of money, public key and subscriber's place is given back when it ends
    /// without a signature). A signature that is stored is counted with its key. At or after `expires_at` every ending
    /// is recorded as `Expired` (orders, reason `ORDER_EXPIRED`) or `Failed` (the others, reason `OVERDUE`). A certificate that
    /// replaces another one takes its place with the signature, and the other one is revoked as superseded, with an event; of
    /// a device that is revoked by then it is recorded as `Denied`. An intent that has ended keeps its outcome, and one whose
    /// row went over to another key is not ended. Answers with what stands then. An intent that was never recorded is
    /// `Violated`.
    async fn complete(
        &self,
        completions: Vec<Completion>,
        now: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError>;

    /// Writes events, in one transaction.
    async fn audit(&self, events: Vec<Event>, now: Timestamp) -> Result<(), StoreError>;

    /// Binds a certified, unrevoked device to an account of the institution; audited when it is new. A device that was
    /// revoked since is `NotAcceptable`, whatever stands.
    async fn accept(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        account: Reference,
        generation: u64,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Accepted, StoreError>;

    /// Ends the acceptance by the institution, if it stands; audited then. True when it stood.
    async fn release(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        origin: Origin,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Revokes a device that `institution` issued; audited when it is new. No `begin` for the device commits later.
    async fn revoke(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        reason: Reason,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Revoked, StoreError>;

    /// Has `replica` do the scheduled work for some seconds, if no other does: its term then. Whoever asks again in time
    /// keeps it. A store that no other replica can share has one leader, in term 0.
    async fn lead(&self, replica: Uuid) -> Result<Option<Term>, StoreError>;

    /// Ends the term of `replica`, if it leads: another may lead at once, and no CRL begins in that term any more.
    async fn step_down(&self, replica: Uuid) -> Result<(), StoreError>;

    /// Lends requests of quotas in advance, in one transaction: to each ask, in order, what `decide` makes of what stands at
    /// the store's clock, and that is what stands from then on. Not durable: a crash may give the last moment's back. None
    /// from a store that no other replica can share.
    async fn lend(&self, asks: &[QuotaAsk], decide: Lend) -> Result<Option<Vec<Lent>>, StoreError>;

    /// What a CRL of `issuer` is made from, in one read.
    async fn crl_state(&self, issuer: KeyId) -> Result<CrlState, StoreError>;

    /// The certificates of `issuer` revoked with a sequence number of at most `revocations`, and those remembered by
    /// `restore`, whose entry is still due: those not expired at `since` (RFC 5280 s3.3: an entry stays until one CRL after
    /// the certificate's notAfter).
    async fn revoked(
        &self,
        issuer: KeyId,
        revocations: u64,
        since: Timestamp,
    ) -> Result<Vec<RevokedCertificate>, StoreError>;

    /// Takes over what was published after the backup from which the record was put back, in one transaction: of each
    /// list, every entry that the record does not show as revoked becomes its device's revocation, with the date and the
    /// reason of the entry, or is remembered, if no device has that serial number; and a list whose CRLNumber is above
    /// every one begun for its key becomes the newest signed CRL. Each of these has its event. The hold ends at
    /// `hold_until`, or later if it did before. Doing it again with the same lists only extends the hold.
    async fn restore(
        &self,
        restoration: Restoration,
        now: Timestamp,
    ) -> Result<Restored, StoreError>;

    /// Before when no order is co-signed: the end of the last hold, which may have passed.
    async fn held_until(&self) -> Result<Timestamp, StoreError>;

    /// Ends every intent whose `expires_at` has come, at most `limit` of them: orders as `Expired` (`ORDER_EXPIRED`), the
    /// others as `Failed` (`OVERDUE`), each with its event. Answers how many of each.
    async fn sweep(&self, limit: u32, origin: Origin, now: Timestamp) -> Result<Swept, StoreError>;

    /// How many intents are pending, and how many of these are overdue at `now`; no more than `limit` are counted, those
    /// first that expire first.
    async fn intents(&self, limit: u32, now: Timestamp) -> Result<Intents, StoreError>;

    /// Removes what is not kept any longer, in one transaction with its events: of `kept` at most `limit` rows, all of
    /// before `before`. Orders that have ended, of which enough stays to answer for their `jti` for ever; what is pending
    /// stays. CRLs below the newest that is signed. Subscribers' pseudonyms of devices whose notAfter is before. Events from
    /// the first on, up to one that is not before; their digest stays. Answers how many rows, or nothing while a program may
    /// serve that does not look for what stays.
    async fn prune(
        &self,
        kept: Kept,
        before: Timestamp,
        limit: u32,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError>;

    /// Erases what identifies people in what `institution` has of `device`, in one transaction with its event: at most
    /// `limit` of the orders that it had co-signed, as `prune` does, then its subscriber's pseudonym if the institution
    /// issued it. Nothing while any of it is still needed. Doing it again finds nothing to erase.
    async fn erase(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        limit: u32,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Erased, StoreError>;

    /// Writes the record's own files anew, so that no trace of what was removed stands in them. A store whose files are
    /// another program's matter does nothing.
    async fn scrub(&self) -> Result<(), StoreError>;
}
