//! Owns what a record that was put back from a backup is told of the time that it lost, what comes of it, and the events
//! that tell of it.

use std::collections::BTreeSet;

use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::sha256;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        device::DeviceId,
        key::KeyId,
        operation::{Kind, hex},
        outcome::State,
    },
    store::RevokedCertificate,
};

/// The reason in the events of a CRL that came back.
const RESTORED: &str = "RESTORED";

/// What is known of the time after the backup.
#[derive(Clone, Debug)]
pub struct Restoration {
    /// The newest published CRL of each issuing CA, each once.
    pub lists: Vec<LastPublished>,
    /// No order is co-signed before this moment.
    pub hold_until: Timestamp,
    /// No certificate that was issued so far is valid after this moment.
    pub expired_after: Timestamp,
    /// On whose behalf.
    pub origin: Origin,
}

/// The newest CRL that a CA has published. Its signature was verified.
#[derive(Clone, Debug)]
pub struct LastPublished {
    /// Whose CA.
    pub institution: InstitutionId,
    /// The CA's key.
    pub issuer: KeyId,
    /// CRLNumber.
    pub number: u64,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// The TBSCertList.
    pub to_be_signed: Vec<u8>,
    /// The whole CRL.
    pub der: Vec<u8>,
    /// What it lists.
    pub entries: Vec<RevokedCertificate>,
}

/// What the record has taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// No order is co-signed before this moment.
    pub hold_until: Timestamp,
    /// What came of each list, in their order.
    pub issuers: Vec<RestoredIssuer>,
}

/// What the record has taken over of one CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredIssuer {
    /// The CA's key.
    pub issuer: KeyId,
    /// The highest CRLNumber that the record held.
    pub held: u64,
    /// The CRLNumber above which the next one is.
    pub number: u64,
    /// The devices that are revoked now and were not in the record.
    pub revoked: Vec<DeviceId>,
    /// The serial numbers that are remembered, for the record knows no device with them.
    pub remembered: Vec<Vec<u8>>,
}

/// A device whose revocation was lost.
pub(super) struct Owner {
    pub(super) device: DeviceId,
    pub(super) not_after: Timestamp,
    /// Its serial number as events name it.
    pub(super) object: String,
}

impl LastPublished {
    /// The digest under which it stands as an operation: nobody asked for it, so its bytes are its content.
    pub(super) fn content(&self) -> [u8; 32] {
        sha256(&self.der)
    }

    /// That the CRL came back: an intent and its end, as those of every CRL.
    pub(super) fn published(&self, origin: &Origin) -> [Event; 2] {
        [Resulted::Begun, Resulted::Ended(State::Authorized)].map(|result| Event {
            origin: origin.clone(),
            institution: self.institution.clone(),
            operation: Kind::Crl.name(),
            object: Some(self.number.to_string()),
            device: None,
            policy: None,
            key: Some(self.issuer),
            result,
            reason: Some(RESTORED.to_owned()),
        })
    }

    /// That the certificate is revoked again: its device's, or one that the record does not know.
    pub(super) fn revoked(
        &self,
        entry: &RevokedCertificate,
        owner: Option<&Owner>,
        origin: &Origin,
    ) -> Event {
        let object = owner.map_or_else(|| hex(&entry.serial), |owner| owner.object.clone());
        Event {
            origin: origin.clone(),
            institution: self.institution.clone(),
            operation: "revoke",
            object: Some(object),
            device: owner.map(|owner| owner.device),
            policy: None,
            key: None,
            result: Resulted::Done,
            reason: Some(entry.reason.name().to_owned()),
        }
    }
}

impl Restoration {
    /// That the record was restored: one event for each institution, whose object is the hold's end in microseconds.
    pub(super) fn events(&self, hold_until: Timestamp) -> Vec<Event> {
        let institutions: BTreeSet<_> = self.lists.iter().map(|list| &list.institution).collect();
        let event = |institution: &InstitutionId| Event {
            origin: self.origin.clone(),
            institution: institution.clone(),
            operation: "restore",
            object: Some(hold_until.micros().to_string()),
            device: None,
            policy: None,
            key: None,
            result: Resulted::Done,
            reason: None,
        };
        institutions.into_iter().map(event).collect()
    }
}
