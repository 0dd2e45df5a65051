//! The command line: its options, its commands, and which of them need the service.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use semops_proto::{client::Client, v1::DocumentKind};

use crate::{
    commands::{
        accept, authorization, bench, change, completions, cosign, crl, custodian, device, devices,
        document, enroll, keys, phone, register, release, revoke, scheme, soak, status, trust,
        verify,
    },
    connection,
    failure::Failure,
    output::Report,
    profile::Profile,
    progress::Progress,
};

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  refused by the service, or answered in a way that cannot be relied on
  2  an option, a file or the profile cannot be used
  3  the service cannot be reached, TLS failed, or there was no answer in time
  4  `verify`: the authorization is not valid (expired or refused)
  5  `diff`: the documents differ
  6  `change`: the service shows what was not approved

Every error names the way out. Tables fit the terminal; where there is none they are as wide as COLUMNS says, else 80 \
columns. Ids in them are shortened when they must be: --json has them whole.

With --json a command prints one JSON object on standard output; `COMMAND --help` shows its members. Times are Unix \
seconds. An error is one object on standard error (from \"code\" on: when refused):
  {\"error\": {\"kind\": \"refused\" | \"unreachable\" | \"usage\" | \"not_approved\" |
    \"bad_answer\",
    \"message\", \"way_out\", \"code\", \"reason\", \"request_id\", \"metadata\": {},
    \"violations\": [{\"field\", \"description\"}], \"limits\": [{\"scope\", \"rule\"}], \"retry_after_seconds\"}}

A profile is a TOML file. Paths in it are relative to it; unknown keys are refused:
  endpoint = \"https://127.0.0.1:8443\"  # where the service listens
  server = \"signer.example\"     # DNS name, IP address or spiffe:// id it shows
  root = \"tls-root.pem\"         # the TLS root, the only one trusted
  certificate = \"chain.pem\"     # the caller's chain, leaf first
  key = \"key.pem\"               # the caller's private key
  timeout_seconds = 10           # deadline of a call, 1 to 300; 10 if left out
  ceremony = \"ceremony.json\"     # for `change`: your institution's ceremony file";

/// The command line of the SEMOPS signing service.
#[derive(Debug, Parser)]
#[command(name = "semopsctl", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Connection profile: which service, and as whom
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    profile: Option<PathBuf>,
    /// Print JSON for programs instead of lines for people
    #[arg(long, global = true, display_order = 901)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Offline(Offline),
    #[command(flatten)]
    Online(Online),
    /// Drive a running service with a load and measure it, with profiles of its own
    #[command(display_order = 89, long_about = bench::ABOUT)]
    Bench(Box<bench::Args>),
    /// Drive a running service with a load while harm is done to it, and judge it, with profiles of its own
    #[command(display_order = 89, long_about = soak::ABOUT)]
    Soak(Box<soak::Args>),
}

/// What needs no service.
#[derive(Debug, Subcommand)]
enum Offline {
    /// A phone for people without one; needs no service
    #[command(display_order = 90)]
    Phone(phone::Args),
    /// An approval key, and change files verified; needs no service
    #[command(display_order = 90)]
    Custodian(custodian::Args),
    /// What the scheme's own custodians do about its roots, in change files; needs no service
    #[command(display_order = 90)]
    Scheme(Box<scheme::Args>),
    /// Print the completions of a shell; needs no service
    #[command(display_order = 91)]
    Completions(completions::Args),
}

/// What calls the service.
#[derive(Debug, Subcommand)]
enum Online {
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
    /// List the devices that your institution issued, or accepted (roles enrolment, payments)
    Devices(devices::Args),
    /// Have a phone's order co-signed (role payments)
    Cosign(cosign::Args),
    /// Show where an order's co-signing stands (role payments)
    Authorization(authorization::Args),
    /// Verify an authorization against your institution's trust (role payments)
    Verify(verify::Args),
    /// List, or show, the keys that sign for your institution (roles custodian, auditor)
    Keys(keys::Args),
    /// Show, or save, what your institution trusts (every role); its document (roles custodian, auditor)
    Trust(trust::Args),
    /// Show and compare your institution's policy (roles custodian, auditor)
    Policy(document::Args),
    /// Show and compare your institution's register of callers (roles custodian, auditor)
    Callers(document::Args),
    /// Show and compare your institution's register of custodians (roles custodian, auditor)
    Custodians(document::Args),
    /// Propose, look at, approve, reject changes: two persons to each (role custodian; looking: auditor too)
    Change(Box<change::Args>),
    /// List all that your security team must account for; plans of coming and leaving (roles custodian, auditor)
    Register(register::Args),
    /// Fetch the newest CRL of a CA (every role)
    Crl(crl::Args),
    /// Show how the service fares, what your token can do, and how much of the limits is left (every role)
    Status(status::Args),
}

impl Cli {
    /// Reads the command line of this process.
    ///
    /// # Errors
    /// [`Failure`] for programs, if `--json` stands on the line; people read clap's own words, which end the process, as
    /// --help does.
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let line: Vec<OsString> = line.into_iter().collect();
        let json = line.iter().any(|word| word == "--json");
        Self::try_parse_from(line).map_err(|error| {
            if !json || !error.use_stderr() {
                error.exit();
            }
            let said = error.to_string();
            let said = said.lines().take_while(|line| !line.is_empty());
            let said: Vec<&str> = said.map(str::trim).collect();
            Failure::usage(
                said.join(" ").trim_start_matches("error: "),
                "`semopsctl COMMAND --help` shows what a command takes",
            )
        })
    }

    /// Whether output is for programs.
    #[must_use]
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether it is a load, which one thread could not make.
    #[must_use]
    pub fn is_load(&self) -> bool {
        matches!(self.command, Command::Bench(_) | Command::Soak(_))
    }

    /// Does what the command says. `clock` is this machine's: the time of phones, and what the service's is compared to.
    ///
    /// # Errors
    /// [`Failure`], with its exit code.
    pub async fn run(self, clock: fn() -> SystemTime) -> Result<Report, Failure> {
        match &self.command {
            Command::Offline(Offline::Phone(args)) => phone::run(args, clock()),
            Command::Offline(Offline::Custodian(args)) => custodian::run(args, clock()),
            Command::Offline(Offline::Scheme(args)) => scheme::run(args, clock()),
            Command::Offline(Offline::Completions(args)) => {
                Ok(completions::run(args, &mut Self::command()))
            }
            Command::Bench(args) => bench::run(args, self.json, clock).await,
            Command::Soak(args) => soak::run(args, self.json, clock).await,
            Command::Online(command) => {
                let profile = Profile::load(self.profile()?)?;
                let progress = Progress::new("waiting for the service");
                let work = async {
                    let client = connection::client(&profile).await?;
                    command.run(&client, &profile, &progress, clock).await
                };
                progress.watch(work).await
            }
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

impl Online {
    async fn run(
        &self,
        client: &Client,
        profile: &Profile,
        progress: &Progress,
        clock: fn() -> SystemTime,
    ) -> Result<Report, Failure> {
        match self {
            Self::Enroll(args) => enroll::run(args, client).await,
            Self::Accept(args) => accept::run(args, client).await,
            Self::Release(args) => release::run(args, client).await,
            Self::Revoke(args) => revoke::run(args, client).await,
            Self::Device(args) => device::run(args, client).await,
            Self::Devices(args) => devices::run(args, client, progress).await,
            Self::Cosign(args) => cosign::run(args, client).await,
            Self::Authorization(args) => authorization::run(args, client).await,
            Self::Verify(args) => verify::run(args, client).await,
            Self::Keys(args) => keys::run(args, client, profile, progress, clock).await,
            Self::Trust(args) => trust::run(args, client, profile).await,
            Self::Policy(args) => document::run(args, DocumentKind::Policy, client).await,
            Self::Callers(args) => document::run(args, DocumentKind::Callers, client).await,
            Self::Custodians(args) => document::run(args, DocumentKind::Custodians, client).await,
            Self::Change(args) => change::run(args, client, profile, progress, clock).await,
            Self::Register(args) => register::run(args, client, profile, progress, clock).await,
            Self::Crl(args) => crl::run(args, client).await,
            Self::Status(_) => status::run(client, clock).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Each command that does something by itself, with its words.
    fn commands() -> Vec<(String, clap::Command)> {
        fn within(words: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
            let mut subcommands = command.get_subcommands().peekable();
            if subcommands.peek().is_none() || !command.is_subcommand_required_set() {
                found.push((words.to_owned(), command.clone()));
            }
            for subcommand in subcommands {
                within(
                    &format!("{words} {}", subcommand.get_name()),
                    subcommand,
                    found,
                );
            }
        }
        let mut found = Vec::new();
        within("semopsctl", &Cli::command(), &mut found);
        found
    }

    #[test]
    fn every_command_documents_its_json() {
        let commands = commands();
        assert!(commands.len() > 20, "{commands:?}");
        for (words, command) in commands {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.starts_with("JSON: {"), "{words}: {help}");
        }
    }

    #[test]
    fn the_readme_names_every_command_and_exit_code() {
        let readme = include_str!("../README.md");
        for (words, _) in commands() {
            assert!(readme.contains(&format!("`{words}")), "{words}");
        }
        let codes = AFTER_HELP
            .lines()
            .skip(1)
            .take_while(|line| !line.is_empty());
        for code in codes {
            let (code, meaning) = code.trim().split_once("  ").unwrap_or_default();
            let line = format!("| {code} | {meaning} |");
            assert!(readme.contains(&line), "{line}");
        }
    }

    #[test]
    fn the_profiles_that_are_shown_are_profiles() {
        let readme = include_str!("../README.md");
        let of_readme = readme.split("```toml\n").nth(1).unwrap();
        let of_readme = of_readme.split("```").next().unwrap();
        let of_help = AFTER_HELP
            .split("unknown keys are refused:\n")
            .nth(1)
            .unwrap();
        for text in [of_readme, of_help] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("profile.toml");
            std::fs::write(&path, text).unwrap();
            let profile = Profile::load(&path).unwrap();
            assert_eq!(profile.endpoint(), "https://127.0.0.1:8443");
        }
    }
}
