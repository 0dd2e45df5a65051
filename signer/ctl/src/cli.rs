//! The command line: its options, its commands, and which of them need the service.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        accept, authorization, cosign, crl, device, enroll, phone, release, revoke, trust, verify,
    },
    connection,
    failure::Failure,
    output::Report,
    profile::Profile,
};

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  refused by the service, or answered in a way that cannot be relied on
  2  an option, a file or the profile cannot be used
  3  the service cannot be reached, TLS failed, or there was no answer before the deadline
  4  `verify`: the authorization is not valid (expired or refused)

With --json a command prints one JSON object on standard output; `COMMAND --help` shows its members. An error is one
object on standard error:
  {\"error\": {\"kind\": \"refused\" | \"unreachable\" | \"usage\" | \"bad_answer\", \"message\", \"way_out\",
             \"code\", \"reason\", \"violations\": [{\"field\", \"description\"}], \"metadata\": {},
             \"retry_after_seconds\", \"request_id\"}}   (from \"code\" on: when refused)

A profile is a TOML file:
  endpoint = \"https://127.0.0.1:8443\"   where the service listens
  server = \"signer.example\"             DNS name, IP address or spiffe:// id in the server's certificate
  root = \"tls-root.pem\"                 the TLS root, the only one trusted
  certificate = \"chain.pem\"             the caller's chain, leaf first
  key = \"key.pem\"                       the caller's private key
  timeout_seconds = 10                  deadline of each call; 10 if left out
Paths in it are relative to it.";

/// The command line of the SEMOPS signing service.
#[derive(Debug, Parser)]
#[command(name = "semopsctl", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Connection profile: which service, and as whom
    #[arg(long, global = true, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Print JSON for programs instead of lines for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Have a phone's key certified (role enrolment)
    Enroll(enroll::Args),
    /// Accept a device for one of your accounts (role enrolment)
    Accept(accept::Args),
    /// End the acceptance of a device (role enrolment)
    Release(release::Args),
    /// Revoke a device that your institution issued (role enrolment)
    Revoke(revoke::Args),
    /// Show a device (roles enrolment, payments)
    Device(device::Args),
    /// Have a phone's order co-signed (role payments)
    Cosign(cosign::Args),
    /// Show where an order's co-signing stands (role payments)
    Authorization(authorization::Args),
    /// Verify an authorization against your institution's trust (role payments)
    Verify(verify::Args),
    /// Show, or save, what your institution trusts (every role)
    Trust(trust::Args),
    /// Fetch the newest CRL of a CA (every role)
    Crl(crl::Args),
    /// A phone for people without one; needs no service
    Phone(phone::Args),
}

impl Cli {
    /// Whether output is for programs.
    #[must_use]
    pub fn json(&self) -> bool {
        self.json
    }

    /// Does what the command says; `now` is the time of phones.
    ///
    /// # Errors
    /// [`Failure`], with its exit code.
    pub async fn run(self, now: SystemTime) -> Result<Report, Failure> {
        if let Command::Phone(args) = &self.command {
            return phone::run(args, now);
        }
        let profile = Profile::load(self.profile()?)?;
        let client = connection::client(&profile).await?;
        match &self.command {
            Command::Enroll(args) => enroll::run(args, &client).await,
            Command::Accept(args) => accept::run(args, &client).await,
            Command::Release(args) => release::run(args, &client).await,
            Command::Revoke(args) => revoke::run(args, &client).await,
            Command::Device(args) => device::run(args, &client).await,
            Command::Cosign(args) => cosign::run(args, &client).await,
            Command::Authorization(args) => authorization::run(args, &client).await,
            Command::Verify(args) => verify::run(args, &client).await,
            Command::Trust(args) => trust::run(args, &client).await,
            Command::Crl(args) => crl::run(args, &client).await,
            Command::Phone(args) => phone::run(args, now),
        }
    }

    fn profile(&self) -> Result<&Path, Failure> {
        self.profile.as_deref().ok_or_else(|| {
            Failure::usage(
                "this command calls the service and needs --profile FILE",
                "`semopsctl --help` shows what a profile holds",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_documents_its_json() {
        for command in Cli::command().get_subcommands() {
            let documented = |command: &clap::Command| {
                command
                    .get_after_help()
                    .is_some_and(|help| help.to_string().starts_with("JSON: {"))
            };
            let own = command.get_subcommands().next().is_none();
            let all = if own {
                documented(command)
            } else {
                command.get_subcommands().all(documented)
            };
            assert!(all, "{}", command.get_name());
        }
    }
}
