//! Owns a key on its way: asked for, made in the token, recorded, certified or with a request to be; and taken up by no
//! change yet, so that nothing is signed with it but its own request.

use std::sync::Arc;

use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::PublicKey;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        key::{KeyId, KeyRecord, Purpose},
        keyring::Keyring,
        operation::OVERDUE_SECONDS,
    },
};

/// How many keys of one purpose an institution may have that no change has taken up.
pub const NEW_KEYS: u64 = 2;
/// For how long a key that was asked for and is not made counts as one of them, seconds.
pub const ASKED_SECONDS: i64 = OVERDUE_SECONDS;

/// A key that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// By which request of the institution.
    pub request: Uuid,
    /// The key, once it was made.
    pub made: Option<MadeKey>,
    /// What was signed of it, DER: the certification request of a CA's key, the certificate of any other.
    pub signed: Option<Vec<u8>>,
    /// Whether it was given up: its destruction has begun.
    pub discarded: bool,
}

/// A key that was made in the token and recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeKey {
    /// Whose it is.
    pub institution: InstitutionId,
    /// What it is to sign.
    pub purpose: Purpose,
    /// Its public half.
    pub public: PublicKey,
    /// When it was recorded.
    pub at: Timestamp,
}

impl MadeKey {
    /// Its id.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.public)
    }

    /// The key without a certificate: it stands on no institution's ring.
    pub fn record(&self) -> KeyRecord {
        KeyRecord {
            id: self.id(),
            institution: self.institution.clone(),
            purpose: self.purpose,
            public: self.public.clone(),
            chain: Vec::new(),
            first_crl: None,
            not_before: self.at,
            signs_until: self.at,
            not_after: self.at,
        }
    }

    /// A ring of this key alone, for the one thing that it signs before it is certified.
    pub fn alone(&self) -> Keyring {
        Keyring::of_ceremony([Arc::new(self.record())])
    }
}
