//! Owns the command `root-crl`: what it is asked, and what it tells.

use std::path::PathBuf;

use clap::Args;
use semops_pki::certificate::rfc3339;
use serde::Serialize;
use softhsm_setup::{CaReason, RootCrl, next_root_crls, revoke_ca};

use crate::interrupts::interrupts;
use crate::told::{Told, say, say_json};
use crate::{Failure, bare_edge};

/// What is asked.
#[derive(Args)]
pub(crate) struct RootCrlArguments {
    /// The folder
    directory: PathBuf,
    /// Revoke this certificate of a CA, PEM or DER; without it, the next CRL lists what the one before does
    #[arg(long, value_name = "CERTIFICATE", requires = "reason")]
    revoke: Option<PathBuf>,
    /// Why: keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn
    #[arg(long, value_name = "REASON", requires = "revoke")]
    reason: Option<CaReason>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Crls {
    crls: Vec<Crl>,
}

#[derive(Serialize)]
struct Crl {
    hierarchy: &'static str,
    crl: PathBuf,
    number: u64,
    next_update: String,
    entries: usize,
    new: bool,
}

impl From<RootCrl> for Crl {
    fn from(crl: RootCrl) -> Self {
        Self {
            hierarchy: crl.hierarchy.as_str(),
            number: crl.number,
            next_update: rfc3339(crl.next_update),
            entries: crl.entries,
            new: crl.is_new,
            crl: crl.path,
        }
    }
}

/// Does it.
pub(crate) fn run(arguments: &RootCrlArguments) -> Result<(), Failure> {
    let (edge, stop) = (bare_edge()?, interrupts()?);
    let told = Told {
        json: arguments.json,
    };
    let mut progress = |step: &str| told.step(step, &stop);
    let directory = &arguments.directory;
    let crls = match (&arguments.revoke, arguments.reason) {
        (Some(certificate), Some(reason)) => {
            vec![revoke_ca(
                directory,
                certificate,
                reason,
                &edge,
                &mut progress,
            )?]
        }
        _ => next_root_crls(directory, &edge, &mut progress)?,
    };
    tell(&told, crls);
    Ok(())
}

fn tell(told: &Told, crls: Vec<RootCrl>) {
    if told.json {
        let crls = crls.into_iter().map(Crl::from).collect();
        return say_json(&Crls { crls });
    }
    if crls.iter().all(|crl| !crl.is_new) {
        return say("It is revoked already, for that reason: the CRL in force lists it.");
    }
    say(
        "\nNext, take the root's key away again, put the CRL where each signer.toml names it, and have each signer take it:",
    );
    for crl in &crls {
        say(&format!("  {}", crl.path.display()));
    }
    say("  kill -HUP PID   (systemctl reload signer)");
}
