//! `keys rotate`: how far the rotation of a purpose's key has come by the verified history, what comes next and who does
//! it, and what verifiers must have by when. It changes nothing.

mod plan;

use std::path::PathBuf;

use plan::{Plan, Step};
use semops_objects::key::{KeyId, Purpose};
use semops_pki::certificate::Certificate;
use semops_proto::{
    client::Client,
    v1::{self, ChangeState, ListKeysRequest},
};
use serde_json::{Value, json};

use crate::{
    commands::enroll::parse_chain,
    custody::{
        review::Review,
        service::{self, BaseArgs},
    },
    failure::Failure,
    files,
    output::{
        Report, path_json,
        table::{Column, Table},
        utc,
    },
    profile::Profile,
};

const JSON: &str = "JSON: {\"purpose\", \"signing\" (key id, or null), \"next_key\" (key id, or null), \"steps\": [{\"step\", \"state\": \"done\" | \
    \"next\" | \"later\", \"when\" (Unix seconds, or null), \"who\"}], \"saved_to\" (path or null)}";

/// Which key.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// Whose rotation: device-ca, signing-ca or authorization
    #[arg(value_name = "PURPOSE", default_value = "authorization", value_parser = purpose)]
    purpose: Purpose,
    /// Save the next key's certificate here, for those who verify
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    base: BaseArgs,
}

fn purpose(text: &str) -> Result<Purpose, String> {
    text.parse()
        .map_err(|_| "device-ca, signing-ca or authorization".to_owned())
}

pub(super) async fn run(
    args: &Args,
    client: &Client,
    profile: &Profile,
    now: u64,
) -> Result<Report, Failure> {
    let pending = service::listed(ChangeState::Pending, client).await?;
    let history = args.base.history(profile, client).await?;
    let mut reviews = Vec::new();
    for told in pending {
        reviews.push(Review::of(told, &history, now)?);
    }
    let shown = client.list_keys(ListKeysRequest {}).await?.keys;
    let plan = Plan::of(args.purpose, history.standing(), &reviews, &shown, now);
    if let Some(path) = &args.certificate {
        files::write(path, next_certificate(&plan, &shown)?.as_bytes())?;
    }
    Ok(report(&plan, args))
}

/// The certificate of the key that comes next, PEM.
fn next_certificate(plan: &Plan, shown: &[v1::Key]) -> Result<String, Failure> {
    let wanted = plan.next.map(|key| key.to_string());
    let found = shown
        .iter()
        .find(|key| Some(&key.key_id) == wanted.as_ref());
    let chain = found.map(|key| parse_chain(&key.certificate_chain));
    let chain = chain.transpose()?.unwrap_or_default();
    let own = chain
        .first()
        .filter(|own| Some(KeyId::of(own.public_key())) == plan.next);
    own.map(Certificate::to_pem).ok_or_else(|| {
        Failure::usage(
            "the next key has no certificate yet",
            "`semopsctl keys rotate` says what comes first",
        )
    })
}

fn report(plan: &Plan, args: &Args) -> Report {
    let text = |key: Option<KeyId>| key.map(|key| key.to_string());
    let report = Report::new(json(plan, args))
        .table(table(plan))
        .row(
            "signs now",
            text(plan.signing).unwrap_or_else(|| "no key".to_owned()),
        )
        .row_if("next key", text(plan.next))
        .row_if(
            "saved to",
            args.certificate
                .as_ref()
                .map(|path| path.display().to_string()),
        );
    match plan.steps.iter().find(|step| !step.done) {
        Some(step) => report.next(step.who.clone()),
        None => report,
    }
}

fn json(plan: &Plan, args: &Args) -> Value {
    let text = |key: Option<KeyId>| key.map(|key| key.to_string());
    let step = |(step, state): (&Step, &str)| json!({"step": step.what, "state": state, "when": step.when, "who": step.who});
    let steps = plan.steps.iter().zip(plan.states()).map(step);
    json!({
        "purpose": plan.purpose.name(),
        "signing": text(plan.signing),
        "next_key": text(plan.next),
        "steps": steps.collect::<Vec<_>>(),
        "saved_to": path_json(args.certificate.as_deref()),
    })
}

fn table(plan: &Plan) -> Table {
    let columns = [
        Column::whole("STEP"),
        Column::whole("STATE"),
        Column::whole("WHEN"),
    ];
    let moment = |seconds: u64| utc(i64::try_from(seconds).unwrap_or(i64::MAX));
    let steps = plan.steps.iter().zip(plan.states());
    steps.fold(Table::new(columns), |table, (step, state)| {
        let when = step.when.map_or(String::new(), moment);
        table.row([step.what.to_owned(), state.to_owned(), when])
    })
}
