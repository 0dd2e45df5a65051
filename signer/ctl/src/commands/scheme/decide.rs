//! `scheme approve` and `scheme reject`: a custodian's decision, signed over the digest of the bytes that were looked at and
//! added to the change file.

use std::path::PathBuf;

use semops_objects::change::{Approval, Decision};

use super::{
    super::change::{decide, person},
    HistoryArgs,
    show::after,
    view::{JSON, State, View},
};
use crate::{
    custody::{approver::ApprovalArgs, consent::ConsentArgs, service::change_file},
    failure::Failure,
    files,
    output::{Form, Report},
    progress::Progress,
};

/// Which change, by which key.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// The change file, to which your decision is added
    #[arg(value_name = "CHANGE")]
    file: PathBuf,
    #[command(flatten)]
    history: HistoryArgs,
    #[command(flatten)]
    approval: ApprovalArgs,
    #[command(flatten)]
    consent: ConsentArgs,
}

pub(super) fn run(args: &Args, decision: Decision, now: u64) -> Result<Report, Failure> {
    let approver = args.approval.open_alone()?;
    let history = args.history.verify(now)?;
    let mut file = change_file(&args.file)?;
    let view = View::of(&file, &history, now)?;
    if !matches!(view.state, State::Pending { .. }) {
        return Err(Failure::usage(
            format!(
                "change {} is {} already",
                file.proposal.id(),
                view.state.name()
            ),
            "what is approved goes to those who run services; propose it again if it is still wanted",
        ));
    }
    let owner = person(&approver, history.standing.custodians(), super::REGISTER)?;
    let verb = match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
    };
    let shown = view.report().render(Form::of_stdout(false));
    let question = format!("{verb} it as {owner}");
    args.consent
        .ask(&shown, &question, &Progress::new("waiting for you"))?;
    let signed = decide(&approver, &owner, &file.proposal, decision, now)?;
    file.approvals
        .push(Approval::parse(&signed).map_err(Failure::bad_answer)?);
    // A second decision of one person, too, is found before anything is written.
    let view = View::of(&file, &history, now)?;
    files::replace(&args.file, file.to_json().as_bytes())?;
    Ok(after(&view, &args.file))
}
