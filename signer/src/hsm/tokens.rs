//! Owns which token is asked: an institution has one or several, and each key is in one of them.

use std::sync::Arc;

use semops_objects::institution::InstitutionId;

use super::error::{Fault, HsmError};
#[cfg(test)]
use super::local::LocalToken;
use super::token::TokenPool;
use crate::domain::key::KeyId;

/// The tokens, for asking; a handful, so they are searched in order.
pub(super) enum Tokens {
    Pools(Vec<Arc<TokenPool>>),
    /// Unit tests have one token in memory, behind the same plain data.
    #[cfg(test)]
    Local(Arc<LocalToken>),
}

/// How fit a key is to sign now, as far as its token is concerned; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// No token here has it.
    Absent,
    /// Its token fails, hangs, is full or is being started; what is asked of it may succeed all the same.
    Present,
    /// Its token serves and has room.
    Ready,
}

impl Tokens {
    /// Those of an institution, in the order of the configuration.
    pub(super) fn of(&self, institution: &InstitutionId) -> impl Iterator<Item = &TokenPool> {
        let pools = match self {
            Self::Pools(pools) => pools.as_slice(),
            #[cfg(test)]
            Self::Local(_) => &[],
        };
        let pools = pools.iter().map(AsRef::as_ref);
        pools.filter(move |token| token.institution == *institution)
    }

    /// The first one of an institution.
    pub(super) fn first(&self, institution: &InstitutionId) -> Result<&TokenPool, HsmError> {
        self.of(institution).next().ok_or_else(none)
    }

    /// The one with this label.
    pub(super) fn named(
        &self,
        institution: &InstitutionId,
        label: &str,
    ) -> Result<&TokenPool, HsmError> {
        let found = self.of(institution).find(|token| token.label == label);
        found.ok_or_else(|| {
            let fault = Fault::new("C_GetSlotList", "the institution has no such token here");
            HsmError::Rejected(fault)
        })
    }

    /// The one that has taken up this key: no other ever signs with it.
    pub(super) fn holder(
        &self,
        institution: &InstitutionId,
        key: KeyId,
    ) -> Result<Option<&TokenPool>, HsmError> {
        self.first(institution)?;
        Ok(self.of(institution).find(|token| token.told.has(key)))
    }

    /// Its label.
    pub(super) fn label_of(&self, institution: &InstitutionId, key: KeyId) -> Option<&str> {
        let holder = self.holder(institution, key).ok()??;
        Some(holder.label.as_str())
    }
}

/// There is no token of the institution.
pub(super) fn none() -> HsmError {
    let fault = Fault::new("C_GetSlotList", "the institution has no token here");
    HsmError::Rejected(fault)
}
