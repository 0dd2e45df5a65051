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
use super::{Key, Keys, ask};
use crate::domain::key::{KeyId, Purpose};

impl Keys {
    /// Has a P-256 key pair of `purpose` made in the institution's token for `request`, or finds the one that was: it never
    /// leaves the token, signs, and does nothing else. Until [`Keys::adopt`] it cannot be used.
    ///
    /// # Errors
    /// [`HsmError`]. The pair may have been made; the next call with this request finds it.
    pub async fn generate(
        &self,
        institution: &InstitutionId,
        request: Uuid,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<PublicKey, HsmError> {
        #[cfg(test)]
        if let Tokens::Local(token) = self.tokens.as_ref() {
            return token.generate(request);
        }
        let token = self.tokens.find(institution)?;
        let label = purpose.name();
        let work = |reply| Work::Generate {
            request,
            label,
            reply,
        };
        ask(token, deadline, work).await
    }

    /// Takes up `key` of the institution's token: it is looked at as those of the configuration are at start, and may be used
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
        let token = self.tokens.find(institution)?;
        let work = |reply| Work::Adopt {
            key: Box::new(key),
            request,
            reply,
        };
        let report = ask(token, deadline, work).await?;
        token.told.adopt(std::slice::from_ref(&report));
        Ok(report)
    }

    /// From now on `key` is not used, and worker processes need not find it in the token.
    pub fn dismiss(&self, institution: &InstitutionId, key: KeyId) {
        if let Ok(token) = self.tokens.find(institution) {
            token.told.dismiss(key);
        }
    }

    /// Destroys both halves of `key` in the institution's token; one that is not there is destroyed already.
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
        let token = self.tokens.find(institution)?;
        ask(token, deadline, |reply| Work::Destroy { key, reply }).await
    }
}
