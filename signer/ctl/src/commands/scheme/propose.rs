//! `scheme propose`: a change on top of the scheme's verified history, with the proposer's own approval, in a new change file.

use std::path::PathBuf;

use aws_lc_rs::rand;
use clap::Subcommand;
use semops_objects::change::{
    Approval, Attachment, AttachmentKind, ChangeFile, Decision, DocumentKind, Operation, Proposal,
    SchemeOperation, SchemeStanding, SchemeVersion,
};
use semops_pki::algorithm::sha256;

use super::{
    super::change::{WAITS, decide, person, span},
    HistoryArgs,
    show::after,
    view::{JSON, View},
};
use crate::{
    custody::{approver::ApprovalArgs, consent::ConsentArgs},
    failure::Failure,
    files,
    output::{Form, Report},
    progress::Progress,
};

/// What to propose.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The next version of the scheme's roots
    Roots(Asked),
    /// The next version of the register of the scheme's custodians
    Custodians(Asked),
}

/// What every proposal takes.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
struct Asked {
    /// The document, TOML: its version is that in force plus one
    #[arg(value_name = "DOCUMENT")]
    document: PathBuf,
    #[command(flatten)]
    history: HistoryArgs,
    /// The change file to make; must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How long it waits for approvals, from 1m to 14d [default: 3d]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    valid_for: Option<u64>,
    #[command(flatten)]
    approval: ApprovalArgs,
    #[command(flatten)]
    consent: ConsentArgs,
}

pub(super) fn run(args: &Args, now: u64) -> Result<Report, Failure> {
    let (asked, kind) = match &args.what {
        What::Roots(asked) => (asked, AttachmentKind::Roots),
        What::Custodians(asked) => (asked, AttachmentKind::Document(DocumentKind::Custodians)),
    };
    let approver = asked.approval.open_alone()?;
    let history = asked.history.verify(now)?;
    let owner = person(&approver, history.standing.custodians(), super::REGISTER)?;
    let mut file = asked.draft(kind, &history.standing, now)?;
    let view = View::of(&file, &history, now).map_err(|untrue| {
        let document = asked.document.display();
        let says = format!("{document}: {untrue}");
        Failure::usage(says, "change what the message names")
    })?;
    let shown = view.report().render(Form::of_stdout(false));
    let question = format!("propose it, with your approval as {owner}");
    asked
        .consent
        .ask(&shown, &question, &Progress::new("waiting for you"))?;
    let signed = decide(&approver, &owner, &file.proposal, Decision::Approve, now)?;
    file.approvals
        .push(Approval::parse(&signed).map_err(Failure::bad_answer)?);
    let view = View::of(&file, &history, now)?;
    files::write_new(&asked.out, file.to_json().as_bytes())?;
    Ok(after(&view, &asked.out))
}

impl Asked {
    /// The proposal on top of what stands, with its document. Nobody has approved it yet.
    fn draft(
        &self,
        kind: AttachmentKind,
        standing: &SchemeStanding,
        now: u64,
    ) -> Result<ChangeFile, Failure> {
        let content = files::read_text(&self.document)?;
        let named = |in_force: u64| SchemeVersion {
            version: in_force.saturating_add(1),
            sha256: sha256(content.as_bytes()),
        };
        let operation = match kind {
            AttachmentKind::Roots => {
                SchemeOperation::Roots(named(standing.roots().named().version))
            }
            _ => SchemeOperation::Custodians(named(standing.custodians().version())),
        };
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).map_err(|_| {
            Failure::usage("no random source", "have the operating system looked at")
        })?;
        let exp = now.saturating_add(self.valid_for.unwrap_or(WAITS));
        let operation = Operation::Scheme(operation);
        let proposal = Proposal::new(standing.base(), operation, nonce, now, exp);
        Ok(ChangeFile {
            proposal: proposal
                .map_err(|refusal| Failure::usage(refusal, "propose something else"))?,
            approvals: Vec::new(),
            attachments: vec![Attachment { kind, content }],
        })
    }
}
