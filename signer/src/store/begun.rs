//! Owns what `begin` answers with, and how an intent is named when it ends.

use std::time::Duration;

use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        operation::{IntentId, Kind},
        outcome::{Ending, Outcome},
        reason,
    },
};

/// A durably recorded operation that has not ended. Made by the store alone.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The row and the key that is to sign.
    pub(crate) id: IntentId,
    /// For whom.
    pub(crate) institution: InstitutionId,
    /// What kind it is.
    pub(crate) kind: Kind,
    /// The recorded bytes; these and no others are signed.
    pub(crate) to_be_signed: Vec<u8>,
    /// No signature is stored at or after this moment.
    pub(crate) expires_at: Timestamp,
    /// A resumed intent is signed only before this moment.
    pub(crate) sign_by: Timestamp,
}

impl Intent {
    /// Its name, as a [`Completion`] has it.
    pub const fn id(&self) -> IntentId {
        self.id
    }
}

/// What `begin` did with one operation.
#[derive(Clone, Debug)]
pub enum Begun {
    /// Recorded now.
    Recorded(Intent),
    /// The same content was recorded before and has not ended.
    Resumed(Intent),
    /// The same content has ended before (or was ended now, its intent no longer being allowed).
    Done(Outcome),
    /// Other content stands under the same idempotency key.
    Conflict,
    /// A limit kept by the record would be passed; nothing was recorded.
    OverLimit(Limit),
    /// The record does not allow it; nothing was recorded.
    Refused(Refusal),
}

/// A limit that the record keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The device's amount per day in the order's currency.
    AmountPerDay,
    /// The device's orders per day.
    OrdersPerDay,
    /// The subscriber's devices.
    DevicesPerSubscriber,
}

/// Why the record does not allow an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The documents moved since the operation was decided: decide again with the new ones.
    Stale,
    /// The device is revoked.
    DeviceRevoked,
    /// The institution has not accepted the device.
    NotAccepted,
    /// The key is not active.
    KeyNotActive,
    /// The key has signed as often as it may.
    KeyWornOut,
    /// The public key is certified or reserved by another device.
    PublicKeyTaken,
    /// Another CRL took the number.
    CrlNumberTaken,
    /// Another replica does the scheduled work now.
    NotLeader,
    /// The record was restored from a backup: no order is co-signed for so long.
    Held(Duration),
}

impl Refusal {
    /// The stable reason of an intent that ended `Denied` because of it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Stale => "STALE",
            Self::DeviceRevoked => reason::Reason::DeviceRevoked.name(),
            Self::NotAccepted => reason::Reason::DeviceNotAccepted.name(),
            Self::KeyNotActive => reason::Reason::KeyNotActive.name(),
            Self::KeyWornOut => reason::Reason::KeyWornOut.name(),
            Self::PublicKeyTaken => reason::Reason::KeyNotAcceptable.name(),
            Self::CrlNumberTaken => "CRL_NUMBER_TAKEN",
            Self::NotLeader => "NOT_LEADER",
            Self::Held(_) => reason::Reason::AfterRestore.name(),
        }
    }
}

/// One intent's end.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The intent. One whose row went over to another key since is not ended.
    pub intent: IntentId,
    /// On whose behalf it ends.
    pub origin: Origin,
    /// How.
    pub ending: Ending,
}
