//! Owns `begin`: all locks of the group, then its decisions in waves. No two operations of a wave can see each other, so a
//! wave is read, decided and recorded as one; what one wave wrote the next one reads. A group of different devices is one
//! wave, with a number of statements that does not depend on how many there are.

use std::collections::HashMap;

use crate::{
    clock::Timestamp,
    domain::{
        audit::{Event, Resulted},
        device::DeviceId,
        key::KeyId,
        operation::{CertificateRecord, IntentId, Operation, Subject},
        outcome::Ending,
    },
    store::{
        Begun, Completion, Intent, Refusal, StoreError,
        decision::{Rules, Step, Uses, begun, replaced},
        postgres::{
            audit, complete,
            error::Failure,
            facts::{self, Facts},
            locks, reads, record,
            session::Session,
        },
    },
};

pub(super) const IDS: &str = "SELECT nextval('operation_id') FROM generate_series(1, $1::bigint)";

pub(super) async fn begin(
    session: &Session,
    operations: &[Operation],
    now: Timestamp,
) -> Result<Vec<Begun>, Failure> {
    session.in_time()?;
    locks::group(session, operations).await?;
    let rules = reads::rules(session).await?;
    let mut answers = HashMap::with_capacity(operations.len());
    for wave in waves(operations) {
        let facts = facts::of(session, &wave, now).await?;
        let uses = facts::uses(session, &wave).await?;
        let decided = decide(wave, facts, uses, rules, now);
        answers.extend(write(session, decided, now).await?);
    }
    let answer = |at| answers.remove(&at).ok_or_else(unanswered);
    let answers: Result<Vec<Begun>, StoreError> = (0..operations.len()).map(answer).collect();
    Ok(answers?)
}

fn unanswered() -> StoreError {
    StoreError::Violated("an operation was given no answer".to_owned())
}

/// An operation and its place in the group.
pub(super) type Placed<'a> = (usize, &'a Operation);

/// What two operations of one wave must not have in common.
#[derive(PartialEq, Eq, Hash)]
enum Mark<'a> {
    Device(DeviceId),
    Request(&'a str, [u8; 32]),
    Subscriber(&'a str, &'a str),
    PublicKey([u8; 32]),
    Issuer(KeyId),
    New(KeyId),
}

/// The group in waves, in which those that have a mark in common keep their order.
fn waves(operations: &[Operation]) -> Vec<Vec<Placed<'_>>> {
    let mut waves: Vec<Vec<Placed<'_>>> = Vec::new();
    let mut free: HashMap<Mark<'_>, usize> = HashMap::new();
    for (place, operation) in operations.iter().enumerate() {
        let marks = marks(operation);
        let seen = marks.iter().filter_map(|mark| free.get(mark));
        let wave = seen.max().copied().unwrap_or(0);
        free.extend(marks.into_iter().map(|mark| (mark, wave + 1)));
        match waves.get_mut(wave) {
            Some(wave) => wave.push((place, operation)),
            None => waves.push(vec![(place, operation)]),
        }
    }
    waves
}

fn marks(operation: &Operation) -> Vec<Mark<'_>> {
    let institution = operation.institution.as_str();
    match &operation.subject {
        Subject::Authorization(order) => vec![Mark::Device(order.device)],
        Subject::DeviceCertificate(device) => vec![
            Mark::Request(institution, device.request),
            Mark::Subscriber(institution, device.subscriber.as_str()),
            Mark::PublicKey(device.public_key),
        ],
        Subject::Reissue(device) => vec![Mark::Device(device.device)],
        Subject::Crl(_) => vec![Mark::Issuer(operation.key)],
        Subject::AuthorizationCertificate(CertificateRecord { key, .. })
        | Subject::KeyCertificate(CertificateRecord { key, .. })
        | Subject::CertificationRequest(key) => vec![Mark::New(*key)],
    }
}

/// What a wave comes to.
#[derive(Default)]
struct Decided<'a> {
    answered: Vec<(usize, Begun)>,
    conflicts: Vec<(usize, Event)>,
    denied: Vec<(usize, Completion)>,
    replaced: Vec<(usize, &'a Operation, Intent)>,
    admitted: Vec<Placed<'a>>,
}

fn decide<'a>(
    wave: Vec<Placed<'a>>,
    facts: HashMap<usize, Facts>,
    mut uses: Uses,
    rules: Rules,
    now: Timestamp,
) -> Decided<'a> {
    let (mut decided, mut facts) = (Decided::default(), facts);
    for (place, operation) in wave {
        let facts = facts.remove(&place).unwrap_or_default();
        match Step::of(operation, facts.earlier, rules, now) {
            Step::Answer(begun) => decided.answered.push((place, begun)),
            Step::Conflict(event) => decided.conflicts.push((place, *event)),
            Step::Resume(intent) => match facts.refusal {
                None => decided.answered.push((place, Begun::Resumed(intent))),
                Some(refusal) => {
                    let denial = denial(operation, intent.id, refusal);
                    decided.denied.push((place, denial));
                }
            },
            Step::Replace(intent) => {
                let refused = facts.refusal.or_else(|| uses.one_more(operation).err());
                match refused {
                    None => decided.replaced.push((place, operation, intent)),
                    Some(refusal) => decided.answered.push((place, Begun::Refused(refusal))),
                }
            }
            Step::Admit => match facts.refusal.map(Begun::Refused).or(facts.stop) {
                Some(stop) => decided.answered.push((place, stop)),
                None => match uses.one_more(operation) {
                    Ok(()) => decided.admitted.push((place, operation)),
                    Err(refusal) => decided.answered.push((place, Begun::Refused(refusal))),
                },
            },
        }
    }
    decided
}

fn denial(operation: &Operation, intent: IntentId, refusal: Refusal) -> Completion {
    Completion {
        intent,
        origin: operation.origin.clone(),
        ending: Ending::Denied(refusal.reason()),
    }
}

async fn write(
    session: &Session,
    decided: Decided<'_>,
    now: Timestamp,
) -> Result<Vec<(usize, Begun)>, Failure> {
    let mut answers = decided.answered;
    if !decided.denied.is_empty() {
        let (places, denials): (Vec<_>, Vec<_>) = decided.denied.into_iter().unzip();
        let outcomes = complete::complete(session, &denials, now).await?;
        let done = outcomes.into_iter().map(Begun::Done);
        answers.extend(places.into_iter().zip(done));
    }
    let mut events: Vec<Event> = Vec::new();
    for (place, event) in decided.conflicts {
        answers.push((place, Begun::Conflict));
        events.push(event);
    }
    for (place, operation, former) in decided.replaced {
        let intent = record::replace(session, operation, former.id, now).await?;
        if intent.is_some() {
            events.extend(replaced(operation, &former));
        }
        let begun = intent.map_or(Begun::Refused(Refusal::Stale), Begun::Recorded);
        answers.push((place, begun));
    }
    let intents = record::record(session, &decided.admitted, now).await?;
    for ((place, operation), intent) in decided.admitted.into_iter().zip(intents) {
        answers.push((place, Begun::Recorded(intent)));
        events.push(begun(operation, Resulted::Begun));
    }
    audit::append(session, &events, now).await?;
    Ok(answers)
}
