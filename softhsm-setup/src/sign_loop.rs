//! Owns measuring what a token can do at most: C_Sign in a loop, in a process of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use semops_objects::institution::InstitutionId;
use zeroize::Zeroizing;

use crate::directory::at;
use crate::error::SetupError;
use crate::standing::Standing;
use crate::token::TokenProcess;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// How many signatures there were.
    pub signatures: u64,
    /// In what time.
    pub elapsed: Duration,
    /// In how many threads.
    pub threads: u32,
}

/// Signs (CKM_ECDSA, P-256) for `seconds` in the token of `institution`, one session for each of `threads` threads; as
/// many as the signer has, if none are given. The key pair is made for it, sensitive and not extractable, and
/// destroyed afterwards. `program` is this crate's executable.
///
/// # Errors
/// [`SetupError`]; the key pair is destroyed all the same, unless its process is killed.
pub fn sign_loop(
    directory: &Path,
    institution: &InstitutionId,
    seconds: u32,
    threads: Option<u32>,
    program: &Path,
) -> Result<Measured, SetupError> {
    let standing = Standing::read(directory)?;
    let own = standing.token(institution, None)?;
    let file = own.pin_file;
    let pin = Zeroizing::new(fs::read_to_string(&file).map_err(at(&file))?);
    let configuration = standing.directory.softhsm_configuration();
    let mut token = TokenProcess::start(program, &configuration, own.label)?;
    token.open(&standing.module(), pin.strip_suffix('\n').unwrap_or(&pin))?;
    let threads = threads.unwrap_or(standing.threads());
    let (signatures, elapsed) = token.measure(seconds, threads)?;
    token.finish()?;
    Ok(Measured {
        signatures,
        elapsed,
        threads,
    })
}
