//! Owns the contract of the keys in the record: which there are, and how often each has signed.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{
        device::DeviceId,
        key::{KeyId, KeyState, Purpose},
        operation::Kind,
    },
    store::StoreError,
};

/// The keys in the record.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// Adds the keys that are not there yet, registered at `now`, in pre-activation: a change puts them into use. A key that is there with another institution
    /// or purpose is `Corrupt`: a key never changes either.
    async fn register_keys(
        &self,
        keys: Vec<KeyRegistration>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The registered keys of `institution`, in one read.
    async fn keys(&self, institution: &InstitutionId) -> Result<KeysView, StoreError>;

    /// A part of what a key of `institution` has signed, in the order of its moments; nothing if the institution has no such
    /// key. Whoever goes on behind `next` until there is none sees everything once that was signed [`SETTLED_SECONDS`]
    /// before, and everything there is once it is `complete`: what is signed in the meantime comes later.
    async fn signed(
        &self,
        institution: &InstitutionId,
        query: SignedQuery,
    ) -> Result<Option<SignedPage>, StoreError>;
}

/// After so many seconds nothing is recorded any more as signed at a moment: longer than a write takes, and than clocks of
/// replicas may be apart. What is under way may be signed as of when it was begun.
pub const SETTLED_SECONDS: i64 = 15;

/// A place in the list of what a key has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedPlace {
    /// When it was signed.
    pub at: Timestamp,
    /// Which operation it is, of those of that moment.
    pub operation: i64,
}

/// Which part of the list is asked for.
#[derive(Clone, Copy, Debug)]
pub struct SignedQuery {
    /// The key.
    pub key: KeyId,
    /// Only what was signed then or later.
    pub since: Timestamp,
    /// Only what comes behind it.
    pub after: Option<SignedPlace>,
    /// The most objects in the answer.
    pub at_most: usize,
    /// The moment of the asking.
    pub now: Timestamp,
}

impl SignedQuery {
    /// The place behind which it begins.
    pub(super) fn behind(&self) -> (Timestamp, i64) {
        let before = Timestamp::from_micros(self.since.micros().saturating_sub(1));
        let first = (before, i64::MAX);
        let after = self.after.map(|last| (last.at, last.operation));
        after.map_or(first, |after| after.max(first))
    }

    /// How many rows are read: one more says whether the list goes on.
    pub(super) fn rows(&self) -> i64 {
        i64::try_from(self.at_most.saturating_add(1)).unwrap_or(i64::MAX)
    }
}

/// One part of the list.
#[derive(Clone, Debug)]
pub struct SignedPage {
    /// The documents' generation at this read.
    pub generation: u64,
    /// What was signed.
    pub objects: Vec<SignedRow>,
    /// The last place, if the list goes on behind it.
    pub next: Option<SignedPlace>,
    /// Whether it holds everything, and nothing but a CA's CRLs can come while the key's state stays.
    pub complete: bool,
    /// How many intents of the key are pending, but for CRLs.
    pub under_way: u64,
    /// How many of its signatures are not kept any longer.
    pub not_kept: u64,
}

/// An object that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRow {
    /// Its place.
    pub place: SignedPlace,
    /// What it is.
    pub kind: Kind,
    /// The object id in its audit events.
    pub object: String,
    /// The device that it concerns.
    pub device: Option<DeviceId>,
    /// The object.
    pub artifact: Vec<u8>,
    /// Whether it is the certificate of a device, and neither revoked nor replaced.
    pub in_force: bool,
}

/// How a key stands when what it has signed is asked for.
pub(super) struct Signing {
    pub(super) generation: u64,
    pub(super) state: KeyState,
    /// When the first was begun that is pending.
    pub(super) first_begun: Option<Timestamp>,
    pub(super) under_way: u64,
    pub(super) not_kept: u64,
}

impl Signing {
    /// Whether the key begins nothing, and nothing that it began is pending.
    fn is_complete(&self) -> bool {
        // Before it is taken up it signs its own request. What a retired CA goes on with, its CRLs, it signs one by one.
        let begins = matches!(self.state, KeyState::PreActivation | KeyState::Active);
        !begins && self.under_way == 0
    }

    /// Before when everything that was signed is recorded.
    pub(super) fn settled(&self, now: Timestamp) -> Timestamp {
        if self.is_complete() {
            return Timestamp::from_micros(i64::MAX);
        }
        let first = self.first_begun.map_or(now, |begun| begun.min(now));
        first.plus_seconds(-SETTLED_SECONDS)
    }

    /// The page of these rows, one more than were asked for if there are so many.
    pub(super) fn page(&self, mut objects: Vec<SignedRow>, at_most: usize) -> SignedPage {
        let goes_on = objects.len() > at_most;
        objects.truncate(at_most);
        SignedPage {
            generation: self.generation,
            next: objects.last().filter(|_| goes_on).map(|last| last.place),
            objects,
            complete: self.is_complete(),
            under_way: self.under_way,
            not_kept: self.not_kept,
        }
    }
}

/// A key as it is registered at start.
#[derive(Clone, Debug)]
pub struct KeyRegistration {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub institution: InstitutionId,
    /// What it may sign.
    pub purpose: Purpose,
}

/// A registered key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisteredKey {
    /// Its id.
    pub id: KeyId,
    /// Its state.
    pub state: KeyState,
    /// Before when it may not sign, although active.
    pub active_from: Option<Timestamp>,
    /// From when on it may not sign, although active.
    pub active_until: Option<Timestamp>,
    /// How many of its signatures are stored.
    pub signatures: u64,
    /// When it was registered; nothing if that was before it was recorded.
    pub registered_at: Option<Timestamp>,
    /// When its destruction was begun.
    pub destruction_begun_at: Option<Timestamp>,
}

impl RegisteredKey {
    /// Whether the record lets it sign at `now`.
    pub fn may_sign(&self, now: Timestamp) -> bool {
        let begun = self.active_from.is_none_or(|from| from <= now);
        let ended = self.active_until.is_some_and(|until| until <= now);
        self.state == KeyState::Active && begun && !ended
    }
}

/// The keys of one institution.
#[derive(Clone, Debug)]
pub struct KeysView {
    /// The documents' generation at this read.
    pub generation: u64,
    /// Every registered key, in no order.
    pub keys: Vec<RegisteredKey>,
}
