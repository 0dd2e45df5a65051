//! `custodian verify`: what stands after the changes in files, from the ceremony on. Without any service.

use std::path::PathBuf;

use semops_objects::change::DocumentKind;
use serde_json::{Value, json};

use crate::{
    custody::{
        Untrue,
        history::{History, Registers},
        service,
        told::{Told, register},
    },
    failure::Failure,
    output::{
        Report,
        table::{Column, Table},
        text::hexadecimal,
    },
};

const JSON: &str = "JSON: {\"institution\", \"sequence\", \"change_id\", \"quorum\", \"documents\": [{\"document\", \"version\", \"sha256\"}], \
    \"keys\": [{\"key_id\", \"purpose\", \"state\"}]}: what stands after the last file";

/// Which files.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// Change files in their sequence, the ceremony first
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Verifies them. The time of each is that of its last approval: a file says no other.
///
/// # Errors
/// [`Failure`]; [`Failure::NotApproved`] if one of them was not approved.
pub(super) fn run(args: &Args, now: u64) -> Result<Report, Failure> {
    let mut told = Vec::new();
    let mut registers = Registers::new();
    let mut ceremony = None;
    for path in &args.files {
        let file = service::change_file(path)?;
        let of_file = Told::of_file(&file);
        file.proposal
            .check_attachments(&file.attachments)
            .map_err(|refusal| Untrue::new(format!("{}: {refusal}", path.display())))?;
        if let Some(bytes) = register(&file.attachments) {
            registers.insert(of_file.id(), bytes.to_vec());
        }
        told.push(of_file);
        ceremony.get_or_insert(file);
    }
    let ceremony = ceremony.ok_or_else(|| Failure::usage("no file", "name the ceremony file"))?;
    Ok(report(&History::verify(&ceremony, told, &registers)?, now))
}

fn report(history: &History, now: u64) -> Report {
    let standing = history.standing();
    let documents: Vec<Value> = DocumentKind::ALL
        .iter()
        .map(|kind| {
            let name = standing.document(*kind);
            json!({"document": kind.name(), "version": name.version, "sha256": hexadecimal(&name.sha256)})
        })
        .collect();
    let keys: Vec<Value> = standing
        .keys()
        .map(|(key, life)| {
            json!({
                "key_id": key.to_string(),
                "purpose": life.purpose().name(),
                "state": life.state(now).name(),
            })
        })
        .collect();
    let quorum = standing.custodians().quorum().get();
    Report::new(json!({
        "institution": standing.institution().as_str(),
        "sequence": standing.sequence(),
        "change_id": standing.last().to_string(),
        "quorum": quorum,
        "documents": documents,
        "keys": keys,
    }))
    .row("institution", standing.institution().as_str())
    .row(
        "changes",
        format!("{}, each approved as it must be", standing.sequence()),
    )
    .row("last", standing.last().to_string())
    .row("quorum", format!("{quorum} persons"))
    .table(document_table(history))
    .table(key_table(history, now))
}

fn document_table(history: &History) -> Table {
    let standing = history.standing();
    let columns = [
        Column::whole("DOCUMENT"),
        Column::number("VERSION"),
        Column::long("SHA256"),
    ];
    DocumentKind::ALL
        .iter()
        .fold(Table::new(columns), |table, kind| {
            let name = standing.document(*kind);
            table.row([
                kind.name().to_owned(),
                name.version.to_string(),
                hexadecimal(&name.sha256),
            ])
        })
}

fn key_table(history: &History, now: u64) -> Table {
    let columns = [
        Column::whole("PURPOSE"),
        Column::whole("STATE"),
        Column::long("KEY"),
    ];
    history
        .standing()
        .keys()
        .fold(Table::new(columns), |table, (key, life)| {
            table.row([
                life.purpose().name().to_owned(),
                life.state(now).name().to_owned(),
                key.to_string(),
            ])
        })
}
