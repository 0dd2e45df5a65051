//! `change show`: a change as it is by its own bytes and the verified history.

use semops_objects::change::ChangeId;

use super::{
    Desk, id,
    view::{MEMBERS, View},
};
use crate::{
    custody::{
        review::Outcome,
        service::{self, BaseArgs},
    },
    failure::Failure,
    output::Report,
};

/// Which change.
#[derive(Debug, clap::Args)]
#[command(after_help = json())]
pub(super) struct Args {
    /// The change, by its whole name
    #[arg(value_name = "ID", value_parser = id, allow_hyphen_values = true)]
    id: ChangeId,
    #[command(flatten)]
    base: BaseArgs,
}

/// What `--help` says of it, here and where a decision is made.
pub(super) fn json() -> String {
    format!("JSON: {{{MEMBERS}}}")
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    let view = fetch(args.id, &args.base, desk).await?;
    let report = view.rows(Report::new(view.json()));
    Ok(match view.review.outcome {
        Outcome::Pending { .. } => report.next(format!(
            "another custodian: semopsctl --profile PROFILE change approve {} --approval-key FILE",
            args.id
        )),
        _ => report,
    })
}

/// The change with its documents, verified.
pub(super) async fn fetch(id: ChangeId, base: &BaseArgs, desk: &Desk<'_>) -> Result<View, Failure> {
    // Before the history: what is executed in between is found there.
    let (told, attachments) = service::shown(id, desk.client).await?;
    let (history, review) = desk.review(base, told).await?;
    View::of(review, &attachments, &history, desk.client).await
}
