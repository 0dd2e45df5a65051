//! Owns the asking for random octets: any token of the institution will do.

use std::time::Instant;

use semops_objects::institution::InstitutionId;

use super::error::{Fault, HsmError};
use super::job::Work;
#[cfg(test)]
use super::local::LocalToken;
#[cfg(test)]
use super::tokens::Tokens;
use super::tokens::none;
use super::{Keys, ask, share};

impl Keys {
    /// Draws `N` octets from the random number generator of a token of the institution: of one that is ready before others,
    /// and of the next one where that gives none in its share of the time.
    ///
    /// # Errors
    /// [`HsmError`] of the last one that was asked.
    pub async fn random<const N: usize>(
        &self,
        institution: &InstitutionId,
        deadline: Instant,
    ) -> Result<[u8; N], HsmError> {
        const { assert!(N > 0 && N <= 256, "a few octets: nonces and serial numbers") };
        #[cfg(test)]
        if let Tokens::Local(_) = self.tokens.as_ref() {
            return Ok(LocalToken::random());
        }
        let mut tokens: Vec<_> = self.tokens.of(institution).collect();
        tokens.sort_by_key(|token| !token.is_ready());
        let (last, others) = tokens.split_last().ok_or_else(none)?;
        let length = u32::try_from(N).unwrap_or(0);
        for (asked, token) in others.iter().enumerate() {
            let until = share(deadline, tokens.len().saturating_sub(asked));
            if let Ok(octets) = ask(token, until, |reply| Work::Random { length, reply }).await {
                return exactly(octets);
            }
        }
        exactly(ask(last, deadline, |reply| Work::Random { length, reply }).await?)
    }
}

fn exactly<const N: usize>(octets: Vec<u8>) -> Result<[u8; N], HsmError> {
    octets
        .try_into()
        .map_err(|_| HsmError::Rejected(Fault::new("C_GenerateRandom", "another number of octets")))
}
