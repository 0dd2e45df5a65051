//! `bench`: a mixed load of enrolment and co-signing on a running service, measured and checked.

mod args;

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use semops_objects::InstitutionId;
use semops_proto::v1::GetTrustBundleRequest;
use tokio::signal::unix::{SignalKind, signal};

use self::args::Cast;
pub use self::args::{ABOUT, Args};
use crate::{
    bench::{
        authorities::Authorities,
        callers::{Callers, Connections},
        ceiling::{self, Ceiling, RawLoop},
        drivers,
        live::Live,
        load::{self, Ended, Load},
        plan::Plan,
        plot::Figure,
        report::{Checked, Run},
        setup::{self, Prepared},
        summary,
        work::Work,
    },
    failure::Failure,
    files,
    output::Report,
};

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
    let raw = before(args, &command, &live).await?;
    live.step("connecting");
    let callers = connect(&cast, &plan).await?;
    let authorities = authorities(&callers, &cast.payer, now).await?;
    let work = Work::new(plan.clone(), callers, authorities, clock);
    let (work, prepared) = prepare(work, &mut live).await?;
    let load = Load::new(work);
    let ended = drive(&load, &mut live).await?;
    let ceiling = match raw {
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

/// The raw loop before the load. Without it there is nothing to compare with, so it must not fail.
async fn before(args: &Args, command: &[String], live: &Live) -> Result<Option<RawLoop>, Failure> {
    if args.ceiling.is_empty() {
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

async fn drive(load: &Arc<Load>, live: &mut Live) -> Result<Ended, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failure::usage(format!("signals: {error}"), "try again"))?;
    live.begins();
    load::run(Arc::clone(load), drivers::start(load), live, async || {
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
