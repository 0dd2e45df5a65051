//! A token held: SoftHSM waits with every signature of a key in it, so that a request stands still between its recording
//! and its end, without a flag in the service and without a sleep.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    time::Duration,
};

use rustix::fs::{FlockOperation, fcntl_lock};

use crate::{deployment::Deployment, failure::Failure, token, until::until};

const PATIENCE: Duration = Duration::from_secs(30);

/// An institution's token, held until this is dropped. A process that ends lets go as well.
///
/// SoftHSM takes blocking fcntl locks on the file `generation` of the token before it uses a key; this is the exclusive
/// one. No other file of this process may be opened on it meanwhile: closing that would let go (POSIX).
#[derive(Debug)]
pub struct Held {
    generation: File,
}

impl Held {
    /// Holds the token of `institution`, once what it is doing now is done.
    ///
    /// # Errors
    /// There is no such token.
    pub fn token(deployment: &Deployment, institution: &str) -> Result<Self, Failure> {
        let generation = File::options()
            .read(true)
            .write(true)
            .open(token::folder(deployment, institution)?.join("generation"))?;
        fcntl_lock(&generation, FlockOperation::LockExclusive)?;
        Ok(Self { generation })
    }

    /// Waits until a thread of the service stands at the held token: what it was given has left the queue.
    ///
    /// # Errors
    /// None does, in half a minute.
    pub async fn is_waited_for(&self) -> Result<(), Failure> {
        // A waiter's line in proc_locks(5): `7: -> POSIX  ADVISORY  READ 1234 fe:00:5678 0 EOF`, the file's inode last of
        // the triple.
        let file = format!(":{} ", self.generation.metadata()?.ino());
        until("a waiter for the token", PATIENCE, async || {
            let locks = fs::read_to_string("/proc/locks")?;
            let waits = |line: &str| line.contains("-> POSIX") && line.contains(&file);
            Ok(locks.lines().any(waits).then_some(()))
        })
        .await
    }
}
