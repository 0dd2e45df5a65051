//! Owns what the verbs of the store answer with, beside intents and what `begin` did.

use semops_pki::crl::Reason;

use crate::{
    clock::Timestamp,
    domain::{
        device::{Acceptance, Device, DeviceFilter, DeviceId, Revocation},
        document::{DocumentVersion, StoredDocument},
        outcome::Outcome,
    },
    store::Intent,
};

/// What stands about an order: its device, its acceptance by the asking institution, and an earlier outcome.
#[derive(Clone, Debug)]
pub struct OrderRecall {
    /// The documents' generation at this read.
    pub generation: u64,
    /// Before when no order is co-signed.
    pub held_until: Timestamp,
    /// The device whose certificate has the asked SHA-256.
    pub device: Option<Device>,
    /// The acceptance of that device by the asking institution.
    pub acceptance: Option<Acceptance>,
    /// What was recorded under (institution, device, `jti`).
    pub earlier: Option<Earlier>,
}

/// An operation recorded earlier under the same idempotency key.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The digest of its content.
    pub content: [u8; 32],
    /// Its intent, while it is pending.
    pub intent: Option<Intent>,
    /// Where it stands.
    pub outcome: Outcome,
}

/// What stands about an enrolment.
#[derive(Clone, Debug)]
pub struct EnrollmentRecall {
    /// The documents' generation at this read.
    pub generation: u64,
    /// The operation under (institution, request) that is pending or ended with a certificate.
    pub earlier: Option<Earlier>,
    /// Its device, once it is certified.
    pub device: Option<Device>,
}

/// A device with the acceptance of the asking institution.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// The documents' generation at this read.
    pub generation: u64,
    /// The device, whoever issued it.
    pub device: Option<Device>,
    /// Its acceptance by the asking institution.
    pub acceptance: Option<Acceptance>,
}

/// Which part of a list of devices is asked for.
#[derive(Clone, Debug)]
pub struct DeviceQuery {
    /// Which devices.
    pub filter: DeviceFilter,
    /// The moment of their state.
    pub now: Timestamp,
    /// Only devices with a greater id.
    pub after: Option<DeviceId>,
    /// The most devices in the answer.
    pub at_most: usize,
    /// The most rows that are looked at for it.
    pub rows: usize,
}

/// One part of a list of devices.
#[derive(Clone, Debug)]
pub struct DevicePage {
    /// The documents' generation at this read.
    pub generation: u64,
    /// Devices with their acceptance by the asking institution, in the order of their ids.
    pub devices: Vec<(Device, Option<Acceptance>)>,
    /// The last id that was looked at, if the list goes on behind it.
    pub next: Option<DeviceId>,
}

/// What came of `accept`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It stands, now or since before.
    Accepted(Acceptance),
    /// Another account reference stands.
    Otherwise,
    /// The device is unknown or revoked.
    NotAcceptable,
    /// The documents moved.
    Stale,
}

/// What came of `revoke`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It is revoked; the first time and reason stay.
    Revoked(Revocation),
    /// The asking institution issued no such device.
    NotFound,
}

/// What a CRL of one issuing key is made from.
#[derive(Clone, Debug, Default)]
pub struct CrlState {
    /// The highest number that was ever begun; 0 before the first.
    pub last_number: u64,
    /// The newest CRL that was signed.
    pub newest: Option<PublishedCrl>,
    /// The sequence number of the last revocation of this issuing key's certificates; 0 when there is none.
    pub revocations: u64,
    /// Whether an intent for a CRL of this key is pending.
    pub pending: Option<Intent>,
}

/// A signed CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedCrl {
    /// Its CRLNumber.
    pub number: u64,
    /// The sequence number of the last revocation in it.
    pub revocations: u64,
    /// Its nextUpdate.
    pub next_update: Timestamp,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// Its DER.
    pub der: Vec<u8>,
}

/// A revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// The newest version of every document, and the generation that says whether any has moved since.
#[derive(Clone, Debug)]
pub struct Documents {
    /// Grows with every executed change.
    pub generation: u64,
    /// The newest version of each (institution, kind).
    pub documents: Vec<StoredDocument>,
}

/// One version of a document.
#[derive(Clone, Debug)]
pub struct DocumentView {
    /// The documents' generation at this read.
    pub generation: u64,
    /// The version, if it is there.
    pub document: Option<StoredDocument>,
}

/// Versions of one document.
#[derive(Clone, Debug)]
pub struct VersionsView {
    /// The documents' generation at this read.
    pub generation: u64,
    /// The versions, newest first.
    pub versions: Vec<DocumentVersion>,
}

/// What the sweep closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Orders, ended as `Expired`.
    pub expired: u64,
    /// Others, ended as `Failed`.
    pub failed: u64,
}

/// How many intents there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intents {
    /// Recorded and not ended.
    pub pending: u64,
    /// Of these, past their time.
    pub overdue: u64,
}
