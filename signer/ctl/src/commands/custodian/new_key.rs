//! `custodian new-key`: an approval key of a custodian's own.

use std::path::PathBuf;

use semops_objects::key::KeyId;
use semops_pki::local_key::LocalKey;
use serde_json::json;

use crate::{failure::Failure, files, output::Report};

const JSON: &str = "JSON: {\"key\" (path), \"kid\", \"public_key\" (PEM, for approval_keys in the register of custodians)}";

/// Where the key goes.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// File of the private key (PKCS#8 PEM, readable by you alone); must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Report, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(error, "free some memory or entropy, and try again")
    };
    let key = LocalKey::generate().map_err(|error| failed(&error))?;
    let secret = key.to_pkcs8_pem().map_err(|error| failed(&error))?;
    let public = key.public_key().to_spki_pem();
    files::write_new_secret(&args.file, secret.as_bytes())?;
    let (path, kid) = (
        args.file.display().to_string(),
        KeyId::of(key.public_key()).to_string(),
    );
    Ok(Report::new(json!({"key": path, "kid": kid, "public_key": public}))
        .row("key", path)
        .row("kid", kid)
        .text(public)
        .next("tell the kid to the other custodians by another way than you send them the PEM")
        .next("it counts once it stands in approval_keys of the register: semopsctl change propose custodians FILE"))
}
