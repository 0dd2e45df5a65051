//! Refusals by rate limit or overload: told as one event per scope, reason and minute, of the scope's own institution.
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value indexed by a name that it does not have is null"
)]

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Authorities, Findings, MICROS, Rule, record::Record};

const REASONS: [&str; 4] = [
    "RATE_LIMITED",
    "TOO_MANY_IN_FLIGHT",
    "HSM_QUEUE_FULL",
    "STORE_QUEUE_FULL",
];

pub(super) fn check(record: &Record, authorities: &Authorities, findings: &mut Findings) {
    // By institution, scope, reason and minute.
    let mut told: BTreeMap<(String, String, String, i64), usize> = BTreeMap::new();
    for leaf in &record.audit {
        let event: Value = serde_json::from_slice(leaf).unwrap_or_default();
        let text = |member: &str| event[member].as_str().unwrap_or_default().to_owned();
        if text("operation") != "admission" {
            continue;
        }
        let as_it_must = text("result") == "REFUSED"
            && REASONS.contains(&text("reason").as_str())
            && names_its_own(&event);
        findings.must(Rule::Refusals, as_it_must, || {
            format!("{event} is no refusal by a limit")
        });
        let minute = event["time"].as_i64().unwrap_or_default() / (60 * MICROS);
        let key = (text("institution"), text("object"), text("reason"), minute);
        *told.entry(key).or_default() += 1;
    }
    // What was told is remembered as long as the signer runs.
    for (key, times) in told {
        findings.must(Rule::Refusals, times <= authorities.runs.max(1), || {
            format!("{key:?} is told {times} times")
        });
    }
}

/// The scope is the institution, a caller of it, or the device that the event names.
fn names_its_own(event: &Value) -> bool {
    let text = |member: &str| event[member].as_str().unwrap_or_default();
    let institution = text("institution");
    match text("object").split_once(':') {
        Some(("institution", id)) => id == institution,
        Some(("caller", id)) => id == text("caller") && id.contains(&format!("/{institution}/")),
        Some(("device", id)) => id == text("device"),
        _ => false,
    }
}
