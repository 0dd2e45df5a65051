//! `register`: all that a security team must account for, in one list.

mod entry;
mod export;

use std::time::SystemTime;

use clap::Subcommand;
use semops_proto::client::Client;

use crate::{failure::Failure, output::Report, profile::Profile};

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List keys, token, certificates, callers, custodians and documents with owner, state and end
    Export(export::Args),
}

/// Does it; `now` is this machine's clock.
///
/// # Errors
/// [`Failure`].
pub async fn run(
    args: &Args,
    client: &Client,
    profile: &Profile,
    now: SystemTime,
) -> Result<Report, Failure> {
    match &args.command {
        Command::Export(args) => export::run(args, client, profile, now).await,
    }
}
