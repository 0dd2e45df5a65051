//! `register`: all that a security team must account for, in one list; and how an institution comes and leaves.

mod callers;
mod entry;
mod export;
mod offboard;
mod onboard;
mod steps;

use std::time::SystemTime;

use clap::Subcommand;
use semops_proto::client::Client;

use super::change::Desk;
use crate::{failure::Failure, output::Report, profile::Profile, progress::Progress};

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
    /// Show what stands when your institution has come, who does what next, and what its peers need; changes nothing
    Onboard(onboard::Args),
    /// Show how far your institution has come that leaves, who does what next, and save the evidence; changes nothing
    Offboard(offboard::Args),
}

/// Does it. `clock` is this machine's.
///
/// # Errors
/// [`Failure`].
pub async fn run(
    args: &Args,
    client: &Client,
    profile: &Profile,
    progress: &Progress,
    clock: fn() -> SystemTime,
) -> Result<Report, Failure> {
    let desk = Desk {
        profile,
        client,
        progress,
        clock,
    };
    match &args.command {
        Command::Export(args) => export::run(args, &desk).await,
        Command::Onboard(args) => onboard::run(args, &desk).await,
        Command::Offboard(args) => offboard::run(args, &desk).await,
    }
}
