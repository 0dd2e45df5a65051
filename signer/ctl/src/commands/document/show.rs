//! `show`: a document as it was loaded.

use std::path::PathBuf;

use semops_proto::{client::Client, v1::DocumentKind};
use serde_json::json;

use super::{Document, word};
use crate::{
    failure::Failure,
    files,
    output::{Report, path_json, utc},
};

const JSON: &str = "JSON: {\"document\": \"policy\" | \"trust\" | \"callers\" | \"custodians\", \"version\", \"sha256\" (hexadecimal), \"loaded_at\" (Unix seconds), \"content\" \
                    (TOML), \"saved_to\" (path or null)}";

/// Which version, and where to put it.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// This version instead of the one in force
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// Save it here, byte for byte, instead of showing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(
    args: &Args,
    kind: DocumentKind,
    client: &Client,
) -> Result<Report, Failure> {
    let document = Document::fetch(kind, args.version.unwrap_or_default(), client).await?;
    if let Some(path) = &args.out {
        files::write(path, document.content.as_bytes())?;
    }
    let report = Report::new(json!({
        "document": word(kind),
        "version": document.version,
        "sha256": document.sha256,
        "loaded_at": document.loaded_at,
        "content": document.content,
        "saved_to": path_json(args.out.as_deref()),
    }))
    .row("document", word(kind))
    .row("version", document.version.to_string())
    .row("sha256", &document.sha256)
    .row("loaded", utc(document.loaded_at));
    Ok(match &args.out {
        Some(path) => {
            let path = path.display().to_string();
            let check = format!("compute its digest yourself: openssl dgst -sha256 {path}");
            report.row("saved to", path).next(check)
        }
        None => report.text(document.content),
    })
}
