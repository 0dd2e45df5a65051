//! `bench`: a mixed load of enrolment and co-signing on a running service, measured and checked.

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
        callers::{Callers, Connections, Identity},
        ceiling::{self, Ceiling, RawLoop},
        live::Live,
        load::{self, Ended, Load},
        order::Terms,
        plan::{self, Driving, Plan},
        plot::Figure,
        report::{Checked, Run},
        schedule::Spacing,
        setup::{self, Prepared},
        summary,
        work::Work,
    },
    failure::Failure,
    files,
    output::Report,
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
{\"command\", \"before\", \"after\", \"failed\", \"mean_per_second\", \"spread\", \"cosigned_to_raw\", \"signatures_to_raw\"}}";

/// The load.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// Profile of the caller that enrols phones (role enrolment)
    #[arg(long, value_name = "PROFILE")]
    enrolment: PathBuf,
    /// Profile of the caller that has orders co-signed (role payments); its institution is the payers'
    #[arg(long, value_name = "PROFILE")]
    payments: PathBuf,
    /// Profile of the caller that accepts phones for the payers' institution (role enrolment); that of --enrolment if it
    /// is of the same institution
    #[arg(long, value_name = "PROFILE")]
    acceptance: Option<PathBuf>,
    /// The payee's institution
    #[arg(long, value_name = "ID")]
    to: InstitutionId,
    /// How long to measure, such as 30s or 5m
    #[arg(long, value_parser = plan::duration, default_value = "30s")]
    duration: Duration,
    /// What comes before that and is not measured
    #[arg(long, value_parser = plan::duration, default_value = "5s")]
    warm_up: Duration,
    /// Connections of each caller
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Closed loop: requests under way at any time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: u16,
    /// Open loop: requests per second, such as 500/s
    #[arg(long, value_parser = plan::rate, conflicts_with = "concurrency")]
    rate: Option<f64>,
    /// How the requests of an open loop are spaced
    #[arg(long, value_enum, default_value_t = Spacing::Poisson, requires = "rate")]
    spacing: Spacing,
    /// Of an open loop, so many are under way at most; others wait, and their wait counts
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "rate", value_parser = clap::value_parser!(u16).range(1..=16384))]
    max_in_flight: u16,
    /// Of a hundred requests, those that enrol a phone; as many accept one. 0: as many as the orders need
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=50))]
    enrolments: u64,
    /// Orders of one phone before another takes its place
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    orders_per_phone: u32,
    /// Amount of each order
    #[arg(long, default_value = "1.00")]
    amount: String,
    /// Its currency (ISO 4217)
    #[arg(long, value_name = "CODE", default_value = "EUR")]
    currency: String,
    /// Where it is paid: virtual_pos, real_pos or p2p
    #[arg(long, default_value = "real_pos")]
    channel: Channel,
    /// Of so many authorizations, one has its signature verified; the form and content of each is checked
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    verify_every: u64,
    /// Write the JSON to this file too
    #[arg(long, value_name = "FILE")]
    json_out: Option<PathBuf>,
    /// Draw rates and latencies over time
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// A command that signs in a bare loop and prints {"signatures", "seconds", "per_second", "threads"}, run before and
    /// after the load: its words parted by white space, or the option once for each word. No shell reads it
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    ceiling: Vec<String>,
}

/// Who takes part.
struct Cast {
    issuer: InstitutionId,
    payer: InstitutionId,
    enrolment: Profile,
    acceptance: Profile,
    payments: Profile,
}

/// Runs the load; `clock` is that of the phones.
///
/// # Errors
/// [`Failure`]: an option or a file cannot be used, the service cannot be reached or refuses the first phones.
pub async fn run(args: &Args, json: bool, clock: fn() -> SystemTime) -> Result<Report, Failure> {
    let now = clock();
    let cast = args.cast()?;
    let plan = args.plan(cast.payer.clone())?;
    writable(args)?;
    let mut live = Live::on_stderr(json, plan.total());
    let command = ceiling::words(&args.ceiling);
    let before = args.raw_loop(&command, &live).await?;
    live.step("connecting");
    let callers = connect(&cast, &plan).await?;
    let authorities = authorities(&callers, &cast.payer, now).await?;
    let work = Work::new(plan.clone(), callers, authorities, clock);
    let (work, prepared) = prepare(work, &mut live).await?;
    let load = Load::new(work);
    let ended = attack(&load, &mut live).await?;
    let ceiling = match before {
        None => None,
        Some(before) => Some(Ceiling {
            after: after(&command, &ended, &live).await,
            command,
            before,
        }),
    };
    live.end();
    let run = Run {
        plan,
        issuer: cast.issuer.to_string(),
        started: now,
        prepared,
        stand_ins: load.work.stand_ins(),
        checked: checked(&load.work),
        ended,
        ceiling,
    };
    save(args, &run)
}

impl Args {
    fn cast(&self) -> Result<Cast, Failure> {
        let (enrolment, payments) = (
            Profile::load(&self.enrolment)?,
            Profile::load(&self.payments)?,
        );
        let issuer = Identity::of(&enrolment, "enrolment", "--enrolment")?.institution;
        let payer = Identity::of(&payments, "payments", "--payments")?.institution;
        let path = self.acceptance.as_deref().unwrap_or(&self.enrolment);
        let acceptance = Profile::load(path)?;
        let acceptor = Identity::of(&acceptance, "enrolment", "--acceptance")?.institution;
        if acceptor != payer {
            return Err(Failure::usage(
                format!("the phones of {payer}'s payers would be accepted by {acceptor}"),
                &format!("name the profile of {payer}'s enrolment caller: --acceptance PROFILE"),
            ));
        }
        Ok(Cast {
            issuer,
            payer,
            enrolment,
            acceptance,
            payments,
        })
    }

    fn plan(&self, payer: InstitutionId) -> Result<Plan, Failure> {
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

    /// The raw loop before the load. Without it there is nothing to compare with, so it must not fail.
    async fn raw_loop(&self, command: &[String], live: &Live) -> Result<Option<RawLoop>, Failure> {
        if self.ceiling.is_empty() {
            return Ok(None);
        }
        live.step("raw C_Sign loop, before the load");
        let measured = ceiling::measure(command).await.map_err(|why| {
            Failure::usage(
                format!("--ceiling: {why}"),
                "such as --ceiling 'softhsm-setup sign-loop DIR --institution ID --seconds 5 --json'",
            )
        })?;
        Ok(Some(measured))
    }
}

/// Files that cannot be written are better known before the load than after it.
fn writable(args: &Args) -> Result<(), Failure> {
    for path in [&args.json_out, &args.svg].into_iter().flatten() {
        files::check_writable(path)?;
    }
    Ok(())
}

async fn connect(cast: &Cast, plan: &Plan) -> Result<Callers, Failure> {
    Ok(Callers {
        enrolment: Connections::open(&cast.enrolment, plan.connections).await?,
        acceptance: Connections::open(&cast.acceptance, plan.connections).await?,
        payments: Connections::open(&cast.payments, plan.connections).await?,
    })
}

/// The keys by which authorizations are verified, fetched once.
async fn authorities(
    callers: &Callers,
    payer: &InstitutionId,
    now: SystemTime,
) -> Result<Authorities, Failure> {
    let bundle = callers
        .payments
        .next()
        .get_trust_bundle(GetTrustBundleRequest {})
        .await?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Authorities::read(
        &bundle,
        payer,
        i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
    )
}

async fn prepare(work: Work, live: &mut Live) -> Result<(Arc<Work>, Prepared), Failure> {
    let work = Arc::new(work);
    let phones = setup::first_phones(work.plan());
    let prepared = setup::make(&work, phones, live).await?;
    Ok((work, prepared))
}

async fn attack(load: &Arc<Load>, live: &mut Live) -> Result<Ended, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failure::usage(format!("signals: {error}"), "try again"))?;
    live.begins();
    load::run(Arc::clone(load), live, async || {
        interrupt.recv().await;
    })
    .await
}

/// The raw loop after the load; a user who ended the load early does not wait for it.
async fn after(command: &[String], ended: &Ended, live: &Live) -> Result<RawLoop, String> {
    if ended.interrupted {
        return Err("not measured, for the load was ended early".to_owned());
    }
    live.step("raw C_Sign loop, after the load");
    ceiling::measure(command).await
}

fn checked(work: &Work) -> Checked {
    Checked {
        authorizations: work.checks.authorizations(),
        signatures: work.checks.signatures(),
        keys_known: work.can_verify(),
        first_wrong: work.checks.first_wrong(),
    }
}

/// Writes the files that were asked for, and gives the report.
fn save(args: &Args, run: &Run) -> Result<Report, Failure> {
    let mut report = summary::report(run);
    if let Some(path) = &args.json_out {
        files::write(path, format!("{:#}\n", run.json()).as_bytes())?;
        report = report.row("saved to", shown(path));
    }
    if let Some(path) = &args.svg {
        let drawn =
            draw(run).map_err(|error| Failure::usage(format!("--svg: {error}"), "leave it out"))?;
        files::write(path, drawn.as_bytes())?;
        report = report.row("drawn to", shown(path));
    }
    let unreliable = run.measured().done() == 0 || run.checked.first_wrong.is_some();
    Ok(if unreliable {
        report.unreliable()
    } else {
        report
    })
}

fn draw(run: &Run) -> Result<String, String> {
    let figure = Figure {
        title: &summary::title(run),
        subtitle: &summary::subtitle(run),
        rows: &run.ended.recorder.rows,
        warm_up: run.plan.warm_up,
        ceiling: run.ceiling.as_ref().map(Ceiling::mean),
    };
    figure.svg()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
