//! `soak`: a mixed load on a running service while harm is done to it, and a verdict.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use semops_objects::{Amount, Channel, InstitutionId, Payee};
use semops_proto::v1::GetTrustBundleRequest;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    bench::{
        authorities::Authorities,
        callers::{Connections, Identity},
        live::Live,
        order::Terms,
        plan,
    },
    failure::Failure,
    files,
    output::Report,
    profile::Profile,
    soak::{
        lane::{Issuer, Lane, Payer},
        ledger::Ledger,
        life::Habits,
        report::Soak,
        run::{self, Plan},
    },
};

/// What it does, for the help of the command.
pub const ABOUT: &str = "\
Drive a running service with whole lives of phones while commands of yours do it harm, and judge it by its answers.

Phones are enrolled, accepted, order --orders-per-phone times, and some are revoked, at every pair of an --enrolment and a \
--payments caller. Every call is repeated until it has a final answer. Checked is: each authorization is bound to its order, says \
the same and verifies; no serial number, device id, authorization id or pseudonym comes twice; asked again, at once and at the \
end, each answer is the same byte for byte; no order of a revoked phone is co-signed; CRLNumbers never fall, and the newest CRL \
lists every revoked phone. Ctrl-C ends the load early; all checks are still made.";

const JSON: &str = "\
JSON: {\"schema\": \"semops-soak-v1\", \"verdict\": \"pass\" | \"fail\", \"started_at\" (Unix seconds), \"ended\": \"time\" | \
\"interrupted\", \"seconds\", \"configuration\", \"faults\": [{\"at\", \"command\", \"seconds\", \"failed\"}], \"counts\": {\"enrolled\", \
\"accepted\", \"authorized\", \"revoked\", \"refused_after_revocation\", \"repeated\", \"otherwise\": [{\"code\", \"reason\", \"count\"}]}, \
\"longest_silence_seconds\", \"checks\": {\"signatures_verified\", \"same_again\", \"crls_seen\", \"revoked_to_be_listed\"}, \
\"finding_count\", \"findings\": [text]}";

/// The load and the harm.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// Profile of a caller that enrols phones (role enrolment); may be repeated
    #[arg(long, value_name = "PROFILE", required = true)]
    enrolment: Vec<PathBuf>,
    /// Profile of a caller that has orders co-signed (role payments); may be repeated
    #[arg(long, value_name = "PROFILE", required = true)]
    payments: Vec<PathBuf>,
    /// Profile of the caller that accepts phones for an institution of --payments (role enrolment), one for each, in their
    /// order
    #[arg(long, value_name = "PROFILE", required = true)]
    acceptance: Vec<PathBuf>,
    /// The payee's institution
    #[arg(long, value_name = "ID")]
    to: InstitutionId,
    /// How long, such as 60s, 30m or 8h
    #[arg(long, value_parser = plan::duration, default_value = "60s")]
    duration: Duration,
    /// A command of yours that does harm, run by /bin/sh: kill a worker, restart the service, fill a disk. May be repeated;
    /// they take turns
    #[arg(long, value_name = "COMMAND")]
    fault: Vec<String>,
    /// The time between two faults
    #[arg(long, value_parser = plan::duration, default_value = "20s")]
    every: Duration,
    /// Phones that live at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    /// Orders of one phone
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    orders_per_phone: u32,
    /// Of so many phones, one is revoked
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    revoke_every: u64,
    /// A call without a final answer for so long is a finding
    #[arg(long, value_parser = plan::duration, default_value = "60s")]
    patience: Duration,
    /// Amount of each order
    #[arg(long, default_value = "1.00")]
    amount: String,
    /// Its currency (ISO 4217)
    #[arg(long, value_name = "CODE", default_value = "EUR")]
    currency: String,
    /// Write the JSON to this file too
    #[arg(long, value_name = "FILE")]
    json_out: Option<PathBuf>,
}

/// Connections of each caller.
const CONNECTIONS: usize = 2;

/// Runs the soak; `clock` is that of the phones.
///
/// # Errors
/// [`Failure`]: an option or a file cannot be used, or the service cannot be reached before it begins.
pub async fn run(args: &Args, json: bool, clock: fn() -> SystemTime) -> Result<Report, Failure> {
    if let Some(path) = &args.json_out {
        files::check_writable(path)?;
    }
    let plan = args.plan(clock);
    let started = clock();
    let mut live = Live::on_stderr(json, plan.duration);
    live.step("connecting");
    let issuers = args.issuers().await?;
    let payers = args.payers(started).await?;
    let lanes = Lane::all(&issuers, &payers);
    let named = lanes.iter().map(named).collect();
    let ledger = Ledger::new();
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::usage(format!("signals: {error}"), "try again"))?;
    let interrupt = async {
        interrupts.recv().await;
    };
    live.begins_at_zero();
    let ended = run::run(&plan, lanes, &issuers, &ledger, &mut live, interrupt).await?;
    live.end();
    let soak = Soak {
        plan,
        lanes: named,
        started,
        ended,
        counts: ledger.counts(),
        findings: ledger.findings(),
        longest_silence: ledger.longest_silence(),
    };
    if let Some(path) = &args.json_out {
        files::write(path, format!("{:#}\n", soak.json()).as_bytes())?;
    }
    Ok(soak.report())
}

fn named(lane: &Lane) -> [String; 2] {
    let Lane { issuer, payer } = lane;
    [
        issuer.institution.to_string(),
        payer.terms.payer.to_string(),
    ]
}

impl Args {
    fn plan(&self, clock: fn() -> SystemTime) -> Plan {
        Plan {
            duration: self.duration,
            concurrency: self.concurrency,
            habits: Habits {
                orders: self.orders_per_phone,
                revoke_every: self.revoke_every,
                patience: self.patience,
                clock,
            },
            faults: self.fault.clone(),
            every: self.every,
        }
    }

    async fn issuers(&self) -> Result<Vec<Arc<Issuer>>, Failure> {
        let mut issuers = Vec::new();
        for path in &self.enrolment {
            let (institution, enrolment) = caller(path, "enrolment", "--enrolment").await?;
            issuers.push(Arc::new(Issuer {
                institution,
                enrolment,
            }));
        }
        Ok(issuers)
    }

    async fn payers(&self, now: SystemTime) -> Result<Vec<Arc<Payer>>, Failure> {
        if self.acceptance.len() != self.payments.len() {
            return Err(Failure::usage(
                format!(
                    "--payments is given {} times, --acceptance {} times",
                    self.payments.len(),
                    self.acceptance.len()
                ),
                "give one --acceptance for each --payments, in their order",
            ));
        }
        let mut payers = Vec::new();
        for (payments, acceptance) in self.payments.iter().zip(&self.acceptance) {
            payers.push(Arc::new(self.payer(payments, acceptance, now).await?));
        }
        Ok(payers)
    }

    async fn payer(
        &self,
        payments: &Path,
        acceptance: &Path,
        now: SystemTime,
    ) -> Result<Payer, Failure> {
        let (payer, payments) = caller(payments, "payments", "--payments").await?;
        let (acceptor, acceptance) = caller(acceptance, "enrolment", "--acceptance").await?;
        if acceptor != payer {
            return Err(Failure::usage(
                format!("the phones of {payer}'s payers would be accepted by {acceptor}"),
                &format!("name the profile of {payer}'s enrolment caller: --acceptance PROFILE"),
            ));
        }
        let bundle = payments
            .next()
            .get_trust_bundle(GetTrustBundleRequest {})
            .await?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let authorities =
            Authorities::read(&bundle, &payer, i64::try_from(now).unwrap_or(i64::MAX))?;
        if !authorities.are_known() {
            return Err(Failure::usage(
                format!(
                    "{payer} does not trust its own authorizations, so that none could be verified"
                ),
                "name the institution itself among those that its trust document trusts",
            ));
        }
        Ok(Payer {
            acceptance,
            payments,
            terms: self.terms(payer)?,
            authorities,
        })
    }

    fn terms(&self, payer: InstitutionId) -> Result<Terms, Failure> {
        let refused = |what: &str, rule: semops_objects::error::Rule| {
            Failure::usage(format!("{what}: {rule}"), "change it")
        };
        let amount = Amount::parse(&self.amount, &self.currency)
            .map_err(|rule| refused("--amount, --currency", rule))?;
        let payee =
            Payee::new(self.to.clone(), "soak", "Soak").map_err(|rule| refused("--to", rule))?;
        Ok(Terms {
            payer,
            amount,
            channel: Channel::RealPos,
            payee,
        })
    }
}

async fn caller(
    path: &Path,
    role: &str,
    option: &str,
) -> Result<(InstitutionId, Connections), Failure> {
    let profile = Profile::load(path)?;
    let institution = Identity::of(&profile, role, option)?.institution;
    Ok((institution, Connections::open(&profile, CONNECTIONS).await?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_line_of_the_documentation_is_taken() {
        let text = include_str!("../../../docs/soak.md");
        let line = text
            .lines()
            .find(|line| line.starts_with("semopsctl soak --"))
            .unwrap();
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index.is_multiple_of(2) {
                words.extend(part.split_whitespace());
            } else {
                words.push(part);
            }
        }
        let args = Line::try_parse_from(words.into_iter().skip(1))
            .unwrap()
            .args;
        let plan = args.plan(SystemTime::now);
        assert_eq!(plan.faults.len(), 2);
        assert_eq!((plan.duration.as_secs(), plan.every.as_secs()), (3_600, 30));
        assert_eq!(args.payments.len(), args.acceptance.len());
    }
}
