//! `change propose`: a change on top of the verified history, with the proposer's own approval.

mod document;
mod key;
pub(in crate::commands) mod moment;
mod rotation;

use aws_lc_rs::rand;
use clap::Subcommand;
use semops_objects::change::{
    Attachment, Decision, DocumentKind, KeyOperation, Operation, Proposal, Recovery, Standing,
};
use semops_proto::v1::{ChangeState, ProposeChangeRequest};

use super::{
    Desk, REGISTER,
    approve::{after, taken},
    decide, person,
    show::json,
    view::View,
};
use crate::{
    custody::{
        approver::{ApprovalArgs, Approver},
        consent::ConsentArgs,
        history::History,
        review::Review,
        service::{self, BaseArgs},
        told::Told,
    },
    failure::Failure,
    output::{Form, Report},
};

/// How long a proposal waits for approvals, unless it is said, in seconds: three days.
pub(in crate::commands) const WAITS: u64 = 3 * 86_400;

/// What to propose.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The next version of the policy with its limits
    Policy(document::Args),
    /// The next version of the trust document
    Trust(document::Args),
    /// The next version of the register of callers
    Callers(document::Args),
    /// The next version of the register of custodians
    Custodians(document::Args),
    /// Suspend a key at once: your approval alone is enough
    SuspendKey(key::Args),
    /// Let a suspended key sign again
    ResumeKey(key::Args),
    /// Let a key sign no more, for ever
    DeactivateKey(key::Args),
    /// Say that a key may be known to others, for ever
    MarkCompromised(key::Args),
    /// Have another key sign from a time on
    RotateKey(rotation::Args),
    /// Have one more key sign from a time on, beside those that do: in another token
    AddKey(rotation::AddArgs),
    /// Have a rotation, or an addition, not happen, before its new key signs
    CallOffRotation(rotation::CallOffArgs),
    /// Have a key destroyed that signs no more
    ScheduleDestruction(rotation::DestructionArgs),
    /// Have that not happen
    CallOffDestruction(key::Args),
    /// Replace the custodians by the sealed recovery key, after its delay
    RecoverCustodians(document::Args),
}

pub(in crate::commands) use key::the_one;

/// What every proposal takes.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Asked {
    /// How long it waits for approvals, from 1m to 14d [default: 3d; of a recovery, its delay and 3d]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    valid_for: Option<u64>,
    #[command(flatten)]
    approval: ApprovalArgs,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    pub(in crate::commands) base: BaseArgs,
}

impl Asked {
    /// The institution's verified history, on which it is proposed.
    pub(in crate::commands) async fn history(&self, desk: &Desk<'_>) -> Result<History, Failure> {
        self.base.history(desk.profile, desk.client).await
    }

    /// Proposes what another command has come to.
    pub(in crate::commands) async fn propose(
        &self,
        operation: Operation,
        attachments: Vec<Attachment>,
        desk: &Desk<'_>,
    ) -> Result<(), Failure> {
        let approver = self.approval.open(desk.profile)?;
        let history = self.history(desk).await?;
        let wanted = Wanted {
            operation,
            attachments,
        };
        propose(self, &approver, &history, wanted, desk).await?;
        Ok(())
    }
}

/// An operation with the document that it names, checked against what stands.
struct Wanted {
    operation: Operation,
    attachments: Vec<Attachment>,
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    let (asked, draft) = match &args.what {
        What::Policy(args) => args.draft(DocumentKind::Policy)?,
        What::Trust(args) => args.draft(DocumentKind::Trust)?,
        What::Callers(args) => args.draft(DocumentKind::Callers)?,
        What::Custodians(args) => args.draft(DocumentKind::Custodians)?,
        What::SuspendKey(args) => args.draft(KeyOperation::Suspend),
        What::ResumeKey(args) => args.draft(KeyOperation::Resume),
        What::DeactivateKey(args) => args.draft(KeyOperation::Deactivate),
        What::MarkCompromised(args) => args.draft(KeyOperation::MarkCompromised),
        What::RotateKey(args) => args.draft()?,
        What::AddKey(args) => args.draft()?,
        What::CallOffRotation(args) => args.draft(),
        What::ScheduleDestruction(args) => args.draft(),
        What::CallOffDestruction(args) => args.draft(KeyOperation::CallOffDestruction),
        What::RecoverCustodians(args) => args.recovery()?,
    };
    let approver = asked.approval.open(desk.profile)?;
    let history = asked.base.history(desk.profile, desk.client).await?;
    let wanted = draft.on(history.standing(), desk.now())?;
    propose(asked, &approver, &history, wanted, desk).await
}

/// A change that is not yet on top of anything.
enum Draft<'a> {
    Document(document::Draft),
    Key(key::Draft<'a>),
    Rotation(rotation::Draft<'a>),
}

impl Draft<'_> {
    fn on(self, standing: &Standing, now: u64) -> Result<Wanted, Failure> {
        match self {
            Self::Document(draft) => draft.on(standing),
            Self::Key(draft) => draft.on(standing),
            Self::Rotation(draft) => draft.on(standing, now),
        }
    }
}

/// Proposes an operation on top of a verified history, for a command that has found out what is to be done.
pub(in crate::commands) async fn on_top(
    asked: &Asked,
    history: &History,
    operation: Operation,
    attachments: Vec<Attachment>,
    desk: &Desk<'_>,
) -> Result<Report, Failure> {
    let approver = asked.approval.open(desk.profile)?;
    let wanted = Wanted {
        operation,
        attachments,
    };
    propose(asked, &approver, history, wanted, desk).await
}

async fn propose(
    asked: &Asked,
    approver: &Approver,
    history: &History,
    wanted: Wanted,
    desk: &Desk<'_>,
) -> Result<Report, Failure> {
    let standing = history.standing();
    let owner = person(approver, standing.custodians(), REGISTER)?;
    let now = desk.now();
    let mut nonce = [0; 16];
    rand::fill(&mut nonce)
        .map_err(|_| Failure::usage("no random source", "have the operating system looked at"))?;
    let wait = asked
        .valid_for
        .unwrap_or_else(|| wait(&wanted.operation, standing));
    let exp = now.saturating_add(wait);
    let proposal = Proposal::new(standing.base(), wanted.operation, nonce, now, exp)
        .map_err(|refusal| Failure::usage(refusal, "propose something else"))?;
    let view = preview(&proposal, &wanted.attachments, history, desk).await?;
    let shown = view.rows(Report::new(view.json()));
    let question = format!("propose it, with your approval as {owner}");
    asked.consent.ask(
        &shown.render(Form::of_stdout(false)),
        &question,
        desk.progress,
    )?;
    let approval = decide(approver, &owner, &proposal, Decision::Approve, now)?;
    let request = ProposeChangeRequest {
        proposal: proposal.bytes().to_vec(),
        documents: service::documents(&wanted.attachments),
        certificate: service::certificate(&wanted.attachments),
        approval: approval.clone(),
    };
    let answer = desk.client.propose_change(request).await?;
    let told = taken(proposal.id(), &approval, answer.change)?;
    let (_, review) = desk.review(&asked.base, told).await?;
    Ok(after(&View { review, ..view }))
}

/// What the proposal would do: judged as the service will, before anybody has approved it.
async fn preview(
    proposal: &Proposal,
    attachments: &[Attachment],
    history: &History,
    desk: &Desk<'_>,
) -> Result<View, Failure> {
    let told = Told {
        proposal: proposal.clone(),
        approvals: Vec::new(),
        state: ChangeState::Pending,
        proposed_at: proposal.iat(),
        ended_at: 0,
    };
    let judged = history
        .standing()
        .judge(proposal, &[], told.moment(desk.now()));
    judged.map_err(|refusal| Failure::usage(refusal, "change what it names"))?;
    let review = Review::of(told, history, desk.now())?;
    View::of(review, attachments, history, desk.client).await
}

/// How long it waits: a recovery for its delay first.
fn wait(operation: &Operation, standing: &Standing) -> u64 {
    let delay = match operation {
        Operation::RecoverCustodians { .. } => {
            standing.custodians().recovery().map(Recovery::delay)
        }
        _ => None,
    };
    delay.unwrap_or_default().saturating_add(WAITS)
}

pub(in crate::commands) fn span(text: &str) -> Result<u64, String> {
    moment::span_of(text).ok_or_else(|| "a number and m, h or d, such as 72h".to_owned())
}
