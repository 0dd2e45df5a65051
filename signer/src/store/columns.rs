//! Owns the forms in which the domain's types stand in the columns of every store. How a store's own crate reads and
//! writes them is that store's matter.

use semops_pki::{algorithm::PublicKey, crl::Reason};

use crate::domain::{
    change::{ChangeState, Enclosed},
    key::KeyState,
    operation::Kind,
    outcome::State,
};

/// A type that is read from its text.
pub(super) struct Text<T>(pub(super) T);

/// A type of another crate that stands in a column as one of its words.
pub(super) struct Named<T>(pub(super) T);

/// A number that is never negative and below 2^63, as a column can hold.
pub(super) struct Count(pub(super) u64);

/// A public key as an uncompressed point (SEC 1 s2.3.3).
pub(super) struct Sec1(pub(super) PublicKey);

/// A CRLReason by its code (RFC 5280 s5.3.1).
pub(super) struct ReasonCode(pub(super) Reason);

impl ReasonCode {
    pub(super) fn of(code: i64) -> Option<Self> {
        let code = u8::try_from(code).ok()?;
        Reason::from_code(code).map(Self)
    }
}

/// A type that stands in a column as one of its words.
pub(super) trait Word: Sized {
    /// The type that stands there as `word`.
    fn of(word: &str) -> Option<Self>;
}

impl Word for State {
    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == word)
    }
}

impl Word for Kind {
    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }
}

impl Word for ChangeState {
    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == word)
    }
}

impl Word for KeyState {
    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == word)
    }
}

impl Word for Enclosed {
    fn of(word: &str) -> Option<Self> {
        let document = word.parse().ok().map(Self::Document);
        document.or_else(|| (word == Self::Certificate.name()).then_some(Self::Certificate))
    }
}

/// A version as a column can hold it; no document has a greater one.
pub(super) fn version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
