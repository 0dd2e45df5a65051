//! What people read of a run: its rates and latencies, what came of each request, and what to do next.

use super::{
    neighbour::Compared,
    outcome::Outcome,
    plan::Driving,
    report::Run,
    schedule::Kind,
    statistics::{Latency, number},
};
use crate::output::{
    Report,
    table::{Column, Table},
};

/// Two raw loops that are further apart than this, as a share of their mean, were not measured on a quiet machine.
const QUIET: f64 = 0.15;

/// The report of a run, with its JSON.
#[must_use]
pub fn report(run: &Run) -> Report {
    let report = Report::new(run.json())
        .words("load", &load(run))
        .row("measured", measured(run))
        .table(rates(run));
    let report = match refusals(run) {
        Some(table) => report.table(table),
        None => report,
    };
    let report = beside(report, run);
    let [_, not_sent] = run.ended.recorder.not_sent;
    let missed = format!("{not_sent} requests that were due: no place was free for them");
    let instead = format!(
        "{} enrolments and acceptances in the place of orders: no phone was free to order",
        run.stand_ins
    );
    let report = report
        .row_if("not sent", (not_sent > 0).then_some(missed))
        .row_if("stand-ins", (run.stand_ins > 0).then_some(instead))
        .words("checked", &checked(run))
        .row_if("client", client(run));
    next(ceiling(report, run), run)
}

/// Another institution, and an earlier run.
fn beside(report: Report, run: &Run) -> Report {
    let report = match &run.beside {
        None => report,
        Some(compared) => report
            .table(compared.table())
            .row_if("beside", told(compared)),
    };
    let rate = run.rate(run.measured().of(Kind::Cosign).done());
    let goodput = run.best.zip(run.goodput()).map(|(best, ratio)| {
        format!(
            "{:.1} orders co-signed per second, {ratio:.3} of the earlier run's {:.1}",
            rate.unwrap_or_default(),
            best.per_second
        )
    });
    report.row_if("goodput", goodput)
}

fn told(compared: &Compared) -> Option<String> {
    let (p50, p99) = compared.latency_ratios()?;
    let share = 100.0 * compared.done_share()?;
    Some(format!(
        "{p50:.2} times its p50 alone, {p99:.2} times its p99; {share:.1} % co-signed"
    ))
}

/// What was driven, for the picture.
#[must_use]
pub fn title(run: &Run) -> String {
    let rate = run.rate(run.measured().of(Kind::Cosign).done());
    let ratio = run
        .ratios()
        .map(|(cosigned, _)| format!(", {cosigned:.2} of the raw C_Sign loop"));
    format!(
        "{:.0} orders co-signed per second over {:.0} s{}",
        rate.unwrap_or_default(),
        run.seconds(),
        ratio.unwrap_or_default()
    )
}

/// How, for the picture.
#[must_use]
pub fn subtitle(run: &Run) -> String {
    load(run).join(", ")
}

fn load(run: &Run) -> Vec<String> {
    let plan = &run.plan;
    let driven = match plan.driving {
        Driving::Closed { concurrency } => vec![format!("closed loop of {concurrency} callers")],
        Driving::Open {
            per_second,
            spacing,
            in_flight,
        } => vec![
            format!(
                "open loop of {per_second} requests per second ({})",
                spacing.name()
            ),
            format!("{in_flight} in flight at most"),
        ],
    };
    let (issuer, payer) = (&run.issuer, &plan.terms.payer);
    let share = plan.enrolments;
    let rest = [
        format!("{} connections each", plan.connections),
        format!("{share} % of requests enrol at {issuer}"),
        format!("{share} % accept"),
        format!("the rest are orders at {payer}"),
    ];
    driven.into_iter().chain(rest).collect()
}

fn measured(run: &Run) -> String {
    let early = if run.ended.interrupted {
        ", ended early"
    } else {
        ""
    };
    let warm_up = run.plan.warm_up.as_secs_f64();
    let phones = run.prepared.phones;
    format!(
        "{:.1} s after {warm_up:.1} s of warm-up{early}; begun with {phones} phones",
        run.seconds()
    )
}

/// What was done, and how fast: of right answers alone.
fn rates(run: &Run) -> Table {
    let headings = [
        "SENT", "DONE", "PER S", "P50 MS", "P90", "P99", "P99.9", "MAX",
    ];
    let columns = headings.map(Column::number);
    let table = Table::new([Column::whole("CALL")].into_iter().chain(columns));
    Kind::ALL.into_iter().fold(table, |table, kind| {
        let tally = run.measured().of(kind);
        let rate = run.rate(tally.done());
        let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        let latency = tally.latency().map(|latency| {
            let Latency {
                p50,
                p90,
                p99,
                p999,
                max,
            } = latency;
            [p50, p90, p99, p999, max].map(|quantile| format!("{quantile:.2}"))
        });
        let latency = latency.unwrap_or_else(|| ["-"; 5].map(str::to_owned));
        let counts = [
            kind.rpc().to_owned(),
            tally.sent().to_string(),
            tally.done().to_string(),
            rate,
        ];
        table.row(counts.into_iter().chain(latency))
    })
}

/// Everything else, by code and reason; none if all was done.
fn refusals(run: &Run) -> Option<Table> {
    let table = Table::new([
        Column::whole("CALL"),
        Column::whole("CODE"),
        Column::whole("REASON"),
        Column::number("COUNT"),
        Column::number("RETRY S"),
    ]);
    let refused = || {
        let all = run.measured().outcomes();
        all.filter(|(_, outcome, _)| **outcome != Outcome::Done)
    };
    refused().next()?;
    Some(refused().fold(table, |table, (kind, outcome, count)| {
        let told = count
            .longest_retry
            .map(|retry| format!("{:.3}", retry.as_secs_f64()));
        table.row([
            kind.rpc().to_owned(),
            outcome.code().to_owned(),
            outcome.reason().unwrap_or("-").to_owned(),
            count.times.to_string(),
            told.unwrap_or_else(|| "-".to_owned()),
        ])
    }))
}

fn checked(run: &Run) -> Vec<String> {
    let checked = &run.checked;
    let each = format!(
        "each of {} authorizations against its order",
        checked.authorizations
    );
    if checked.keys_known {
        let every = run.plan.verify_every;
        let signatures = checked.signatures;
        let verified = format!("{signatures} signatures verified (one in {every})");
        return vec![
            each,
            "its certificate against the trust bundle".to_owned(),
            verified,
        ];
    }
    let payer = &run.plan.terms.payer;
    vec![
        each,
        format!("no signatures, for {payer}'s trust document does not name {payer} itself"),
    ]
}

fn client(run: &Run) -> Option<String> {
    let (used, each) = run.cpu()?;
    let processors = used.as_secs_f64() / run.seconds();
    Some(format!(
        "{each:.0} us of processor time per request, {processors:.2} processors in all"
    ))
}

fn ceiling(report: Report, run: &Run) -> Report {
    let Some(ceiling) = &run.ceiling else {
        return report;
    };
    let before = ceiling.before;
    let threads = before.threads;
    let said = match (&ceiling.after, ceiling.spread()) {
        (Ok(after), Some(spread)) => format!(
            "{:.0} signatures per second before, {:.0} after, {:.1} % apart; {threads} threads",
            before.per_second,
            after.per_second,
            spread * 100.0
        ),
        (after, _) => format!(
            "{:.0} signatures per second before; {threads} threads; after: {}",
            before.per_second,
            after.as_ref().err().map_or("", String::as_str)
        ),
    };
    let report = report.row("raw C_Sign", said);
    match run.ratios() {
        Some((cosigned, all)) => report.row(
            "ratio",
            format!(
                "{cosigned:.3} co-signed to raw; {all:.3} with the certificates that were signed"
            ),
        ),
        None => report,
    }
}

/// What the user will want to know and do.
fn next(mut report: Report, run: &Run) -> Report {
    for step in steps(run).into_iter().flatten() {
        report = report.next(step);
    }
    report
}

fn steps(run: &Run) -> [Option<String>; 7] {
    let sent = run.ended.sent;
    let share = |count: u64| 100.0 * number(count) / number(sent.max(1));
    let wrong = run.wrong();
    let because = |reasons: &[&str]| {
        run.times(|outcome| {
            outcome
                .reason()
                .is_some_and(|reason| reasons.contains(&reason))
        })
    };
    let limited = because(&["RATE_LIMITED", "TOO_MANY_IN_FLIGHT"]);
    let money = because(&["DEVICE_ORDERS_PER_DAY", "DEVICE_AMOUNT_PER_DAY"]);
    let lost = run.times(|outcome| matches!(outcome, Outcome::Unanswered(_)));
    let [_, not_sent] = run.ended.recorder.not_sent;
    let first = run.checked.first_wrong.clone().unwrap_or_default();
    [
        (wrong > 0).then(|| format!("do not rely on these figures: {wrong} answers were wrong, the first: {first}")),
        (limited > 0).then(|| format!(
            "{limited} requests ({:.1} %) met rate limits: this is what the limits let through, not what the service can \
             do; for that, load a policy with wider [rate_limits]",
            share(limited)
        )),
        (money > 0).then(|| format!(
            "{money} orders ({:.1} %) met the money limits of their phones: fewer --orders-per-phone, a smaller --amount",
            share(money)
        )),
        (lost > 0).then(|| format!("{lost} requests ({:.1} %) got no answer: read the log of the service", share(lost))),
        (not_sent > 0).then(|| "the service does not keep up with this rate: a lower --rate, or more --max-in-flight to \
                                see how long the queue gets".to_owned()),
        noise(run),
        run.ceiling.is_none().then(|| {
            "for the ratio to the bare token: --ceiling 'softhsm-setup sign-loop DIR --institution ID --seconds 5 --json'"
                .to_owned()
        }),
    ]
}

/// What two raw loops that are far apart say.
fn noise(run: &Run) -> Option<String> {
    let spread = run.ceiling.as_ref()?.spread()?;
    (spread > QUIET).then(|| {
        format!(
            "the raw loops are {:.0} % apart, so others used the machine meanwhile: measure again when it is quiet",
            spread * 100.0
        )
    })
}
