//! Owns the way to the keys: per token one bounded queue and supervised worker processes, each with a few threads with one
//! long-lived PKCS#11 session each. The service itself loads no module and makes no call of one: a key's id, a digest and a
//! deadline go in, `r || s` or an error comes out. A worker process that hangs or dies is replaced; others are untouched.

mod condition;
mod error;
mod failure;
mod health;
mod job;
#[cfg(test)]
mod local;
mod monitor;
mod pairs;
mod pin;
mod place;
mod process;
mod random;
mod rehearsal;
mod report;
mod start;
mod supervisor;
mod token;
mod tokens;
mod told;
mod wire;
pub mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::PublicKey;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

pub use self::error::{Fault, HsmError, StartError, StopError};
pub use self::health::Health;
#[cfg(test)]
pub(crate) use self::local::{LocalToken, local};
pub use self::monitor::{Monitor, TokenView, Watch};
pub use self::pin::{NewPin, PinRefused, Pins};
pub use self::rehearsal::Rehearsal;
pub use self::report::{KeyReport, TokenReport};
pub use self::start::start;
pub use self::token::Gauges;

use self::job::{Job, Work};
use self::token::TokenPool;
pub use self::tokens::Fit;
use self::tokens::Tokens;
use crate::domain::key::{KeyId, KeyRecord};

/// Of the module, the same for all tokens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program `signer`, which is a worker process when it is told to be one; see [`Settings::THIS_PROGRAM`].
    pub program: PathBuf,
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// The environment variables that it reads, and all that worker processes have.
    pub environment: Vec<(String, String)>,
    /// Whether worker processes may open connections to a network.
    pub network: bool,
    /// Worker processes per token.
    pub workers: usize,
    /// A worker process in which a call lasts this long is killed and replaced.
    pub hung: Duration,
    /// Threads, hence sessions, per worker process; fewer if the token allows fewer sessions.
    pub threads: usize,
    /// Jobs that may wait per token; one more is [`HsmError::QueueFull`].
    pub queue: usize,
}

impl Settings {
    /// Names the running program itself, also when its file has been replaced by another version (proc(5)).
    pub const THIS_PROGRAM: &str = "/proc/self/exe";
}

/// A token of an institution. An institution has one or several; the first that [`start`] is given has to serve.
#[derive(Clone, Debug)]
pub struct Token {
    /// Whose it is.
    pub institution: InstitutionId,
    /// CKA_LABEL of the token.
    pub label: String,
    /// The PIN of the normal user (CKU_USER).
    pub pin: SecretString,
    /// The keys that may be used from the start. No other key of the token is, unless it is taken up ([`Keys::adopt`]).
    pub keys: Vec<Key>,
}

/// One key of a token.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its CKA_ID.
    pub id: KeyId,
    /// Its CKA_LABEL: its purpose, for example `device-ca`.
    pub label: String,
    /// Its public half, from its certificate.
    pub public: PublicKey,
}

impl Key {
    /// The one of this record.
    pub fn of(record: &KeyRecord) -> Self {
        Self {
            id: record.id,
            label: record.purpose.name().to_owned(),
            public: record.public.clone(),
        }
    }
}

/// The half that signs.
pub struct Signer {
    tokens: Arc<Tokens>,
}

/// The half that knows the keys, has them made and destroyed, and draws random numbers.
pub struct Keys {
    tokens: Arc<Tokens>,
}

impl Signer {
    /// Has `digest`, a SHA-256, signed with the institution's key `key` (ECDSA on P-256); gives `r || s`.
    /// It is not verified here: `PublicKey::verify_raw` makes a signature of it.
    ///
    /// # Errors
    /// [`HsmError`]. After `DeadlineExceeded` a signature may have been made; nobody has it.
    pub async fn sign(
        &self,
        institution: &InstitutionId,
        key: KeyId,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<[u8; 64], HsmError> {
        #[cfg(test)]
        if let Tokens::Local(token) = self.tokens.as_ref() {
            return token.sign(key, &digest);
        }
        let token = self.tokens.holder(institution, key)?.ok_or_else(|| {
            let fault = Fault::new("C_FindObjects", "no such key may be used");
            HsmError::Rejected(fault)
        })?;
        ask(token, deadline, |reply| Work::Sign { key, digest, reply }).await
    }

    /// The label of the token that has this key.
    pub fn token_of(&self, institution: &InstitutionId, key: KeyId) -> Option<&str> {
        self.tokens.label_of(institution, key)
    }
}

impl Keys {
    /// Whether the token with this key would take a job now. What cannot be signed now is best not begun.
    ///
    /// # Errors
    /// [`HsmError`].
    pub fn has_room(&self, institution: &InstitutionId, key: KeyId) -> Result<(), HsmError> {
        #[cfg(test)]
        if let Tokens::Local(_) = self.tokens.as_ref() {
            return Ok(());
        }
        match self.tokens.holder(institution, key)? {
            Some(token) => token.has_room(),
            None => self.tokens.first(institution)?.has_room(),
        }
    }

    /// How fit this key is to sign now, as far as its token is concerned.
    pub fn fit(&self, institution: &InstitutionId, key: KeyId) -> Fit {
        #[cfg(test)]
        if let Tokens::Local(token) = self.tokens.as_ref() {
            return if token.has(key) {
                Fit::Ready
            } else {
                Fit::Absent
            };
        }
        match self.tokens.holder(institution, key) {
            Ok(Some(token)) if token.is_ready() => Fit::Ready,
            Ok(Some(_)) => Fit::Present,
            Ok(None) | Err(_) => Fit::Absent,
        }
    }

    /// Whether a token of the institution has this key, and it may be used.
    pub fn has(&self, institution: &InstitutionId, key: KeyId) -> bool {
        self.fit(institution, key) != Fit::Absent
    }

    /// The label of the token that has this key.
    pub fn token_of(&self, institution: &InstitutionId, key: KeyId) -> Option<&str> {
        self.tokens.label_of(institution, key)
    }

    /// The labels of the institution's tokens, in the order of the configuration.
    pub fn labels(&self, institution: &InstitutionId) -> Vec<String> {
        let tokens = self.tokens.of(institution);
        tokens.map(|token| token.label.clone()).collect()
    }

    /// The institution's keys that may be used, as they were found, each with the label of its token.
    pub fn list(&self, institution: &InstitutionId) -> Vec<(String, KeyReport)> {
        let tokens = self.tokens.of(institution);
        let keys = tokens.flat_map(|token| {
            let keys = token.told.keys();
            let labelled = keys.iter().map(|key| (token.label.clone(), key.clone()));
            labelled.collect::<Vec<_>>()
        });
        keys.collect()
    }
}

/// Queues work and waits for its result, until the deadline.
async fn ask<T>(
    token: &TokenPool,
    deadline: Instant,
    work: impl FnOnce(oneshot::Sender<Result<T, HsmError>>) -> Work,
) -> Result<T, HsmError> {
    let (reply, answer) = oneshot::channel();
    token.submit(Job::new(deadline, work(reply)))?;
    match timeout_at(deadline.into(), answer).await {
        Ok(Ok(result)) => result,
        // The job was dropped with its queue.
        Ok(Err(_)) => Err(HsmError::Stopped),
        Err(_) => Err(HsmError::DeadlineExceeded),
    }
}

/// The end of one of so many equal parts of the time that is left.
fn share(deadline: Instant, parts: usize) -> Instant {
    let now = Instant::now();
    let parts = u32::try_from(parts).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / parts
}
