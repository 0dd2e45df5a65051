//! Owns which key signs when an institution has several that may, each in a token of its own: the fittest first, one in
//! another token when that one fails, and one that has signed less than its lifetime allows when that one is worn out, within
//! one request's time.
//!
//! The first token gets half of the time that is left, so that a second one, which does as much again, has as much; where no
//! other token is ready it gets all. CRLs are out of this: a CA's list is signed by that CA's key alone.

use std::time::Instant;

use tracing::warn;

use crate::{
    authority::Authority,
    clock::Timestamp,
    domain::{
        key::{KeyId, KeyRecord, Purpose, SigningKey},
        keyring::Keyring,
    },
    error::Error,
    hsm::Fit,
    signing::Patience,
};

/// What is to be expected of a key that is asked for a signature; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Chance {
    /// It was asked in this request.
    Tried,
    /// No token here has it.
    Absent,
    /// It had signed all that its lifetime allows when that was last counted. What has ended unsigned since, and a new policy,
    /// give some back, so that the record is asked where nothing better is left.
    WornOut,
    /// Its token may sign.
    Present,
    /// Its token serves and has room.
    Ready,
}

/// The choice of keys within one request.
pub(super) struct Failover<'a> {
    authority: &'a Authority,
    keyring: &'a Keyring,
    purpose: Purpose,
    /// Those whose tokens have failed in it.
    failed: Vec<KeyId>,
    /// Those that the record has found worn out in it.
    worn_out: Vec<KeyId>,
}

impl<'a> Failover<'a> {
    pub(super) fn new(authority: &'a Authority, keyring: &'a Keyring, purpose: Purpose) -> Self {
        Self {
            authority,
            keyring,
            purpose,
            failed: Vec::new(),
            worn_out: Vec::new(),
        }
    }

    /// The key that signs now.
    pub(super) fn key(&self, now: Timestamp) -> Result<SigningKey, Error> {
        let chance = |key: &KeyRecord| self.chance(key, &self.failed);
        Ok(self.keyring.signing(self.purpose, now, chance)?)
    }

    /// How long this key's token is waited for.
    pub(super) fn patience(&self, key: &SigningKey, deadline: Instant, now: Timestamp) -> Patience {
        let mut without = self.failed.clone();
        without.push(key.record().id);
        let start = Instant::now();
        let half = start + deadline.saturating_duration_since(start) / 2;
        Patience {
            deadline,
            share: half,
            another: self.best(&without, now) == Some(Chance::Ready),
            after: None,
        }
    }

    /// The token of this key has failed: whether there is another key to sign with, and time.
    pub(super) fn goes_on(&mut self, key: &SigningKey, deadline: Instant, now: Timestamp) -> bool {
        self.failed.push(key.record().id);
        let is_ready = self.best(&self.failed, now) == Some(Chance::Ready);
        let goes_on = Instant::now() < deadline && is_ready;
        if goes_on {
            let (institution, purpose) = (&key.record().institution, self.purpose.name());
            warn!(%institution, purpose, key = %key.record().id, "the token of a key did not sign: another key signs in its place");
        }
        goes_on
    }

    /// The record has found this key worn out, and nothing was begun: whether there is another one to ask, and time. Of all
    /// that are active, so that nothing is refused that one of them may sign.
    pub(super) fn passes_over(
        &mut self,
        key: &SigningKey,
        deadline: Instant,
        now: Timestamp,
    ) -> bool {
        self.worn_out.push(key.record().id);
        let best = self.best(&self.failed, now);
        Instant::now() < deadline && best.is_some_and(|best| Chance::Absent < best)
    }

    /// What is to be expected of the best key beside these, and beside what is in the tokens of those.
    fn best(&self, without: &[KeyId], now: Timestamp) -> Option<Chance> {
        let chance = |key: &KeyRecord| self.chance(key, without);
        let best = self.keyring.signing(self.purpose, now, chance).ok()?;
        Some(chance(best.record()))
    }

    fn chance(&self, key: &KeyRecord, failed: &[KeyId]) -> Chance {
        let keys = &self.authority.tokens.keys;
        let institution = &key.institution;
        let token = keys.token_of(institution, key.id);
        let in_failed = |other: &KeyId| {
            *other == key.id || token.is_some() && keys.token_of(institution, *other) == token
        };
        if self.worn_out.contains(&key.id) || failed.iter().any(in_failed) {
            return Chance::Tried;
        }
        match keys.fit(institution, key.id) {
            Fit::Absent => Chance::Absent,
            Fit::Present | Fit::Ready if self.authority.worn.is_out(key.id) => Chance::WornOut,
            Fit::Present => Chance::Present,
            Fit::Ready => Chance::Ready,
        }
    }
}
