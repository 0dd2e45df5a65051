//! What is said of a run: a table for people, and JSON of the schema `semops-bench-v1` for programs.
//!
//! ```text
//! schema         "semops-bench-v1"
//! started_at     Unix seconds
//! ended          "time" | "interrupted"
//! configuration  payer_institution, payee_institution, issuer; loop "closed" | "open"; concurrency (closed);
//!                per_second, spacing, max_in_flight (open); connections, duration_seconds, warm_up_seconds,
//!                enrolments_percent, orders_per_phone, amount, currency, channel, verify_every
//! setup          phones, repeated (requests sent again because the service was busy), seconds
//! seconds        measured, without the warm-up
//! stand_ins      enrolments and acceptances in the place of orders, for no phone was free to order
//! warm_up        sent, done, not_sent, outcomes: [{kind, code, reason, count, longest_retry_seconds}]
//! measured       the same, and per_second; kinds: {cosign, enroll, accept: {sent, done, per_second, latency_ms,
//!                latency_not_done_ms: {p50, p90, p99, p99.9, max} or null}}
//! series         [{from, to (seconds), in_flight, cosign, enroll, accept: {done, not_done, per_second, p50_ms, p99_ms}}]
//! checks         authorizations, signatures_verified, wrong_answers, first_wrong
//! client         cpu_seconds, cpu_us_per_request, processors (used, of the machine's)
//! ceiling        null | {command, before, after: {signatures, seconds, per_second, threads} or null, failed, mean_per_second,
//!                spread, cosigned_to_raw, signatures_to_raw}
//! best           null | {per_second (of the earlier run), ratio (of this run's to that)}
//! beside         null | {institution, phones, alone and beside: {seconds, sent, done, not_sent, outcomes, cosigned, latency_ms},
//!                done_share (of the orders beside the load), p50_ratio, p99_ratio (beside the load to alone)}
//! ```
//!
//! `code` is that of gRPC, or `NONE` where there was no answer. Latency in an open loop counts from the moment at which a
//! request was due. A request counts for the phase in which it was due; a row of `series` counts answers as they came.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{
    best::Best,
    ceiling::Ceiling,
    load::Ended,
    neighbour::Compared,
    outcome::Outcome,
    plan::{Driving, Plan},
    schedule::Kind,
    series::Row,
    setup::Prepared,
    statistics::{Latency, Tallies, number},
};

/// The name of the JSON's shape.
pub const SCHEMA: &str = "semops-bench-v1";

/// A run that is over.
#[derive(Debug)]
pub struct Run {
    /// What it was to be.
    pub plan: Plan,
    /// Whose phones they were.
    pub issuer: String,
    /// When it was started.
    pub started: SystemTime,
    /// Its setup.
    pub prepared: Prepared,
    /// Its load.
    pub ended: Ended,
    /// Enrolments and acceptances in the place of orders, for no phone was free to order.
    pub stand_ins: u64,
    /// What was checked.
    pub checked: Checked,
    /// The raw loop beside it.
    pub ceiling: Option<Ceiling>,
    /// An earlier run.
    pub best: Option<Best>,
    /// Another institution beside it.
    pub beside: Option<Compared>,
}

/// What was checked in the answers.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Authorizations, each against its order.
    pub authorizations: u64,
    /// Signatures of some of them.
    pub signatures: u64,
    /// Whether the keys were known.
    pub keys_known: bool,
    /// What was wrong first.
    pub first_wrong: Option<String>,
}

impl Run {
    /// How long it was measured.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.ended
            .after
            .saturating_sub(self.plan.warm_up)
            .as_secs_f64()
    }

    /// So many in the time that was measured, per second; none if no time was.
    #[must_use]
    pub fn rate(&self, count: u64) -> Option<f64> {
        let seconds = self.seconds();
        (seconds > 0.0).then(|| number(count) / seconds)
    }

    /// What came of the requests that were measured.
    #[must_use]
    pub fn measured(&self) -> &Tallies {
        &self.ended.recorder.measured
    }

    /// How often this outcome came, of all kinds and phases.
    #[must_use]
    pub fn times(&self, is: impl Fn(&Outcome) -> bool) -> u64 {
        let recorder = &self.ended.recorder;
        let all = recorder
            .before
            .outcomes()
            .chain(recorder.measured.outcomes());
        all.filter(|(_, outcome, _)| is(outcome))
            .map(|(_, _, count)| count.times)
            .sum()
    }

    /// Co-signed per second to raw signatures per second; then all signatures, certificates too, to the same.
    #[must_use]
    pub fn ratios(&self) -> Option<(f64, f64)> {
        let raw = self.ceiling.as_ref()?.mean();
        let cosigned = self.measured().of(Kind::Cosign).done();
        let certified = self.measured().of(Kind::Enroll).done();
        let ratio = |count| Some(self.rate(count)? / raw);
        Some((ratio(cosigned)?, ratio(cosigned.saturating_add(certified))?))
    }

    /// Co-signed per second to those of the earlier run.
    #[must_use]
    pub fn goodput(&self) -> Option<f64> {
        let best = self.best?;
        let rate = self.rate(self.measured().of(Kind::Cosign).done())?;
        Some(rate / best.per_second)
    }

    /// Answers that cannot be relied on, those to another institution too.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        let beside = self.beside.as_ref().map_or(0, Compared::wrong);
        let own = self.times(|outcome| *outcome == Outcome::Wrong);
        own.saturating_add(beside)
    }

    /// Processor time of this program: in all, and for each request that was measured.
    #[must_use]
    pub fn cpu(&self) -> Option<(Duration, f64)> {
        let used = self.ended.cpu?;
        let requests = self.measured().sent();
        (requests > 0).then(|| (used, used.as_secs_f64() * 1e6 / number(requests)))
    }

    /// All of it, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let recorder = &self.ended.recorder;
        let [before, after] = recorder.not_sent;
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({
            "schema": SCHEMA,
            "started_at": started.as_secs(),
            "ended": if self.ended.interrupted { "interrupted" } else { "time" },
            "configuration": self.configuration(),
            "setup": {
                "phones": self.prepared.phones,
                "repeated": self.prepared.repeated,
                "seconds": self.prepared.took.as_secs_f64(),
            },
            "seconds": self.seconds(),
            "stand_ins": self.stand_ins,
            "warm_up": phase(&recorder.before, before),
            "measured": self.measured_json(after),
            "series": recorder.rows.iter().map(row).collect::<Vec<_>>(),
            "checks": {
                "authorizations": self.checked.authorizations,
                "signatures_verified": self.checked.signatures,
                "wrong_answers": self.wrong(),
                "first_wrong": self.checked.first_wrong,
            },
            "client": self.client(),
            "ceiling": self.ceiling_json(),
            "best": self.best.map(|best| json!({
                "per_second": best.per_second,
                "ratio": self.goodput(),
            })),
            "beside": self.beside.as_ref().map(Compared::json),
        })
    }

    fn configuration(&self) -> Value {
        let plan = &self.plan;
        let mut configuration = json!({
            "payer_institution": plan.terms.payer.as_str(),
            "payee_institution": plan.terms.payee.institution().as_str(),
            "issuer": self.issuer,
            "connections": plan.connections,
            "duration_seconds": plan.duration.as_secs_f64(),
            "warm_up_seconds": plan.warm_up.as_secs_f64(),
            "enrolments_percent": plan.enrolments,
            "orders_per_phone": plan.orders_per_phone,
            "amount": plan.terms.amount.value(),
            "currency": plan.terms.amount.currency().code(),
            "channel": plan.terms.channel.as_str(),
            "verify_every": plan.verify_every,
        });
        let driving = match plan.driving {
            Driving::Closed { concurrency } => {
                json!({"loop": "closed", "concurrency": concurrency})
            }
            Driving::Open {
                per_second,
                spacing,
                in_flight,
            } => json!({
                "loop": "open",
                "per_second": per_second,
                "spacing": spacing.name(),
                "max_in_flight": in_flight,
            }),
        };
        if let (Some(all), Value::Object(more)) = (configuration.as_object_mut(), driving) {
            all.extend(more);
        }
        configuration
    }

    fn measured_json(&self, not_sent: u64) -> Value {
        let tallies = self.measured();
        let mut measured = phase(tallies, not_sent);
        let kinds: Map<String, Value> = Kind::ALL
            .into_iter()
            .map(|kind| {
                let tally = tallies.of(kind);
                let value = json!({
                    "sent": tally.sent(),
                    "done": tally.done(),
                    "per_second": self.rate(tally.done()),
                    "latency_ms": tally.latency().map(latency),
                    "latency_not_done_ms": tally.latency_not_done().map(latency),
                });
                (kind.word().to_owned(), value)
            })
            .collect();
        if let Some(all) = measured.as_object_mut() {
            all.insert("per_second".to_owned(), json!(self.rate(tallies.done())));
            all.insert("kinds".to_owned(), Value::Object(kinds));
        }
        measured
    }

    fn client(&self) -> Value {
        let cpu = self.cpu();
        let processors = |used: Duration| used.as_secs_f64() / self.seconds();
        json!({
            "cpu_seconds": cpu.map(|(used, _)| used.as_secs_f64()),
            "cpu_us_per_request": cpu.map(|(_, each)| each),
            "processors": cpu.map(|(used, _)| processors(used)),
        })
    }

    fn ceiling_json(&self) -> Value {
        let Some(ceiling) = &self.ceiling else {
            return Value::Null;
        };
        let ratios = self.ratios();
        json!({
            "command": ceiling.command,
            "before": ceiling.before,
            "after": ceiling.after.as_ref().ok(),
            "failed": ceiling.after.as_ref().err(),
            "mean_per_second": ceiling.mean(),
            "spread": ceiling.spread(),
            "cosigned_to_raw": ratios.map(|(cosigned, _)| cosigned),
            "signatures_to_raw": ratios.map(|(_, all)| all),
        })
    }
}

/// A phase: what was sent, and what came of it.
pub(super) fn phase(tallies: &Tallies, not_sent: u64) -> Value {
    let outcomes: Vec<Value> = tallies
        .outcomes()
        .map(|(kind, outcome, count)| {
            json!({
                "kind": kind.word(),
                "code": outcome.code(),
                "reason": outcome.reason(),
                "count": count.times,
                "longest_retry_seconds": count.longest_retry.map(|retry| retry.as_secs_f64()),
            })
        })
        .collect();
    json!({
        "sent": tallies.sent(),
        "done": tallies.done(),
        "not_sent": not_sent,
        "outcomes": outcomes,
    })
}

/// In milliseconds.
pub(super) fn latency(latency: Latency) -> Value {
    json!({
        "p50": latency.p50,
        "p90": latency.p90,
        "p99": latency.p99,
        "p99.9": latency.p999,
        "max": latency.max,
    })
}

fn row(row: &Row) -> Value {
    let mut all = Map::new();
    all.insert("from".to_owned(), json!(row.from.as_secs_f64()));
    all.insert("to".to_owned(), json!(row.to.as_secs_f64()));
    all.insert("in_flight".to_owned(), json!(row.in_flight));
    let kinds = Kind::ALL.into_iter().zip(row.kinds).zip(row.rates());
    for ((kind, answers), rate) in kinds {
        let value = json!({
            "done": answers.done,
            "not_done": answers.not_done,
            "per_second": rate,
            "p50_ms": answers.latency.map(|latency| latency.p50),
            "p99_ms": answers.latency.map(|latency| latency.p99),
        });
        all.insert(kind.word().to_owned(), value);
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests;
