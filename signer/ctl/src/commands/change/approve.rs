//! `change approve` and `change reject`: a custodian's decision, signed over the digest of the bytes that were looked at.

use semops_objects::change::{ChangeId, Decision};
use semops_proto::v1::{self, ApproveChangeRequest, RejectChangeRequest};

use super::{
    Desk, REGISTER, decide, id, person,
    show::{fetch, json},
    view::{View, look},
};
use crate::{
    custody::{
        approver::ApprovalArgs, consent::ConsentArgs, review::Outcome, service::BaseArgs,
        told::Told,
    },
    failure::Failure,
    output::{Form, Report},
};

/// Which change, by which key.
#[derive(Debug, clap::Args)]
#[command(after_help = json())]
pub(super) struct Args {
    /// The change, by its whole name
    #[arg(value_name = "ID", value_parser = id, allow_hyphen_values = true)]
    id: ChangeId,
    #[command(flatten)]
    approval: ApprovalArgs,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    base: BaseArgs,
}

pub(super) async fn run(
    args: &Args,
    decision: Decision,
    desk: &Desk<'_>,
) -> Result<Report, Failure> {
    let approver = args.approval.open(desk.profile)?;
    let view = fetch(args.id, &args.base, desk).await?;
    if !view.review.is_open() {
        let state = view.review.outcome.name();
        return Err(Failure::usage(
            format!("change {} is {state} already", args.id),
            "`semopsctl change list` shows what waits for you; propose it again if it is still wanted",
        ));
    }
    let base = view.review.base.as_ref();
    let base = base.ok_or_else(|| Failure::bad_answer("a change without a base"))?;
    let owner = person(&approver, base.custodians(), REGISTER)?;
    let verb = match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
    };
    let shown = view.rows(Report::new(view.json()));
    let question = format!("{verb} it as {owner}");
    args.consent.ask(
        &shown.render(Form::of_stdout(false)),
        &question,
        desk.progress,
    )?;
    let proposal = &view.review.told.proposal;
    let approval = decide(&approver, &owner, proposal, decision, desk.now())?;
    let told = send(args.id, decision, approval, desk).await?;
    let (_, review) = desk.review(&args.base, told).await?;
    Ok(after(&View { review, ..view }))
}

async fn send(
    id: ChangeId,
    decision: Decision,
    approval: String,
    desk: &Desk<'_>,
) -> Result<Told, Failure> {
    let change_id = id.as_bytes().to_vec();
    let change = match decision {
        Decision::Approve => {
            let request = ApproveChangeRequest {
                change_id,
                approval: approval.clone(),
            };
            desk.client.approve_change(request).await?.change
        }
        Decision::Reject => {
            let request = RejectChangeRequest {
                change_id,
                approval: approval.clone(),
            };
            desk.client.reject_change(request).await?.change
        }
    };
    taken(id, &approval, change)
}

/// The answer must be about this change and hold the decision: the same one of before if it was sent again.
pub(super) fn taken(
    id: ChangeId,
    approval: &str,
    change: Option<v1::Change>,
) -> Result<Told, Failure> {
    let change = change.ok_or_else(|| Failure::bad_answer("the change is missing"))?;
    let told = Told::of(&change)?;
    let sent = semops_objects::change::Approval::parse(approval).map_err(Failure::bad_answer)?;
    let recorded = told
        .approvals
        .iter()
        .any(|one| one.person() == sent.person() && one.decision() == sent.decision());
    if told.id() == id && recorded {
        return Ok(told);
    }
    Err(Failure::bad_answer(
        "the answer does not hold the decision that was sent",
    ))
}

/// What came of it, and what comes next.
pub(super) fn after(view: &View) -> Report {
    let report = view.rows(Report::new(view.json()));
    let told = &view.review.told;
    match view.review.outcome {
        Outcome::Executed { .. } => report.next(format!(
            "it is in force, with its approvals verified: {}",
            look(told.proposal.operation())
        )),
        Outcome::Pending { .. } => report.next(format!(
            "another custodian, until then: semopsctl --profile PROFILE change approve {} --approval-key FILE",
            told.id()
        )),
        Outcome::Waits { .. } => report.next(
            "until then any change of the custodians calls it off; after it the service executes it by itself",
        ),
        Outcome::Rejected | Outcome::Superseded | Outcome::Expired => {
            report.next("nothing comes of it any more; propose it again if it is still wanted")
        }
    }
}
