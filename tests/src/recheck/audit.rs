//! Audit events against the record: every change has its event, every intent its pair.
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value indexed by a name that it does not have is null"
)]

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_pki::algorithm::sha256;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Findings, Rule,
    orders::device_name,
    record::{Operation, Record},
    removed,
};

/// The documented order of members.
const MEMBERS: [&str; 12] = [
    "v",
    "time",
    "request",
    "caller",
    "institution",
    "operation",
    "object",
    "device",
    "policy",
    "key",
    "result",
    "reason",
];
const SIGNED: [&str; 6] = [
    "authorization",
    "device-certificate",
    "crl",
    "authorization-certificate",
    "key-certificate",
    "certification-request",
];

/// What names an intent: institution, kind, object, device, key.
pub(super) type Name = [String; 5];

/// The results told of each intent, in their order.
pub(super) type Intents = BTreeMap<Name, Vec<String>>;

/// How many events tell of each change as done, by operation, institution and object; and, by institution and device,
/// whether the first that is left of acceptance and release is a release.
#[derive(Debug, Default)]
struct Done(
    BTreeMap<(String, String, String), i64>,
    BTreeMap<(String, String), bool>,
);

impl Done {
    fn count(&self, operation: &str, institution: &str, object: &str) -> i64 {
        let key = (
            operation.to_owned(),
            institution.to_owned(),
            object.to_owned(),
        );
        self.0.get(&key).copied().unwrap_or_default()
    }
}

pub(super) fn check(record: &Record, findings: &mut Findings) {
    let (intents, done) = read_events(record, findings);
    check_intents(record, intents, findings);
    check_changes(record, &done, findings);
}

/// Sorts the events into those of intents and those of changes; each must be in the leaf's form.
fn read_events(record: &Record, findings: &mut Findings) -> (Intents, Done) {
    let (mut intents, mut done) = (Intents::new(), Done::default());
    for (index, leaf) in record.audit.iter().enumerate() {
        let event: Value = serde_json::from_slice(leaf).unwrap_or_default();
        findings.must(Rule::AuditPairs, is_leaf(&event, leaf), || {
            format!("event {index} is not in the leaf's form")
        });
        let text = |member: &str| event[member].as_str().unwrap_or_default().to_owned();
        let (operation, result) = (text("operation"), text("result"));
        match result.as_str() {
            "REFUSED" => {}
            "DONE" => {
                let object = if event["device"].is_string() {
                    text("device")
                } else {
                    text("object")
                };
                if ["accept", "release"].contains(&operation.as_str()) {
                    let of = (text("institution"), object.clone());
                    done.1.entry(of).or_insert(operation == "release");
                }
                let key = (operation, text("institution"), object);
                *done.0.entry(key).or_default() += 1;
            }
            _ => {
                let name = [
                    text("institution"),
                    operation,
                    text("object"),
                    text("device"),
                    text("key"),
                ];
                intents.entry(name).or_default().push(result);
            }
        }
    }
    (intents, done)
}

/// Every intent in the record has its pair of events, and no other intent has any: but that of the oldest the events, and
/// of others the record, may not be kept any longer.
fn check_intents(record: &Record, mut intents: Intents, findings: &mut Findings) {
    for operation in record.operations.values() {
        let name = name(operation);
        check_former(&mut intents, operation, &name, findings);
        let events = intents.remove(&name).unwrap_or_default();
        let expected: &[&str] = match operation.state.as_str() {
            "PENDING" => &["BEGUN"],
            state => &["BEGUN", state],
        };
        // Begun and ended: so many of both may be gone.
        let moments = [Some(operation.begun_at), operation.ended_at];
        let gone = removed::may_be_gone(record, moments.into_iter().flatten());
        let told = expected.ends_with(&events.iter().map(String::as_str).collect::<Vec<_>>());
        let enough = events.len() >= expected.len().saturating_sub(gone);
        findings.must(Rule::AuditPairs, told && enough, || {
            format!(
                "{operation} is {} and has the events {events:?}",
                operation.state
            )
        });
    }
    for (name, events) in removed::unaccounted(record, intents, findings) {
        findings.add(
            Rule::AuditPairs,
            format!("events {events:?} of {name:?}, which is not in the record"),
        );
    }
}

/// An order whose token failed went over to another key in the same row: of each former key it was begun with, it ended as
/// FAILED.
fn check_former(
    intents: &mut Intents,
    operation: &Operation,
    name: &Name,
    findings: &mut Findings,
) {
    let (last, same) = (name.len() - 1, &name[..name.len() - 1]);
    let is_former = |other: &Name| other[..last] == *same && other[last] != name[last];
    let moves = operation.kind == "authorization";
    let former = intents.keys().filter(|other| moves && is_former(other));
    for former in former.cloned().collect::<Vec<_>>() {
        let events = intents.remove(&former).unwrap_or_default();
        findings.must(Rule::AuditPairs, events == ["BEGUN", "FAILED"], || {
            format!(
                "{operation} has the events {events:?} with the former key {}",
                former[last]
            )
        });
    }
}

fn name(operation: &Operation) -> Name {
    [
        operation.institution.clone(),
        operation.kind.clone(),
        operation.object.clone(),
        operation
            .device
            .as_deref()
            .map(device_name)
            .unwrap_or_default(),
        URL_SAFE_NO_PAD.encode(&operation.key),
    ]
}

/// Acceptances, revocations and documents: as many events as changes.
fn check_changes(record: &Record, done: &Done, findings: &mut Findings) {
    for (operation, institution, object) in done.0.keys() {
        findings.must(
            Rule::AuditPairs,
            !SIGNED.contains(&operation.as_str()),
            || format!("{operation} of {institution} is told as done, without an intent"),
        );
        check_acceptance_balance(record, done, institution, object, findings);
    }
    check_acceptances(record, done, findings);
    check_revocations(record, done, findings);
    check_reissues(record, done, findings);
    check_documents(record, done, findings);
    check_new_keys(record, done, findings);
    check_proposals(record, done, findings);
}

/// A key was asked for before it was made, and made once.
fn check_new_keys(record: &Record, done: &Done, findings: &mut Findings) {
    for key in &record.new_keys {
        let request = Uuid::from_slice(&key.request).unwrap_or_default();
        let of = |operation| done.count(operation, &key.institution, &request.to_string());
        let (asked, made) = (of("key.ask"), of("key.create"));
        let told = asked > 0 && made == i64::from(key.key.is_some());
        let gone = record.gone.prefix.through > 0;
        findings.must(Rule::AuditPairs, told || gone, || {
            format!(
                "the key of request {request} was asked for {asked} times and made {made} times"
            )
        });
    }
}

/// Acceptances less releases of one device by one institution are what stands.
fn check_acceptance_balance(
    record: &Record,
    done: &Done,
    institution: &str,
    object: &str,
    findings: &mut Findings,
) {
    let standing = record
        .acceptances
        .iter()
        .filter(|(i, d, _)| i == institution && device_name(d) == *object);
    // What is left may begin with the release of what was accepted before.
    let of = (institution.to_owned(), object.to_owned());
    let before = record.gone.prefix.through > 0 && done.1.get(&of) == Some(&true);
    let told =
        done.count("accept", institution, object) - done.count("release", institution, object);
    let standing: Vec<_> = standing.collect();
    let untold = !done.1.contains_key(&of)
        && standing
            .iter()
            .any(|(.., at)| *at < record.gone.prefix.before);
    let balance = told + i64::from(before) + i64::from(untold);
    let stands = i64::try_from(standing.len()).unwrap_or(i64::MAX);
    findings.must(Rule::AuditPairs, balance == stands, || {
        format!(
            "{stands} acceptances of {object} by {institution} stand, the events tell of {balance}"
        )
    });
}

fn check_acceptances(record: &Record, done: &Done, findings: &mut Findings) {
    for (institution, device, at) in &record.acceptances {
        let told = done.count("accept", institution, &device_name(device)) > 0
            || *at < record.gone.prefix.before;
        findings.must(Rule::AuditPairs, told, || {
            format!(
                "the acceptance of {} by {institution} has no event",
                device_name(device)
            )
        });
    }
}

fn check_revocations(record: &Record, done: &Done, findings: &mut Findings) {
    for revocation in &record.revocations {
        // What was replaced is told otherwise.
        let Some(id) = &revocation.device else {
            continue;
        };
        let device = record.device(id);
        let issuer = device
            .map(|device| device.issuer.as_str())
            .unwrap_or_default();
        let events = done.count("revoke", issuer, &device_name(id));
        let gone = events == 0 && revocation.revoked_at < record.gone.prefix.before;
        findings.must(Rule::AuditPairs, events == 1 || gone, || {
            format!("the revocation of {} has {events} events", device_name(id))
        });
    }
}

/// As many certificates of a device were replaced as are told.
fn check_reissues(record: &Record, done: &Done, findings: &mut Findings) {
    for reissue in &record.reissues {
        let Some(at) = reissue.replaced_at else {
            continue;
        };
        let device = record.device(&reissue.device);
        let issuer = device.map(|device| device.issuer.as_str());
        let told = done.count(
            "supersede",
            issuer.unwrap_or_default(),
            &device_name(&reissue.device),
        );
        let of_device = record
            .reissues
            .iter()
            .filter(|one| one.device == reissue.device && one.replaced_at.is_some());
        let times = i64::try_from(of_device.count()).unwrap_or(i64::MAX);
        let gone = told < times && at < record.gone.prefix.before;
        findings.must(Rule::AuditPairs, told == times || gone, || {
            let device = device_name(&reissue.device);
            format!("{times} certificates of {device} were replaced, and {told} are told")
        });
    }
}

fn check_documents(record: &Record, done: &Done, findings: &mut Findings) {
    for document in &record.documents {
        let digest = URL_SAFE_NO_PAD.encode(sha256(&document.bytes));
        let object = format!("{}.{digest}", document.version);
        let events = done.count(&document.kind, &document.institution, &object);
        let gone = events == 0 && document.loaded_at < record.gone.prefix.before;
        findings.must(Rule::AuditPairs, events == 1 || gone, || {
            format!(
                "{} {} of {} has {events} events",
                document.kind, document.version, document.institution
            )
        });
    }
}

/// A change is proposed once and ends once, and each decision about it is told.
fn check_proposals(record: &Record, done: &Done, findings: &mut Findings) {
    for change in &record.changes {
        let object = URL_SAFE_NO_PAD.encode(&change.id);
        let decided = |decision: &str| {
            let all = change.decisions.iter();
            all.filter(|one| one.decision == decision).count()
        };
        let executed = change.state == "EXECUTED";
        let otherwise = change.ended_at.is_some() && !executed;
        for (operation, times) in [
            ("change.propose", 1),
            ("change.approve", decided("approve")),
            ("change.reject", decided("reject")),
            ("change.execute", usize::from(executed)),
            ("change.end", usize::from(otherwise)),
        ] {
            let told = done.count(operation, &change.institution, &object);
            let told = usize::try_from(told).unwrap_or(usize::MAX);
            let gone = told < times && change.proposed_at < record.gone.prefix.before;
            findings.must(Rule::AuditPairs, told == times || gone, || {
                format!("{operation} of {object} is told {told} times, not {times}")
            });
        }
    }
}

/// Members in the documented order, `v` 1, no white space, the time an integer.
fn is_leaf(event: &Value, leaf: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(leaf) else {
        return false;
    };
    let places = MEMBERS
        .iter()
        .filter_map(|member| text.find(&format!("\"{member}\":")))
        .collect::<Vec<_>>();
    let known = event
        .as_object()
        .is_some_and(|object| object.len() == places.len());
    known
        && places.is_sorted()
        && event["v"] == 1
        && event["time"].is_i64()
        && !text.contains([' ', '\n', '\t'])
}
