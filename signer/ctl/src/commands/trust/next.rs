//! `trust next`: the trust document that follows the one in force, for a rotation of a key of another institution's, or for one that comes.

use std::path::PathBuf;

use semops_objects::{InstitutionId, change::DocumentKind, key::KeyId};
use semops_pki::{algorithm::sha256, certificate::Certificate, crl::CertificateRevocationList};
use semops_proto::client::Client;
use serde_json::json;

use super::edit::{self, Next, Wanted};
use crate::{
    custody::service::{self, BaseArgs},
    failure::Failure,
    files,
    output::{Report, text::hexadecimal, utc},
    profile::Profile,
};

const JSON: &str = "JSON: {\"version\", \"sha256\" (hexadecimal), \"added\", \"retired\" (key id, or null), \"saved_to\" (path)}";

/// What is to change.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// The institution whose key is rotated, or that comes: then --add and --crl name its chain with the CA, and the CA's CRL
    #[arg(long, value_name = "INSTITUTION")]
    of: InstitutionId,
    /// Believe this certificate too: PEM of a new authorization key's, with its CA's behind it if that is new
    #[arg(long, value_name = "FILE", required_unless_present = "retire")]
    add: Option<PathBuf>,
    /// The CRL of a CA that is new, DER
    #[arg(long, value_name = "FILE", requires = "add")]
    crl: Option<PathBuf>,
    /// Believe this key no longer: its id, or the beginning of it. Not before 600 s after it signed last
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    retire: Option<String>,
    /// Save the document here
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    base: BaseArgs,
}

pub(super) async fn run(
    args: &Args,
    client: &Client,
    profile: &Profile,
) -> Result<Report, Failure> {
    let chain = args.chain()?;
    let crl = args.crl()?;
    let history = args.base.history(profile, client).await?;
    let in_force = history.standing().document(DocumentKind::Trust);
    let text = service::document(in_force, client).await?;
    let wanted = Wanted {
        of: &args.of,
        add: &chain,
        crl: crl.as_ref(),
        retire: args.retire.as_deref(),
    };
    let next = edit::next(&text, &wanted).map_err(|why| {
        Failure::usage(
            format!("the trust document in force: {why}"),
            "`semopsctl trust show` shows it; change what is wanted, or edit it by hand",
        )
    })?;
    files::write(&args.out, next.text.as_bytes())?;
    Ok(report(args, &next, in_force.version, chain.first()))
}

fn report(args: &Args, next: &Next, former: u64, leaf: Option<&Certificate>) -> Report {
    let path = args.out.display().to_string();
    let digest = hexadecimal(&sha256(next.text.as_bytes()));
    let key = |key: Option<KeyId>| key.map(|key| key.to_string());
    let report = Report::new(json!({
        "version": next.version,
        "sha256": digest,
        "added": key(next.added),
        "retired": key(next.retired),
        "saved_to": path,
    }))
    .row("version", format!("{} after {former}", next.version))
    .row_if("added", key(next.added))
    .row_if("valid until", leaf.map(|leaf| utc(leaf.not_after())))
    .row_if("retired", key(next.retired))
    .row("saved to", &path);
    report.next(format!(
        "propose it: semopsctl change propose trust {path} --approval-key FILE"
    ))
}

impl Args {
    fn chain(&self) -> Result<Vec<Certificate>, Failure> {
        let Some(path) = &self.add else {
            return Ok(Vec::new());
        };
        let wrong = |what: String| {
            Failure::usage(
                format!("{}: {what}", path.display()),
                "name the PEM of the new key's certificate: `semopsctl keys rotate --certificate` saves it",
            )
        };
        let chain = Certificate::chain_from_pem(&files::read_text(path)?);
        let chain = chain.map_err(|error| wrong(error.to_string()))?;
        if chain.is_empty() {
            return Err(wrong("no certificate in it".to_owned()));
        }
        Ok(chain)
    }

    fn crl(&self) -> Result<Option<CertificateRevocationList>, Failure> {
        let Some(path) = &self.crl else {
            return Ok(None);
        };
        let crl = CertificateRevocationList::from_der(&files::read(path)?);
        crl.map(Some).map_err(|error| {
            Failure::usage(
                format!("{}: {error}", path.display()),
                "name the CRL in DER: `semopsctl crl` saves it",
            )
        })
    }
}
