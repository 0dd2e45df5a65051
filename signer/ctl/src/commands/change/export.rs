//! `change export`: a change as a file that verifies by itself: for the operator (`signer change load`), and as evidence.

use std::path::PathBuf;

use semops_objects::change::{ChangeFile, ChangeId};
use serde_json::json;

use super::{Desk, id};
use crate::{
    custody::{
        Untrue,
        service::{self, BaseArgs},
    },
    failure::Failure,
    files,
    output::Report,
};

const JSON: &str =
    "JSON: {\"change_id\", \"state\", \"approvals\" (how many), \"saved_to\" (path)}";

/// Which change, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// The change, by its whole name
    #[arg(value_name = "ID", value_parser = id, allow_hyphen_values = true)]
    id: ChangeId,
    /// Save the change file here
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    base: BaseArgs,
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    let (told, attachments) = service::shown(args.id, desk.client).await?;
    let (_, review) = desk.review(&args.base, told).await?;
    let told = &review.told;
    told.proposal
        .check_attachments(&attachments)
        .map_err(|refusal| Untrue::new(refusal.to_string()))?;
    let file = ChangeFile {
        proposal: told.proposal.clone(),
        approvals: told.approvals.clone(),
        attachments,
    };
    files::write(&args.out, file.to_json().as_bytes())?;
    let (saved, count) = (args.out.display().to_string(), file.approvals.len());
    Ok(Report::new(json!({
        "change_id": args.id.to_string(),
        "state": review.outcome.name(),
        "approvals": count,
        "saved_to": saved,
    }))
    .row("change", args.id.to_string())
    .row("state", review.outcome.name())
    .row("approvals", count.to_string())
    .row("saved to", saved)
    .next("the operator can bring it again, with no authority of his own: signer change load FILE"))
}
