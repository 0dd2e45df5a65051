//! `trust`: what the caller's institution trusts, shown, or saved as the files that openssl and JOSE libraries read; and
//! the document that says it, as it is and as it may be next.

pub(in crate::commands) mod edit;
mod next;

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use semops_objects::InstitutionId;
use semops_pki::certificate::Certificate;
use semops_proto::{
    client::Client,
    v1::{DocumentKind, GetTrustBundleRequest, GetTrustBundleResponse, TrustedInstitution},
};
use serde_json::{Value, json};

use super::{document, enroll::parse_chain};
use crate::{
    failure::Failure,
    files,
    output::{Report, path_json, text::hexadecimal},
    profile::Profile,
};

const JSON: &str = "JSON: {\"version\", \"sha256\" (hexadecimal), \"device_root\", \"signing_root\" (PEM), \"institutions\": \
    [{\"institution\", \"chains\" (PEM each), \"jwk_set\"}], \"saved_to\" (path or null)}";

/// The bundle and where to put it, or what to do with the document.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Save it in this folder: device-root.pem, signing-root.pem, signing-root-crl.der, and for each institution
    /// INSTITUTION-signing-chain.pem, INSTITUTION-signing-ca-crl.der, INSTITUTION-jwks.json (from the second of a kind
    /// on with -2, -3 ... before the dot)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Document(document::Command),
    /// Make the next one: with a certificate more beside the old one, or with one less
    Next(next::Args),
}

/// A file of the bundle.
struct Saved {
    name: String,
    bytes: Vec<u8>,
}

/// What the bundle says, checked as far as its form goes.
struct Bundle {
    device_root: String,
    signing_root: String,
    institutions: Vec<Institution>,
}

struct Institution {
    id: InstitutionId,
    chains: Vec<String>,
    jwk_set: Value,
}

/// Fetches the bundle, or does what is wanted with the document.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client, profile: &Profile) -> Result<Report, Failure> {
    match (&args.command, &args.out) {
        (Some(Command::Document(command)), None) => {
            return command.run(DocumentKind::Trust, client).await;
        }
        (Some(Command::Next(args)), None) => return next::run(args, client, profile).await,
        // clap could refuse it, but then --profile in the same place as well.
        (Some(_), Some(_)) => {
            return Err(Failure::usage(
                "--out before `show`, `versions`, `diff` or `next` saves the bundle, not the document",
                "put --out FILE behind `show` or `next`, or leave the subcommand out",
            ));
        }
        (None, _) => {}
    }
    let answer = client.get_trust_bundle(GetTrustBundleRequest {}).await?;
    let bundle = Bundle::read(&answer)?;
    if let Some(folder) = &args.out {
        save(folder, bundle.files(&answer))?;
    }
    Ok(report(args, &answer, &bundle))
}

fn report(args: &Args, answer: &GetTrustBundleResponse, bundle: &Bundle) -> Report {
    let sha256 = hexadecimal(&answer.sha256);
    let report = Report::new(json!({
        "version": answer.version,
        "sha256": sha256,
        "device_root": bundle.device_root,
        "signing_root": bundle.signing_root,
        "institutions": bundle.institutions.iter().map(Institution::json).collect::<Vec<_>>(),
        "saved_to": path_json(args.out.as_deref()),
    }))
    .row(
        "trust version",
        format!("{}, sha256 {sha256}", answer.version),
    );
    let report = bundle
        .institutions
        .iter()
        .fold(report, |report, institution| {
            let keys = institution.chains.len();
            report.row(
                "trusts",
                format!("{} ({keys} authorization key(s))", institution.id),
            )
        });
    match &args.out {
        Some(folder) => report
            .row("saved to", folder.display().to_string())
            .next("before you use a JWK, check its x5c to signing-root.pem, its O, and that its key is x5c[0]'s"),
        None => report.next("--out DIR saves roots, chains, CRLs and JWK Sets"),
    }
}

impl Bundle {
    fn read(answer: &GetTrustBundleResponse) -> Result<Self, Failure> {
        Ok(Self {
            device_root: pem("the device root", &answer.device_root)?,
            signing_root: pem("the signing root", &answer.signing_root)?,
            institutions: answer
                .institutions
                .iter()
                .map(Institution::read)
                .collect::<Result<_, _>>()?,
        })
    }

    fn files(&self, answer: &GetTrustBundleResponse) -> Vec<Saved> {
        let mut files = vec![
            Saved::new("device-root.pem", &self.device_root),
            Saved::new("signing-root.pem", &self.signing_root),
        ];
        files.extend(numbered(
            "signing-root-crl",
            "der",
            &answer.signing_root_crls,
        ));
        for (institution, sent) in self.institutions.iter().zip(&answer.institutions) {
            let id = institution.id.as_str();
            files.extend(numbered(
                &format!("{id}-signing-chain"),
                "pem",
                &institution.chains,
            ));
            files.extend(numbered(&format!("{id}-signing-ca-crl"), "der", &sent.crls));
            files.push(Saved::new(&format!("{id}-jwks.json"), &sent.jwk_set));
        }
        files
    }
}

impl Institution {
    fn json(&self) -> Value {
        json!({
            "institution": self.id.as_str(),
            "chains": self.chains,
            "jwk_set": self.jwk_set,
        })
    }

    /// Its id becomes part of file names, so it must be one.
    fn read(sent: &TrustedInstitution) -> Result<Self, Failure> {
        let id: InstitutionId = sent
            .institution
            .parse()
            .map_err(|error| unreadable("an institution id", &error))?;
        let chains = sent.chains.iter().map(|chain| {
            let chain = parse_chain(&chain.certificates)?;
            Ok(chain.iter().map(Certificate::to_pem).collect())
        });
        Ok(Self {
            chains: chains.collect::<Result<_, Failure>>()?,
            jwk_set: serde_json::from_str(&sent.jwk_set)
                .map_err(|error| unreadable("a JWK Set", &error))?,
            id,
        })
    }
}

impl Saved {
    fn new(name: &str, content: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            name: name.to_owned(),
            bytes: content.as_ref().to_vec(),
        }
    }
}

/// `STEM.EXTENSION`, then `STEM-2.EXTENSION` and on.
fn numbered<'a>(
    stem: &'a str,
    extension: &'a str,
    contents: &'a [impl AsRef<[u8]>],
) -> impl Iterator<Item = Saved> + 'a {
    contents
        .iter()
        .zip(1_u32..)
        .map(move |(content, number)| match number {
            1 => Saved::new(&format!("{stem}.{extension}"), content),
            _ => Saved::new(&format!("{stem}-{number}.{extension}"), content),
        })
}

fn save(folder: &Path, saved: Vec<Saved>) -> Result<(), Failure> {
    files::make_folder(folder)?;
    for file in saved {
        files::write(&folder.join(file.name), &file.bytes)?;
    }
    Ok(())
}

fn pem(what: &str, der: &[u8]) -> Result<String, Failure> {
    let certificate = Certificate::from_der(der).map_err(|error| unreadable(what, &error))?;
    Ok(certificate.to_pem())
}

fn unreadable(what: &str, error: &dyn Display) -> Failure {
    Failure::bad_answer(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn the_first_of_a_kind_has_no_number() {
        let names: Vec<_> = numbered("alfa-chain", "pem", &["a", "b", "c"])
            .map(|file| file.name)
            .collect();
        assert_eq!(
            names,
            ["alfa-chain.pem", "alfa-chain-2.pem", "alfa-chain-3.pem"]
        );
    }

    #[test]
    fn an_id_that_would_leave_the_folder_is_refused() {
        let sent = TrustedInstitution {
            institution: "../alfa".to_owned(),
            jwk_set: "{}".to_owned(),
            ..TrustedInstitution::default()
        };
        assert!(matches!(
            Institution::read(&sent),
            Err(Failure::BadAnswer { .. })
        ));
    }
}
