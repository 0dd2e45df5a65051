//! `custodian`: what a custodian does without the service.

mod new_key;
mod verify;

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;

use crate::{failure::Failure, output::Report};

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an approval key, which stays in its file
    NewKey(new_key::Args),
    /// Verify change files from the ceremony on, and show what stands after them
    Verify(verify::Args),
}

/// Does it; `now` is this machine's clock.
///
/// # Errors
/// [`Failure`].
pub fn run(args: &Args, now: SystemTime) -> Result<Report, Failure> {
    match &args.command {
        Command::NewKey(args) => new_key::run(args),
        Command::Verify(args) => {
            let now = now
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs());
            verify::run(args, now)
        }
    }
}
