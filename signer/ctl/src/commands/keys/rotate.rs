//! `keys rotate`: how far the rotation of a purpose's key has come by the verified history, what comes next and who does
//! it, and what verifiers must have by when. It changes nothing; with `--drill` it goes through a rotation with a throwaway
//! key.

mod drill;
mod plan;

use std::path::PathBuf;

use plan::{Plan, Step};
use semops_objects::key::{KeyId, Purpose};
use semops_pki::certificate::Certificate;
use semops_proto::v1::{self, ChangeState, ListKeysRequest};
use serde_json::{Value, json};

use crate::{
    commands::{
        change::{Desk, propose::Asked},
        enroll::parse_chain,
    },
    custody::{
        review::Review,
        service::{self},
    },
    failure::Failure,
    files,
    output::{
        Report, path_json,
        table::{Column, Table},
        utc,
    },
};

const JSON: &str = "JSON: {\"purpose\", \"signing\" (key id, or null), \"next_key\" (key id, or null), \"steps\": [{\"step\", \"state\": \"done\" | \
    \"next\" | \"later\", \"when\" (Unix seconds, or null), \"who\"}], \"verifiers\": {\"new_certificate_by\", \"old_certificate_until\" (Unix seconds)} or null, \
    \"lifetime\": {\"signed\", \"most\"} of the key that signs, or null where policy sets no limit, \"saved_to\" (path or null)}; of a drill {\"key\", \"steps\": [{\"step\", \"state\"}], \"checked\": [text], \"would_sign_at\" (Unix seconds, or null)}";

/// Which key.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// Whose rotation: device-ca, signing-ca, authorization, ocsp, audit or statement
    #[arg(value_name = "PURPOSE", default_value = "authorization", value_parser = purpose)]
    purpose: Purpose,
    /// Save the next key's certificate here, for those who verify
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Rehearse it with a throwaway key that never signs: shows how far the drill has come, and does the next thing that you
    /// may do (role custodian)
    #[arg(long, requires = "out", conflicts_with = "certificate")]
    drill: bool,
    /// Folder of the drill: gets the throwaway key's request-id, public-key.pem, and chain.pem or request.pem
    #[arg(long, value_name = "DIR", requires = "drill")]
    out: Option<PathBuf>,
    #[command(flatten)]
    asked: Asked,
}

fn purpose(text: &str) -> Result<Purpose, String> {
    text.parse().map_err(|_| Purpose::WORDS.to_owned())
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    if let Some(folder) = args.out.as_deref().filter(|_| args.drill) {
        return drill::run(args.purpose, folder, &args.asked, desk).await;
    }
    let (client, profile, now) = (desk.client, desk.profile, desk.now());
    let pending = service::listed(ChangeState::Pending, client).await?;
    let history = args.asked.base.history(profile, client).await?;
    let mut reviews = Vec::new();
    for told in pending {
        reviews.push(Review::of(told, &history, now)?);
    }
    let shown = client.list_keys(ListKeysRequest {}).await?.keys;
    let plan = Plan::of(args.purpose, history.standing(), &reviews, &shown, now);
    if let Some(path) = &args.certificate {
        files::write(path, next_certificate(&plan, &shown)?.as_bytes())?;
    }
    Ok(report(&plan, lifetime(&plan, &shown), args))
}

/// How many objects the key that signs has signed in its life, of those that policy lets it sign.
fn lifetime(plan: &Plan, shown: &[v1::Key]) -> Option<[u64; 2]> {
    let signing = plan.signing?.to_string();
    let key = shown.iter().find(|key| key.key_id == signing)?;
    Some([key.signatures, key.lifetime_signatures?])
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

fn report(plan: &Plan, lifetime: Option<[u64; 2]>, args: &Args) -> Report {
    let text = |key: Option<KeyId>| key.map(|key| key.to_string());
    let report = Report::new(json(plan, lifetime, args))
        .table(table(plan))
        .row(
            "signs now",
            text(plan.signing).unwrap_or_else(|| "no key".to_owned()),
        )
        .row_if(
            "has signed",
            lifetime.map(|[signed, most]| format!("{signed} of the {most} that policy lets it")),
        )
        .row_if("next key", text(plan.next))
        .row_if(
            "verifiers",
            plan.verifiers.map(|needed| {
                format!(
                    "have the new certificate by {}, and the old one beside it until {}",
                    moment(needed.new_by),
                    moment(needed.old_until)
                )
            }),
        )
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

fn json(plan: &Plan, lifetime: Option<[u64; 2]>, args: &Args) -> Value {
    let text = |key: Option<KeyId>| key.map(|key| key.to_string());
    let step = |(step, state): (&Step, &str)| json!({"step": step.what, "state": state, "when": step.when, "who": step.who});
    let steps = plan.steps.iter().zip(plan.states()).map(step);
    json!({
        "purpose": plan.purpose.name(),
        "signing": text(plan.signing),
        "next_key": text(plan.next),
        "steps": steps.collect::<Vec<_>>(),
        "verifiers": plan.verifiers.map(|needed| {
            json!({"new_certificate_by": needed.new_by, "old_certificate_until": needed.old_until})
        }),
        "lifetime": lifetime.map(|[signed, most]| json!({"signed": signed, "most": most})),
        "saved_to": path_json(args.certificate.as_deref()),
    })
}

fn moment(seconds: u64) -> String {
    utc(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn table(plan: &Plan) -> Table {
    let columns = [
        Column::whole("STEP"),
        Column::whole("STATE"),
        Column::whole("WHEN"),
    ];
    let steps = plan.steps.iter().zip(plan.states());
    steps.fold(Table::new(columns), |table, (step, state)| {
        let when = step.when.map_or(String::new(), moment);
        table.row([step.what.to_owned(), state.to_owned(), when])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::specimen::{World, key_id};

    #[test]
    fn what_is_used_of_a_lifetime_is_that_of_the_key_that_signs() {
        let world = World::new();
        let history = world.history();
        let key = |number, lifetime_signatures| v1::Key {
            key_id: key_id(number).to_string(),
            purpose: v1::KeyPurpose::Authorization.into(),
            signatures: 36 + u64::from(number),
            lifetime_signatures,
            ..v1::Key::default()
        };
        let used = |shown: &[v1::Key]| {
            let standing = history.standing();
            let plan = Plan::of(Purpose::Authorization, standing, &[], shown, world.now());
            lifetime(&plan, shown)
        };
        assert_eq!(used(&[key(2, Some(9)), key(1, Some(40))]), Some([37, 40]));
        assert_eq!(used(&[key(2, Some(9)), key(1, None)]), None);
        assert_eq!(used(&[key(2, Some(9))]), None);
    }
}
