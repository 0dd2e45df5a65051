//! `scheme show`: a change of the scheme, judged by the history on which it is made.

use std::path::{Path, PathBuf};

use super::{
    HistoryArgs, shown,
    view::{JSON, State, View},
};
use crate::{custody::service::change_file, failure::Failure, output::Report};

/// Which change.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// The change file
    #[arg(value_name = "CHANGE")]
    file: PathBuf,
    #[command(flatten)]
    history: HistoryArgs,
}

pub(super) fn run(args: &Args, now: u64) -> Result<Report, Failure> {
    let history = args.history.verify(now)?;
    let view = View::of(&change_file(&args.file)?, &history, now)?;
    Ok(after(&view, &args.file))
}

/// What there is to see, and what comes next.
pub(super) fn after(view: &View, file: &Path) -> Report {
    let (report, file) = (view.report(), shown(file));
    match view.state {
        State::Pending { .. } => report.next(format!(
            "hand {file} to another custodian of the scheme: semopsctl scheme approve {file} --changes FILES --approval-key FILE"
        )),
        State::Approved => report.next(format!(
            "hand {file} to whoever runs a service of the scheme: it is added at the end of `changes` in [roots] of signer.toml, \
             then the service is sent SIGHUP"
        )),
        State::Rejected | State::Expired => {
            report.next("nothing comes of it any more; propose it again if it is still wanted")
        }
    }
}
