//! Owns the asking for what changes a token: a key pair is made in it for a request, taken up once it is recorded, and
//! destroyed.

use std::time::Instant;

use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::PublicKey;
use uuid::Uuid;

#[cfg(test)]
use super::Tokens;
use super::error::HsmError;
use super::job::Work;
use super::report::KeyReport;
use super::token::TokenPool;
use super::tokens::none;
use super::{Key, Keys, ask, share};
use crate::domain::key::{KeyId, Purpose};

impl Keys {
    /// Has a P-256 key pair of `purpose` made in a token of the institution, the first or the one with this label, for `request`, or finds the one that was: it never
    /// leaves the token, signs, and does nothing else. Until [`Keys::adopt`] it cannot be used.
    ///
    /// # Errors
    /// [`HsmError`]. The pair may have been made; the next call with this request finds it.
    pub async fn generate(
        &self,
        institution: &InstitutionId,
        label: Option<&str>,
        request: Uuid,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<PublicKey, HsmError> {
        #[cfg(test)]
        if let Tokens::Local(token) = self.tokens.as_ref() {
            return token.generate(request);
        }
        let token = match label {
            None => self.tokens.first(institution)?,
            Some(label) => self.tokens.named(institution, label)?,
        };
        let label = purpose.name();
        let work = |reply| Work::Generate {
            request,
            label,
            reply,
        };
        ask(token, deadline, work).await
    }

    /// Takes up `key` of the one of the institution's tokens that has it: it is looked at as those of the configuration are at start, and may be used
    /// from then on, also by worker processes that are started later. With the request that it was made for it is given its
    /// CKA_ID first, and what else an interrupted process made for that request is destroyed.
    ///
    /// # Errors
    /// [`HsmError`]; `Rejected` if it is not in the token, or not as it must be.
    pub async fn adopt(
        &self,
        institution: &InstitutionId,
        key: Key,
        request: Option<Uuid>,
        deadline: Instant,
    ) -> Result<KeyReport, HsmError> {
        #[cfg(test)]
        if let Tokens::Local(token) = self.tokens.as_ref() {
            return token.adopt(&key);
        }
        if let Some(holder) = self.tokens.holder(institution, key.id)? {
            return adopt_in(holder, key, request, deadline).await;
        }
        let tokens: Vec<_> = self.tokens.of(institution).collect();
        let mut failed = None;
        for (asked, token) in tokens.iter().enumerate() {
            let until = share(deadline, tokens.len().saturating_sub(asked));
            match adopt_in(token, key.clone(), request, until).await {
                Ok(report) => return Ok(report),
                // That one token does not have it says little while another could not be asked.
                Err(HsmError::Rejected(_)) if failed.is_some() => {}
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(none))
    }

    /// From now on `key` is not used, and worker processes need not find it in the token.
    pub fn dismiss(&self, institution: &InstitutionId, key: KeyId) {
        for token in self.tokens.of(institution) {
            token.told.dismiss(key);
        }
    }

    /// Destroys both halves of `key` in whichever of the institution's tokens they are; of a key that is not there both are
    /// destroyed already, which every token has to say.
    ///
    /// # Errors
    /// [`HsmError`]. It may have been destroyed, and is not used in any case.
    pub async fn destroy(
        &self,
        institution: &InstitutionId,
        key: KeyId,
        deadline: Instant,
    ) -> Result<(), HsmError> {
        #[cfg(test)]
        if let Tokens::Local(token) = self.tokens.as_ref() {
            return token.destroy(key);
        }
        self.dismiss(institution, key);
        self.tokens.first(institution)?;
        let tokens: Vec<_> = self.tokens.of(institution).collect();
        let mut failed = None;
        for (asked, token) in tokens.iter().enumerate() {
            let until = share(deadline, tokens.len().saturating_sub(asked));
            let destroyed = ask(token, until, |reply| Work::Destroy { key, reply }).await;
            failed = failed.or(destroyed.err());
        }
        failed.map_or(Ok(()), Err)
    }
}

async fn adopt_in(
    token: &TokenPool,
    key: Key,
    request: Option<Uuid>,
    deadline: Instant,
) -> Result<KeyReport, HsmError> {
    let work = |reply| Work::Adopt {
        key: Box::new(key),
        request,
        reply,
    };
    let report = ask(token, deadline, work).await?;
    token.told.adopt(std::slice::from_ref(&report));
    Ok(report)
}
