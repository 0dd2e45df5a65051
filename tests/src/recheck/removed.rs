//! What is not kept any longer, against what is left: as much is gone as is said, and the audit goes on where the removed
//! part ends.
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value indexed by a name that it does not have is null"
)]

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rusqlite::{Connection, Row};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Findings, Rule,
    audit::Intents,
    orders::device_name,
    record::{Record, all},
};

/// The application id of a file that is a copy of a database.
pub(crate) const COPY: i64 = 0x636f_7079;

/// What stays of an order that is not kept any longer.
#[derive(Clone, Debug)]
pub(super) struct Pruned {
    pub(super) institution: String,
    pub(super) device: Vec<u8>,
    pub(super) jti: Vec<u8>,
    pub(super) state: String,
    pub(super) ended_at: i64,
}

impl Pruned {
    /// Institution, jti and device.
    fn name(&self) -> [String; 3] {
        let jti = Uuid::from_slice(&self.jti).unwrap_or_default().to_string();
        [self.institution.clone(), jti, device_name(&self.device)]
    }
}

/// How many operations of a key and kind are not kept any longer, and how many of these were signed.
#[derive(Clone, Debug)]
pub(super) struct Removed {
    pub(super) key: Vec<u8>,
    pub(super) kind: String,
    pub(super) operations: i64,
    pub(super) signatures: i64,
}

/// The audit events that are not kept any longer.
#[derive(Clone, Debug)]
pub(super) struct Prefix {
    pub(super) through: i64,
    pub(super) leaves: i64,
    pub(super) sha256: Vec<u8>,
    /// Each was written before this moment.
    pub(super) before: i64,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    /// What stays of orders.
    pub(super) orders: Vec<Pruned>,
    /// How much is gone.
    pub(super) counts: Vec<Removed>,
    /// Up to where events are gone.
    pub(super) prefix: Prefix,
    /// The numbers of those that are left.
    numbers: Vec<i64>,
    /// Whether none may be left out among them: some may in a copy of a database, where transactions that were rolled back
    /// have taken them.
    gapless: bool,
}

impl Gone {
    pub(super) fn read(c: &Connection) -> rusqlite::Result<Self> {
        let orders = "SELECT institution, device, jti, state, ended_at FROM pruned_order";
        let counts = "SELECT key_id, kind, operations, signatures FROM removed";
        let last = "SELECT through, leaves, sha256, before FROM audit_prefix";
        let copy: i64 = c.pragma_query_value(None, "application_id", |r| r.get(0))?;
        Ok(Self {
            orders: all(c, orders, pruned)?,
            counts: all(c, counts, removed)?,
            prefix: c.query_row(last, [], prefix)?,
            numbers: all(c, "SELECT seq FROM audit ORDER BY seq", |r| r.get(0))?,
            gapless: copy != COPY,
        })
    }
}

fn pruned(r: &Row<'_>) -> rusqlite::Result<Pruned> {
    Ok(Pruned {
        institution: r.get(0)?,
        device: r.get(1)?,
        jti: r.get(2)?,
        state: r.get(3)?,
        ended_at: r.get(4)?,
    })
}

fn removed(r: &Row<'_>) -> rusqlite::Result<Removed> {
    Ok(Removed {
        key: r.get(0)?,
        kind: r.get(1)?,
        operations: r.get(2)?,
        signatures: r.get(3)?,
    })
}

fn prefix(r: &Row<'_>) -> rusqlite::Result<Prefix> {
    Ok(Prefix {
        through: r.get(0)?,
        leaves: r.get(1)?,
        sha256: r.get(2)?,
        before: r.get(3)?,
    })
}

const ENDS: [&str; 4] = ["AUTHORIZED", "DENIED", "EXPIRED", "FAILED"];

pub(super) fn check(record: &Record, findings: &mut Findings) {
    check_counts(record, findings);
    check_prefix(record, findings);
    check_numbers(record, findings);
}

/// As many orders are gone as something stays of.
fn check_counts(record: &Record, findings: &mut Findings) {
    let of_orders = record
        .gone
        .counts
        .iter()
        .filter(|r| r.kind == "authorization");
    let said = of_orders.fold((0, 0), |sum, removed| {
        (sum.0 + removed.operations, sum.1 + removed.signatures)
    });
    let signed = |order: &&Pruned| order.state == "AUTHORIZED";
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let stays = (
        number(record.gone.orders.len()),
        number(record.gone.orders.iter().filter(signed).count()),
    );
    findings.must(Rule::Consistent, said == stays, || {
        format!("{said:?} orders and signatures are gone, and {stays:?} of them refuse their jti")
    });
    for order in &record.gone.orders {
        findings.must(
            Rule::Consistent,
            ENDS.contains(&order.state.as_str()),
            || format!("an order is gone as {}", order.state),
        );
    }
}

/// What is said of the removed events, by the last event that tells of it: where they end, and their digest.
fn check_prefix(record: &Record, findings: &mut Findings) {
    let mut told = (0, URL_SAFE_NO_PAD.encode([0; 32]));
    for leaf in &record.audit {
        let event: Value = serde_json::from_slice(leaf).unwrap_or_default();
        let object = event["object"].as_str().unwrap_or_default();
        let Some(prefix) = object.strip_prefix("events.") else {
            continue;
        };
        if event["operation"] != "retention" {
            continue;
        }
        let (through, digest) = prefix.split_once('.').unwrap_or_default();
        let through: i64 = through.parse().unwrap_or(-1);
        findings.must(Rule::AuditPrefix, through >= told.0, || {
            format!("{object} comes after events.{}", told.0)
        });
        told = (through, digest.to_owned());
    }
    let stands = (
        record.gone.prefix.through,
        URL_SAFE_NO_PAD.encode(&record.gone.prefix.sha256),
    );
    findings.must(Rule::AuditPrefix, told == stands, || {
        format!("the removed events are {stands:?}, the events that are left tell of {told:?}")
    });
}

/// Numbers go on behind the removed ones. Of the embedded store none is left out; of a database, of whose transactions some
/// are rolled back, no more are than its own gaps.
fn check_numbers(record: &Record, findings: &mut Findings) {
    let first = record.gone.numbers.first().copied().unwrap_or(i64::MAX);
    findings.must(
        Rule::AuditPrefix,
        first > record.gone.prefix.through,
        || {
            format!(
                "event {first} stands among the removed ones, up to {}",
                record.gone.prefix.through
            )
        },
    );
    let rises = record.gone.prefix.leaves <= record.gone.prefix.through;
    findings.must(Rule::AuditPrefix, rises, || {
        format!("{:?} are more events than numbers", record.gone.prefix)
    });
    if !record.gone.gapless {
        return;
    }
    let expected = record.gone.prefix.through.saturating_add(1)..;
    for (number, expected) in record.gone.numbers.iter().zip(expected) {
        findings.must(Rule::AuditPrefix, *number == expected, || {
            format!("event {expected} is missing before event {number}")
        });
        if *number != expected {
            return;
        }
    }
    findings.must(
        Rule::AuditPrefix,
        record.gone.prefix.leaves == record.gone.prefix.through,
        || format!("{:?} leaves a gap", record.gone.prefix),
    );
}

/// How many events of these moments may be removed: all of before one moment are.
pub(super) fn may_be_gone(record: &Record, moments: impl Iterator<Item = i64>) -> usize {
    moments.filter(|at| *at < record.gone.prefix.before).count()
}

/// The intents of these whose operation is not in the record, and is not one that is gone.
pub(super) fn unaccounted(
    record: &Record,
    mut intents: Intents,
    findings: &mut Findings,
) -> Intents {
    let of = record.gone.orders.iter();
    let orders: BTreeMap<_, _> = of.map(|order| (order.name(), order)).collect();
    let mut told: BTreeSet<_> = orders.keys().cloned().collect();
    let mut crls: BTreeMap<String, i64> = BTreeMap::new();
    intents.retain(|[institution, kind, object, device, key], events| {
        let ends_as = |state: &str| {
            ["BEGUN", state].ends_with(&events.iter().map(String::as_str).collect::<Vec<_>>())
        };
        if kind == "crl" && ENDS.iter().any(|state| ends_as(state)) {
            *crls.entry(key.clone()).or_default() += 1;
            return false;
        }
        let of = [institution.clone(), object.clone(), device.clone()];
        let gone =
            kind == "authorization" && orders.get(&of).is_some_and(|order| ends_as(&order.state));
        if gone {
            told.remove(&of);
        }
        !gone
    });
    // Of each order that is gone, and not so long that its events are too, the end is told.
    for of in told {
        let ended_at = orders.get(&of).map_or(0, |order| order.ended_at);
        findings.must(
            Rule::AuditPairs,
            ended_at < record.gone.prefix.before,
            || format!("no event tells of {of:?}, which is gone"),
        );
    }
    check_crls(record, crls, findings);
    intents
}

/// Of each key no more CRLs are told of that are not in the record than are gone.
fn check_crls(record: &Record, crls: BTreeMap<String, i64>, findings: &mut Findings) {
    for (key, told) in crls {
        let of_key = |r: &&Removed| r.kind == "crl" && URL_SAFE_NO_PAD.encode(&r.key) == key;
        let gone = record
            .gone
            .counts
            .iter()
            .find(of_key)
            .map_or(0, |r| r.operations);
        findings.must(Rule::AuditPairs, told <= gone, || {
            format!("events tell of {told} CRLs of key {key} that are not in the record, and {gone} are gone")
        });
    }
}
