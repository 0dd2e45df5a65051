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

pub use self::args::{ABOUT, Args};
use self::args::{Cast, Payers};
use crate::{
    bench::{
        authorities::Authorities,
        best::Best,
        callers::{Callers, Connections},
        ceiling::{self, Ceiling, RawLoop},
        drivers,
        live::Live,
        load::{self, Ended, Load},
        neighbour::{Compared, Neighbour},
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
    profile::Profile,
};

/// Runs the load; `clock` is that of the phones.
///
/// # Errors
/// [`Failure`]: an option or a file cannot be used, the service cannot be reached or refuses the first phones.
pub async fn run(args: &Args, json: bool, clock: fn() -> SystemTime) -> Result<Report, Failure> {
    let now = clock();
    let cast = args.cast()?;
    let plan = args.plan(cast.payers.institution.clone())?;
    let best = args.best.as_deref().map(Best::read).transpose()?;
    writable(args)?;
    let mut live = Live::on_stderr(json, plan.total());
    let command = ceiling::words(&args.ceiling);
    let raw = before(args, &command, &live).await?;
    live.step("connecting");
    let made = ready(
        &cast.enrolment,
        &cast.payers,
        plan.clone(),
        clock,
        &mut live,
    );
    let (work, prepared) = made.await?;
    let neighbour = neighbour(args, &cast, &plan, clock, &mut live).await?;
    let (ended, beside) = drive(&work, neighbour, &mut live).await?;
    let ceiling = after(raw, command, &ended, &live).await;
    live.end();
    let run = Run {
        plan,
        issuer: cast.issuer.to_string(),
        started: now,
        prepared,
        stand_ins: work.stand_ins(),
        checked: checked(&work, beside.as_ref()),
        ended,
        ceiling,
        best,
        beside,
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

/// Connections for a plan, and its first phones.
async fn ready(
    enrolment: &Profile,
    payers: &Payers,
    plan: Plan,
    clock: fn() -> SystemTime,
    live: &mut Live,
) -> Result<(Arc<Work>, Prepared), Failure> {
    let callers = Callers {
        enrolment: Connections::open(enrolment, plan.connections).await?,
        acceptance: Connections::open(&payers.acceptance, plan.connections).await?,
        payments: Connections::open(&payers.payments, plan.connections).await?,
    };
    let authorities = authorities(&callers, &payers.institution, clock()).await?;
    let work = Arc::new(Work::new(plan, callers, authorities, clock));
    let phones = setup::first_phones(work.plan());
    let prepared = setup::make(&work, phones, live).await?;
    Ok((work, prepared))
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

/// The institution beside the load, if there is one.
async fn neighbour(
    args: &Args,
    cast: &Cast,
    plan: &Plan,
    clock: fn() -> SystemTime,
    live: &mut Live,
) -> Result<Option<Neighbour>, Failure> {
    let Some(payers) = &cast.beside else {
        return Ok(None);
    };
    let plan = args.plan_beside(plan, payers.institution.clone())?;
    let made = ready(&cast.enrolment, payers, plan, clock, live).await?;
    Ok(Some(Neighbour::of(made)))
}

/// The load; before it and beside it the other institution, if there is one.
async fn drive(
    work: &Arc<Work>,
    neighbour: Option<Neighbour>,
    live: &mut Live,
) -> Result<(Ended, Option<Compared>), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failure::usage(format!("signals: {error}"), "try again"))?;
    let mut interrupts = async || {
        interrupt.recv().await;
    };
    live.begins();
    let alone = match &neighbour {
        None => None,
        Some(neighbour) => Some(neighbour.alone(live, &mut interrupts).await?),
    };
    if alone.is_some() {
        live.begins();
    }
    let load = Load::new(Arc::clone(work));
    let drivers = drivers::start(&load);
    let load = load::run(load, drivers, live, interrupts);
    let Some((neighbour, alone)) = neighbour.zip(alone) else {
        return Ok((load.await?, None));
    };
    let (ended, compared) = neighbour.beside(alone, load).await?;
    Ok((ended, Some(compared)))
}

/// The raw loop after the load; a user who ended the load early does not wait for it.
async fn after(
    before: Option<RawLoop>,
    command: Vec<String>,
    ended: &Ended,
    live: &Live,
) -> Option<Ceiling> {
    let before = before?;
    let after = if ended.interrupted {
        Err("not measured, for the load was ended early".to_owned())
    } else {
        live.step("raw C_Sign loop, after the load");
        ceiling::measure(&command).await
    };
    Some(Ceiling {
        command,
        before,
        after,
    })
}

fn checked(work: &Work, beside: Option<&Compared>) -> Checked {
    let elsewhere = || beside.and_then(|compared| compared.first_wrong.clone());
    Checked {
        authorizations: work.checks.authorizations(),
        signatures: work.checks.signatures(),
        keys_known: work.can_verify(),
        first_wrong: work.checks.first_wrong().or_else(elsewhere),
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
