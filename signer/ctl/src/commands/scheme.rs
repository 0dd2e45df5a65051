//! `scheme`: what the scheme's own custodians do about its roots and about who they are. Everything is in change files, which
//! they hand to each other and to those who run services: no service is asked, and none is believed.

mod decide;
mod propose;
mod show;
mod verify;
mod view;

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Subcommand;
use semops_objects::change::{ChangeFile, Decision, DocumentKind, SchemeStanding};

use crate::{
    custody::{Untrue, service::change_file},
    failure::Failure,
    output::Report,
};

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Propose a change of the scheme, with your own approval
    Propose(propose::Args),
    /// Show a change of the scheme: what it would do, who approved it, what is missing
    Show(show::Args),
    /// Approve a change of the scheme, after it was shown to you
    Approve(decide::Args),
    /// Reject a change of the scheme, after it was shown to you
    Reject(decide::Args),
    /// Verify the scheme's change files from the ceremony on, and show what stands after them
    Verify(verify::Args),
}

/// The history on which a change is made.
#[derive(Debug, clap::Args)]
struct HistoryArgs {
    /// The scheme's change files in force, in their order, the ceremony first
    #[arg(long = "changes", value_name = "FILE", required = true, num_args = 1..)]
    changes: Vec<PathBuf>,
}

impl HistoryArgs {
    fn verify(&self, now: u64) -> Result<History, Failure> {
        History::verify(&self.changes, now)
    }
}

/// Change files that were verified, and what stands by them.
struct History {
    files: Vec<ChangeFile>,
    standing: SchemeStanding,
}

impl History {
    fn verify(paths: &[PathBuf], now: u64) -> Result<Self, Failure> {
        let files = paths.iter().map(|path| change_file(path));
        let files: Vec<_> = files.collect::<Result<_, _>>()?;
        let ceremony = files.first();
        let ceremony =
            ceremony.ok_or_else(|| Failure::usage("no file", "name the scheme's ceremony file"))?;
        let scheme = ceremony.proposal.scheme();
        let standing = SchemeStanding::of(scheme, &files, now).map_err(|error| {
            let place = usize::try_from(error.place).unwrap_or(usize::MAX);
            let path = paths.get(place.saturating_sub(1));
            let path = path.map(|path| path.display().to_string());
            Untrue::new(format!("{}: {error}", path.unwrap_or_default()))
        })?;
        Ok(Self { files, standing })
    }

    /// The text of the register in force.
    fn register(&self) -> &str {
        let mut newest = self.files.iter().rev();
        let bytes = newest.find_map(|file| file.document(DocumentKind::Custodians));
        bytes
            .and_then(|bytes| str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

/// Where the custodians of a scheme read who they are.
const REGISTER: &str = "semopsctl scheme verify FILES";

/// A path for a command that is to be typed next.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Does it; `clock` is this machine's.
///
/// # Errors
/// [`Failure`].
pub fn run(args: &Args, clock: SystemTime) -> Result<Report, Failure> {
    let since = clock.duration_since(UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_secs());
    match &args.command {
        Command::Propose(args) => propose::run(args, now),
        Command::Show(args) => show::run(args, now),
        Command::Approve(args) => decide::run(args, Decision::Approve, now),
        Command::Reject(args) => decide::run(args, Decision::Reject, now),
        Command::Verify(args) => verify::run(args, now),
    }
}
