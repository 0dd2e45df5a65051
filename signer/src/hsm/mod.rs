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
mod place;
mod process;
mod rehearsal;
mod report;
mod start;
mod supervisor;
mod token;
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
pub use self::monitor::{Monitor, Watch};
pub use self::rehearsal::Rehearsal;
pub use self::report::{KeyReport, TokenReport};
pub use self::start::start;
pub use self::token::Gauges;

use self::job::{Job, Work};
use self::token::TokenPool;
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

/// One institution's token.
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

/// The tokens, for asking; a handful, so they are searched in order.
enum Tokens {
    Pools(Vec<Arc<TokenPool>>),
    /// Unit tests have one token in memory, behind the same plain data.
    #[cfg(test)]
    Local(Arc<LocalToken>),
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
        let token = self.tokens.find(institution)?;
        if !token.told.has(key) {
            let fault = Fault::new("C_FindObjects", "no such key may be used");
            return Err(HsmError::Rejected(fault));
        }
        ask(token, deadline, |reply| Work::Sign { key, digest, reply }).await
    }
}

impl Keys {
    /// Draws `N` octets from the random number generator of the institution's token.
    ///
    /// # Errors
    /// [`HsmError`].
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
        let token = self.tokens.find(institution)?;
        let length = u32::try_from(N).unwrap_or(0);
        let octets = ask(token, deadline, |reply| Work::Random { length, reply }).await?;
        octets.try_into().map_err(|_| {
            HsmError::Rejected(Fault::new("C_GenerateRandom", "another number of octets"))
        })
    }

    /// Whether the institution's token would take a job now. What cannot be signed now is best not begun.
    ///
    /// # Errors
    /// [`HsmError`].
    pub fn has_room(&self, institution: &InstitutionId) -> Result<(), HsmError> {
        #[cfg(test)]
        if let Tokens::Local(_) = self.tokens.as_ref() {
            return Ok(());
        }
        self.tokens.find(institution)?.has_room()
    }

    /// Whether the institution's token has this key, and it may be used.
    pub fn has(&self, institution: &InstitutionId, key: KeyId) -> bool {
        #[cfg(test)]
        if let Tokens::Local(token) = self.tokens.as_ref() {
            return token.has(key);
        }
        let token = self.tokens.find(institution);
        token.is_ok_and(|token| token.told.has(key))
    }

    /// The institution's keys that may be used, as they were found; none if it has no token.
    pub fn list(&self, institution: &InstitutionId) -> Arc<[KeyReport]> {
        let token = self.tokens.find(institution);
        token.map_or_else(|_| [].into(), |token| token.told.keys())
    }
}

impl Tokens {
    fn find(&self, institution: &InstitutionId) -> Result<&TokenPool, HsmError> {
        let mut tokens = match self {
            Self::Pools(pools) => pools.iter(),
            #[cfg(test)]
            Self::Local(_) => [].iter(),
        };
        let found = tokens.find(|token| token.institution == *institution);
        found.map(AsRef::as_ref).ok_or_else(|| {
            let fault = Fault::new("C_GetSlotList", "the institution has no token here");
            HsmError::Rejected(fault)
        })
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
