//! Owns the contract of new keys in the record: asked for before they are made, recorded when they were, and found again
//! by the request that asked.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::PublicKey;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        key::{KeyId, Purpose},
        new_key::{MadeKey, NEW_KEYS, NewKey},
    },
    store::StoreError,
};

/// The new keys in the record.
#[async_trait]
pub trait NewKeys: Send + Sync + 'static {
    /// Records that a key is to be made, in one transaction with its event:
    /// - another generation of documents: `Stale`;
    /// - [`NEW_KEYS`] others of the purpose that no change has taken up, made or asked for in the last
    ///   [`ASKED_SECONDS`](crate::domain::new_key::ASKED_SECONDS): `TooMany`, unless the key of this request is made;
    /// - the request of the institution is recorded: for another purpose `Otherwise`, and its key is to be destroyed `Discarded`, else `Asked` as it stands;
    /// - programs may serve that know no keys of this purpose: `Early`;
    /// - else `Asked`.
    async fn ask_for_key(
        &self,
        ask: KeyAsk,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Asked, StoreError>;

    /// Records the key that was made for a request, in pre-activation, in one transaction with its event; what was recorded
    /// first stays. Answers with the key of the request. A request that was not recorded is `Violated`.
    async fn key_made(
        &self,
        institution: &InstitutionId,
        request: Uuid,
        public: PublicKey,
        origin: Origin,
        now: Timestamp,
    ) -> Result<MadeKey, StoreError>;

    /// The keys of `institution` that were made and that no change has taken up, in the order of their making.
    async fn new_keys(&self, institution: &InstitutionId) -> Result<Vec<NewKey>, StoreError>;
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct KeyAsk {
    /// For whom.
    pub institution: InstitutionId,
    /// By which request: another one asks for another key.
    pub request: Uuid,
    /// What the key is to sign.
    pub purpose: Purpose,
    /// The documents' generation in which the caller was let in.
    pub generation: u64,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It stands, now or since before.
    Asked(Box<NewKey>),
    /// The request asked for a key of another purpose before.
    Otherwise,
    /// The key of the request was given up.
    Discarded,
    /// Too many keys of the purpose wait for a change to take them up.
    TooMany,
    /// Programs may serve yet that cannot read a key of this purpose.
    Early,
    /// The documents moved.
    Stale,
}

/// What stands when a key is asked for.
pub(super) struct Askable {
    /// The documents' generation.
    pub(super) generation: u64,
    /// The purpose that the request asked for before, and the key as it stands.
    pub(super) earlier: Option<(Purpose, NewKey)>,
    /// How many others of the purpose count.
    pub(super) others: u64,
    /// Whether no program can serve that knows the purposes of the ceremony alone.
    pub(super) all_know: bool,
}

impl Askable {
    /// What is answered without recording anything; nothing if it is to be recorded, once more or for the first time.
    pub(super) fn answer(&self, ask: &KeyAsk) -> Option<Asked> {
        if ask.generation != self.generation {
            return Some(Asked::Stale);
        }
        match &self.earlier {
            Some((purpose, _)) if *purpose != ask.purpose => Some(Asked::Otherwise),
            Some((_, key)) if key.discarded => Some(Asked::Discarded),
            Some((_, key)) if key.made.is_some() => Some(Asked::Asked(Box::new(key.clone()))),
            _ if !self.all_know && !is_of_ceremony(ask.purpose) => Some(Asked::Early),
            _ => (self.others >= NEW_KEYS).then_some(Asked::TooMany),
        }
    }
}

/// Whether every program knows keys of this purpose.
const fn is_of_ceremony(purpose: Purpose) -> bool {
    match purpose {
        Purpose::DeviceCa | Purpose::SigningCa | Purpose::Authorization => true,
        Purpose::Ocsp | Purpose::Audit | Purpose::Statement => false,
    }
}

/// The key of a request that was just recorded.
pub(super) fn asked(ask: &KeyAsk) -> Asked {
    Asked::Asked(Box::new(NewKey {
        request: ask.request,
        made: None,
        signed: None,
        discarded: false,
    }))
}

/// The keys in the order of their making. They are a handful.
pub(super) fn in_order(mut keys: Vec<NewKey>) -> Vec<NewKey> {
    keys.sort_by_key(|key| key.made.as_ref().map(|made| (made.at, made.id())));
    keys
}

/// The event of a key that was asked for, or made. Its object is the request.
pub(super) fn told(
    institution: &InstitutionId,
    request: Uuid,
    key: Option<KeyId>,
    origin: &Origin,
) -> Event {
    Event {
        origin: origin.clone(),
        institution: institution.clone(),
        operation: if key.is_some() {
            "key.create"
        } else {
            "key.ask"
        },
        object: Some(request.to_string()),
        device: None,
        policy: None,
        key,
        result: Resulted::Done,
        reason: None,
    }
}

/// A key was made for a request that nobody recorded.
pub(super) fn not_asked(request: Uuid) -> StoreError {
    StoreError::Violated(format!("no key was asked for by request {request}"))
}
