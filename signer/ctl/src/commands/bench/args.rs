//! The options of `bench`, and who and what they name.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use semops_objects::{Amount, Channel, InstitutionId, Payee};

use crate::{
    bench::{
        callers::Identity,
        order::Terms,
        plan::{self, Driving, Plan},
        schedule::Spacing,
    },
    failure::Failure,
    profile::Profile,
};

/// What it does, for the help of the command.
pub const ABOUT: &str = "\
Drive a running service with a mixed load of enrolment and co-signing, measure it, and check every answer.

The load makes its own phones: each is enrolled, accepted, and orders --orders-per-phone times before another takes its \
place. A closed loop (--concurrency) has so many requests under way at any time; a caller that is told when to come back \
waits as long. An open loop (--rate) sends by a schedule, whether or not others are answered, and counts each latency \
from the moment at which the request was due. Ctrl-C ends the load early and still reports; a second one waits for nothing.";

const JSON: &str = "\
JSON: {\"schema\": \"semops-bench-v1\", \"started_at\" (Unix seconds), \"ended\": \"time\" | \"interrupted\", \"configuration\", \
\"setup\": {\"phones\", \"repeated\", \"seconds\"}, \"seconds\", \"stand_ins\", \"warm_up\" and \"measured\": {\"sent\", \"done\", \"not_sent\", \
\"outcomes\": [{\"kind\", \"code\", \"reason\", \"count\", \"longest_retry_seconds\"}]}, the latter also with \"per_second\" and \
\"kinds\": {\"cosign\" | \"enroll\" | \"accept\": {\"sent\", \"done\", \"per_second\", \"latency_ms\", \"latency_not_done_ms\": \
{\"p50\", \"p90\", \"p99\", \"p99.9\", \"max\"}}}, \"series\": [{\"from\", \"to\" (seconds), \"in_flight\", and for each kind \
{\"done\", \"not_done\", \"per_second\", \"p50_ms\", \"p99_ms\"}}], \"checks\": {\"authorizations\", \"signatures_verified\", \
\"wrong_answers\", \"first_wrong\"}, \"client\": {\"cpu_seconds\", \"cpu_us_per_request\", \"processors\"}, \"ceiling\": null | \
{\"command\", \"before\", \"after\", \"failed\", \"mean_per_second\", \"spread\", \"cosigned_to_raw\", \"signatures_to_raw\"}, \
\"best\": null | {\"per_second\", \"ratio\"}, \"beside\": null | {\"institution\", \"phones\", \"alone\" and \"beside\": {\"seconds\", \"sent\", \"done\", \
\"not_sent\", \"outcomes\", \"cosigned\", \"latency_ms\"}, \"done_share\", \"p50_ratio\", \"p99_ratio\"}}";

/// Orders of the institution beside it that may be under way; their wait for a place would count.
const IN_FLIGHT_BESIDE: usize = 1_000;

/// The load.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// Profile of the caller that enrols phones (role enrolment)
    #[arg(long, value_name = "PROFILE")]
    pub(super) enrolment: PathBuf,
    /// Profile of the caller that has orders co-signed (role payments); its institution is the payers'
    #[arg(long, value_name = "PROFILE")]
    pub(super) payments: PathBuf,
    /// Profile of the caller that accepts phones for the payers' institution (role enrolment); that of --enrolment if it
    /// is of the same institution
    #[arg(long, value_name = "PROFILE")]
    pub(super) acceptance: Option<PathBuf>,
    /// The payee's institution
    #[arg(long, value_name = "ID")]
    pub(super) to: InstitutionId,
    /// How long to measure, such as 30s or 5m
    #[arg(long, value_parser = plan::duration, default_value = "30s")]
    pub(super) duration: Duration,
    /// What comes before that and is not measured
    #[arg(long, value_parser = plan::duration, default_value = "5s")]
    pub(super) warm_up: Duration,
    /// Connections of each caller
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) connections: u16,
    /// Closed loop: requests under way at any time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) concurrency: u16,
    /// Open loop: requests per second, such as 500/s
    #[arg(long, value_parser = plan::rate, conflicts_with = "concurrency")]
    pub(super) rate: Option<f64>,
    /// How the requests of an open loop are spaced
    #[arg(long, value_enum, default_value_t = Spacing::Poisson, requires = "rate")]
    pub(super) spacing: Spacing,
    /// Of an open loop, so many are under way at most; others wait, and their wait counts
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "rate", value_parser = clap::value_parser!(u16).range(1..=16384))]
    pub(super) max_in_flight: u16,
    /// Of a hundred requests, those that enrol a phone; as many accept one. 0: as many as the orders need
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=50))]
    pub(super) enrolments: u64,
    /// Orders of one phone before another takes its place
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) orders_per_phone: u32,
    /// Amount of each order
    #[arg(long, default_value = "1.00")]
    pub(super) amount: String,
    /// Its currency (ISO 4217)
    #[arg(long, value_name = "CODE", default_value = "EUR")]
    pub(super) currency: String,
    /// Where it is paid: virtual_pos, real_pos or p2p
    #[arg(long, default_value = "real_pos")]
    pub(super) channel: Channel,
    /// Of so many authorizations, one has its signature verified; the form and content of each is checked
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) verify_every: u64,
    /// Write the JSON to this file too
    #[arg(long, value_name = "FILE")]
    pub(super) json_out: Option<PathBuf>,
    /// Draw rates and latencies over time
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
    /// A command that signs in a bare loop and prints {"signatures", "seconds", "per_second", "threads"}, run before and
    /// after the load: its words parted by white space, or the option once for each word. No shell reads it
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub(super) ceiling: Vec<String>,
    /// Profile of another institution's payments caller: it has orders co-signed at a steady rate, first alone for as long
    /// as the load will take, then beside it. What the load does to it is told
    #[arg(long, value_name = "PROFILE")]
    pub(super) beside: Option<PathBuf>,
    /// Profile of the caller that accepts phones for that institution (role enrolment); that of --enrolment if it is of the
    /// same institution
    #[arg(long, value_name = "PROFILE", requires = "beside")]
    pub(super) beside_acceptance: Option<PathBuf>,
    /// Its orders per second, equally spaced
    #[arg(long, value_name = "RATE", value_parser = plan::rate, default_value = "20/s", requires = "beside")]
    pub(super) beside_rate: f64,
    /// A file that --json-out wrote: the rate of co-signed orders is told as a share of that one's
    #[arg(long, value_name = "FILE")]
    pub(super) best: Option<PathBuf>,
}

/// Who takes part.
pub(super) struct Cast {
    pub(super) issuer: InstitutionId,
    pub(super) enrolment: Profile,
    pub(super) payers: Payers,
    /// Of another institution.
    pub(super) beside: Option<Payers>,
}

/// Who has orders co-signed at one institution.
pub(super) struct Payers {
    pub(super) institution: InstitutionId,
    pub(super) acceptance: Profile,
    pub(super) payments: Profile,
}

/// An option and what it names.
type Named<'a, T> = (&'static str, T);

impl Args {
    pub(super) fn cast(&self) -> Result<Cast, Failure> {
        let enrolment = Profile::load(&self.enrolment)?;
        let issuer = Identity::of(&enrolment, "enrolment", "--enrolment")?.institution;
        let payers = self.payers(
            ("--payments", &self.payments),
            ("--acceptance", self.acceptance.as_deref()),
        )?;
        let beside = match &self.beside {
            None => None,
            Some(payments) => Some(self.payers(
                ("--beside", payments),
                ("--beside-acceptance", self.beside_acceptance.as_deref()),
            )?),
        };
        let same = |beside: &Payers| beside.institution == payers.institution;
        if beside.as_ref().is_some_and(same) {
            return Err(Failure::usage(
                format!("--beside: a caller of {} itself", payers.institution),
                "name the profile of another institution's payments caller",
            ));
        }
        Ok(Cast {
            issuer,
            enrolment,
            payers,
            beside,
        })
    }

    fn payers(
        &self,
        payments: Named<'_, &Path>,
        acceptance: Named<'_, Option<&Path>>,
    ) -> Result<Payers, Failure> {
        let (option, path) = payments;
        let payments = Profile::load(path)?;
        let institution = Identity::of(&payments, "payments", option)?.institution;
        let (option, path) = acceptance;
        let acceptance = Profile::load(path.unwrap_or(&self.enrolment))?;
        let acceptor = Identity::of(&acceptance, "enrolment", option)?.institution;
        if acceptor != institution {
            return Err(Failure::usage(
                format!("the phones of {institution}'s payers would be accepted by {acceptor}"),
                &format!("name the profile of {institution}'s enrolment caller: {option} PROFILE"),
            ));
        }
        Ok(Payers {
            institution,
            acceptance,
            payments,
        })
    }

    /// What another institution does beside this plan.
    pub(super) fn plan_beside(&self, plan: &Plan, payer: InstitutionId) -> Result<Plan, Failure> {
        let first = &plan.terms.payer;
        let to = if self.to == payer { first } else { &self.to };
        let payee = Payee::new(to.clone(), "bench", "Bench")
            .map_err(|rule| Failure::usage(format!("--to: {rule}"), "change it"))?;
        Ok(Plan {
            driving: Driving::Open {
                per_second: self.beside_rate,
                spacing: Spacing::Fixed,
                in_flight: IN_FLIGHT_BESIDE,
            },
            connections: 1,
            enrolments: 0,
            terms: Terms {
                payer,
                payee,
                ..plan.terms.clone()
            },
            ..plan.clone()
        })
    }

    pub(super) fn plan(&self, payer: InstitutionId) -> Result<Plan, Failure> {
        if self.duration < Duration::from_secs(1) {
            return Err(Failure::usage(
                "--duration: a second at least",
                "give a longer one",
            ));
        }
        let driving = match self.rate {
            None => Driving::Closed {
                concurrency: self.concurrency.into(),
            },
            Some(per_second) => Driving::Open {
                per_second,
                spacing: self.spacing,
                in_flight: self.max_in_flight.into(),
            },
        };
        let refused = |what: &str, rule: semops_objects::error::Rule| {
            Failure::usage(format!("{what}: {rule}"), "change it")
        };
        let amount = Amount::parse(&self.amount, &self.currency)
            .map_err(|rule| refused("--amount, --currency", rule))?;
        let payee =
            Payee::new(self.to.clone(), "bench", "Bench").map_err(|rule| refused("--to", rule))?;
        Ok(Plan {
            driving,
            duration: self.duration,
            warm_up: self.warm_up,
            connections: self.connections.into(),
            enrolments: self.enrolments,
            orders_per_phone: self.orders_per_phone,
            verify_every: self.verify_every,
            terms: Terms {
                payer,
                amount,
                channel: self.channel,
                payee,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// What a person types, words in quotation marks as one.
    fn parsed(line: &str) -> Args {
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index.is_multiple_of(2) {
                words.extend(part.split_whitespace());
            } else {
                words.push(part);
            }
        }
        Line::try_parse_from(words.into_iter().skip(1))
            .unwrap()
            .args
    }

    #[test]
    fn the_lines_of_the_documentation_are_taken() {
        let text = include_str!("../../../../docs/bench.md");
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("semopsctl bench --"))
            .collect();
        let [closed, open, flood] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        let closed = parsed(closed).plan("alfa".parse().unwrap()).unwrap();
        assert_eq!(closed.driving, Driving::Closed { concurrency: 64 });
        assert_eq!(closed.total(), Duration::from_secs(35));
        let open = parsed(open).plan("alfa".parse().unwrap()).unwrap();
        let expected = Driving::Open {
            per_second: 500.0,
            spacing: Spacing::Poisson,
            in_flight: 1_000,
        };
        assert_eq!(open.driving, expected);
        let flood = parsed(flood);
        let plan = flood.plan("alfa".parse().unwrap()).unwrap();
        // Orders to beta, and those of beta to alfa.
        let beside = flood.plan_beside(&plan, "beta".parse().unwrap()).unwrap();
        assert_eq!(beside.terms.payer.as_str(), "beta");
        assert_eq!(beside.terms.payee.institution().as_str(), "alfa");
        assert_eq!((beside.total(), beside.enrolments), (plan.total(), 0));
        assert!(flood.best.is_some() && flood.beside.is_some());
    }
}
