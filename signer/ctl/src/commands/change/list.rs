//! `change list`: what waits for decisions, and the history as it was verified.

use semops_objects::change::Decision;
use semops_proto::v1::ChangeState;
use serde_json::{Value, json};

use super::{
    Desk,
    view::{MEMBERS, moment, names, short, summary_json},
};
use crate::{
    custody::{
        review::{Outcome, Review},
        service::{self, BaseArgs},
    },
    failure::Failure,
    output::{
        Report,
        table::{Column, Table},
    },
};

/// Which changes.
#[derive(Debug, clap::Args)]
#[command(after_help = about())]
pub(super) struct Args {
    /// Show those that were rejected, superseded or expired too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    base: BaseArgs,
}

fn about() -> String {
    format!(
        "JSON: {{\"changes\": [{{{MEMBERS}}}]}}, without \"diff\" and \"certificate\", newest first; \"quorum\" of the register in force"
    )
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    let others = [
        ChangeState::Pending,
        ChangeState::Rejected,
        ChangeState::Superseded,
        ChangeState::Expired,
    ];
    let wanted = others.iter().take(if args.all { others.len() } else { 1 });
    let mut told = Vec::new();
    for state in wanted {
        told.extend(service::listed(*state, desk.client).await?);
    }
    let history = args.base.history(desk.profile, desk.client).await?;
    let now = desk.now();
    let mut reviews = Vec::new();
    for told in told {
        reviews.push(Review::of(told, &history, now)?);
    }
    // What was executed between the two reads stands in the history.
    reviews.retain(|review| !matches!(review.outcome, Outcome::Executed { .. }));
    for executed in history.executed() {
        reviews.push(Review::of(executed.told.clone(), &history, now)?);
    }
    // Those that wait stand before the one that was executed in their place.
    reviews.sort_by_key(|review| std::cmp::Reverse(review.told.proposal.sequence()));
    Ok(report(
        &reviews,
        history.standing().custodians().quorum().get(),
    ))
}

fn report(reviews: &[Review], quorum: u8) -> Report {
    let columns = [
        Column::long("CHANGE"),
        Column::number("PLACE"),
        Column::whole("STATE"),
        Column::whole("OPERATION"),
        Column::whole("BY"),
        Column::whole("UNTIL OR AT"),
    ];
    let table = reviews.iter().fold(Table::new(columns), |table, review| {
        table.row(cells(review))
    });
    let json: Vec<Value> = reviews.iter().map(summary_json).collect();
    let waiting = reviews.iter().filter(|review| review.is_open()).count();
    let report = Report::new(json!({"changes": json, "quorum": quorum}))
        .table(table)
        .row("waiting", waiting.to_string())
        .row("quorum", format!("{quorum} persons"));
    match waiting {
        0 => report,
        _ => report.next("look at one (--json has ids whole): semopsctl change show ID"),
    }
}

fn cells(review: &Review) -> [String; 6] {
    let proposal = &review.told.proposal;
    let at = match review.outcome {
        Outcome::Pending { .. } | Outcome::Expired => proposal.exp(),
        Outcome::Waits { until } => until,
        Outcome::Executed { .. } | Outcome::Rejected | Outcome::Superseded => review.told.ended_at,
    };
    [
        review.told.id().to_string(),
        proposal.sequence().to_string(),
        review.outcome.name().to_owned(),
        short(proposal.operation()),
        names(review, Decision::Approve).len().to_string(),
        moment(at),
    ]
}
