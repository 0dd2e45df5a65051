//! The verdict: what was done, what was seen, and whether all of it is as it must be. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{
    faults::Injected,
    ledger::Counts,
    run::{Ended, Plan},
};
use crate::output::Report;

/// Everything that the report says.
#[derive(Debug)]
pub struct Soak {
    /// What it was to be.
    pub plan: Plan,
    /// Issuer and payer's institution of each lane.
    pub lanes: Vec<[String; 2]>,
    /// When it began.
    pub started: SystemTime,
    /// How it ended.
    pub ended: Ended,
    /// What was counted.
    pub counts: Counts,
    /// The first findings.
    pub findings: Vec<String>,
    /// The longest time without an answer.
    pub longest_silence: Duration,
}

impl Soak {
    /// Whether something was done, every fault was injected, and nothing was found.
    #[must_use]
    pub fn passed(&self) -> bool {
        let injected = self.ended.injected.iter();
        self.counts.authorized > 0
            && self.counts.findings == 0
            && injected
                .filter(|injected| injected.failed.is_some())
                .count()
                == 0
    }

    /// The whole of it, `semops-soak-v1`.
    #[must_use]
    pub fn json(&self) -> Value {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (counts, ended) = (&self.counts, &self.ended);
        json!({
            "schema": "semops-soak-v1",
            "verdict": if self.passed() { "pass" } else { "fail" },
            "started_at": started.as_secs(),
            "ended": if ended.interrupted { "interrupted" } else { "time" },
            "seconds": ended.after.as_secs_f64(),
            "configuration": self.configuration(),
            "faults": ended.injected.iter().map(injected).collect::<Vec<_>>(),
            "counts": counted(counts),
            "longest_silence_seconds": self.longest_silence.as_secs_f64(),
            "checks": {
                "signatures_verified": counts.authorized, "same_again": counts.same, "crls_seen": ended.crls,
                "revoked_to_be_listed": counts.revoked,
            },
            "finding_count": counts.findings,
            "findings": self.findings,
        })
    }

    fn configuration(&self) -> Value {
        let lanes = self.lanes.iter();
        let lanes = lanes.map(|[issuer, payer]| json!({"issuer": issuer, "payer": payer}));
        json!({
            "duration_seconds": self.plan.duration.as_secs_f64(),
            "concurrency": self.plan.concurrency,
            "orders_per_phone": self.plan.habits.orders,
            "revoke_every": self.plan.habits.revoke_every,
            "fault_every_seconds": self.plan.every.as_secs_f64(),
            "lanes": lanes.collect::<Vec<_>>(),
        })
    }

    /// The lines for people.
    #[must_use]
    pub fn report(&self) -> Report {
        let faults = self.ended.injected.iter();
        let failed: Vec<&str> = faults.filter_map(|one| one.failed.as_deref()).collect();
        let mut report = Report::new(self.json()).row("verdict", self.verdict(failed.len()));
        for (label, text) in self.rows(failed.len()) {
            report = report.row(label, text);
        }
        for ((code, reason), count) in &self.counts.otherwise {
            report = report.row("otherwise", format!("{code} {reason}: {count}"));
        }
        for why in failed.iter().take(3) {
            report = report.row("fault failed", *why);
        }
        for finding in &self.findings {
            report = report.row("finding", finding);
        }
        if self.passed() {
            report
        } else {
            report.unreliable()
        }
    }

    fn rows(&self, failed: usize) -> [(&'static str, String); 5] {
        let Counts {
            enrolled,
            accepted,
            authorized,
            revoked,
            repeated,
            same,
            ..
        } = &self.counts;
        let injected = self.ended.injected.len();
        let silence = self.longest_silence.as_secs_f64();
        [
            (
                "phones",
                format!("{enrolled} enrolled, {accepted} accepted, {revoked} revoked"),
            ),
            (
                "orders",
                format!("{authorized} authorized, each verified and unlike all others"),
            ),
            (
                "again",
                format!("{same} answers came again, byte for byte; {repeated} calls were repeated"),
            ),
            (
                "faults",
                format!("{injected} injected, {failed} of them failed"),
            ),
            (
                "silence",
                format!("{silence:.1} s without an answer at most"),
            ),
        ]
    }

    fn verdict(&self, failed: usize) -> String {
        if self.passed() {
            return format!("pass, after {:.0} s", self.ended.after.as_secs_f64());
        }
        match (self.counts.findings, self.counts.authorized, failed) {
            (0, 0, _) => "fail: no order was co-signed".to_owned(),
            (0, _, failed) => {
                format!("fail: {failed} faults could not be injected, so that little is shown")
            }
            (findings, ..) => format!("fail: {findings} findings"),
        }
    }
}

fn injected(one: &Injected) -> Value {
    let Injected {
        at,
        command,
        took,
        failed,
    } = one;
    json!({"at": at, "command": command, "seconds": took, "failed": failed})
}

fn counted(counts: &Counts) -> Value {
    let otherwise = counts.otherwise.iter();
    let otherwise = otherwise
        .map(|((code, reason), count)| json!({"code": code, "reason": reason, "count": count}));
    json!({
        "enrolled": counts.enrolled,
        "accepted": counts.accepted,
        "authorized": counts.authorized,
        "revoked": counts.revoked,
        "refused_after_revocation": counts.refused_after_revocation,
        "repeated": counts.repeated,
        "otherwise": otherwise.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::life::Habits, *};

    fn soak(authorized: u64, findings: u64, failed: Option<&str>) -> Soak {
        Soak {
            plan: Plan {
                duration: Duration::from_secs(60),
                concurrency: 8,
                habits: Habits {
                    orders: 5,
                    revoke_every: 4,
                    patience: Duration::from_secs(60),
                    clock: SystemTime::now,
                },
                faults: vec!["true".to_owned()],
                every: Duration::from_secs(20),
            },
            lanes: vec![["mobilis".to_owned(), "alfa".to_owned()]],
            started: UNIX_EPOCH,
            ended: Ended {
                interrupted: false,
                after: Duration::from_secs(60),
                injected: vec![Injected {
                    at: 20.0,
                    command: "true".to_owned(),
                    took: 0.1,
                    failed: failed.map(str::to_owned),
                }],
                crls: 3,
            },
            counts: Counts {
                authorized,
                findings,
                ..Counts::default()
            },
            findings: vec![
                "CosignOrder: asked again, another answer came".to_owned();
                usize::from(findings > 0)
            ],
            longest_silence: Duration::from_millis(1_500),
        }
    }

    #[test]
    fn a_verdict_needs_work_done_faults_injected_and_nothing_found() {
        for (soak, verdict, word) in [
            (soak(5, 0, None), "pass", "pass, after 60 s"),
            (soak(0, 0, None), "fail", "no order was co-signed"),
            (
                soak(5, 0, Some("exit status: 3: gone")),
                "fail",
                "could not be injected",
            ),
            (soak(5, 2, None), "fail", "2 findings"),
        ] {
            let json = soak.json();
            assert_eq!(json.get("verdict"), Some(&Value::from(verdict)), "{json}");
            assert!(
                soak.verdict(usize::from(word.contains("injected")))
                    .contains(word),
                "{word}"
            );
            assert_eq!(soak.passed(), verdict == "pass");
        }
    }
}
