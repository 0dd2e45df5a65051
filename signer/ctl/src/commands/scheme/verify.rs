//! `scheme verify`: what stands in the scheme after the changes in files, from the ceremony on.

use std::path::PathBuf;

use semops_objects::change::{Custodian, PersonId, Roots};
use semops_pki::certificate::Certificate;
use serde_json::{Value, json};

use super::{History, view::subject};
use crate::{
    failure::Failure,
    output::{
        Report,
        table::{Column, Table},
        text::{date, hexadecimal},
    },
};

const JSON: &str = "JSON: {\"scheme\", \"sequence\", \"change_id\", \"quorum\", \"custodians\": [persons], \"roots_version\", \
    \"roots\": [{\"hierarchy\", \"subject\", \"not_after\", \"sha256\"}]}: what stands after the last file";

/// Which files.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// The scheme's change files in their order, the ceremony first
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, now: u64) -> Result<Report, Failure> {
    let History { standing, .. } = History::verify(&args.files, now)?;
    let register = standing.custodians();
    let active = register.active().map(Custodian::person);
    let active: Vec<_> = active.map(PersonId::to_string).collect();
    let (roots, quorum) = (standing.roots(), register.quorum().get());
    let last = standing.changes().last().map(ToString::to_string);
    let changes = format!("{}, each approved as it must be", standing.sequence());
    Ok(Report::new(json!({
        "scheme": standing.scheme(),
        "sequence": standing.sequence(),
        "change_id": last,
        "quorum": quorum,
        "custodians": active,
        "roots_version": roots.named().version,
        "roots": all(roots).map(member).collect::<Vec<_>>(),
    }))
    .row("scheme", standing.scheme())
    .row("changes", changes)
    .row_if("last", last)
    .words("custodians", &active)
    .row("quorum", format!("{quorum} persons"))
    .row("roots", format!("version {}", roots.named().version))
    .table(table(roots)))
}

/// Each root with its hierarchy.
fn all(roots: &Roots) -> impl Iterator<Item = (&'static str, &Certificate)> {
    let device = roots.device().iter().map(|root| ("device", root));
    device.chain(roots.signing().iter().map(|root| ("signing", root)))
}

fn member((hierarchy, root): (&str, &Certificate)) -> Value {
    json!({
        "hierarchy": hierarchy,
        "subject": subject(root),
        "not_after": root.not_after(),
        "sha256": hexadecimal(&root.sha256()),
    })
}

fn table(roots: &Roots) -> Table {
    let columns = [
        Column::whole("HIERARCHY"),
        Column::whole("SUBJECT"),
        Column::whole("UNTIL"),
        Column::long("SHA256"),
    ];
    all(roots).fold(Table::new(columns), |table, (hierarchy, root)| {
        table.row([
            hierarchy.to_owned(),
            subject(root),
            date(root.not_after()),
            hexadecimal(&root.sha256()),
        ])
    })
}
