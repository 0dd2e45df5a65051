//! The end of keys: what is said to be destroyed was to be, by its custodians or because nothing ever used it; it is told
//! once, it is in no token, and every other key is in its own.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::{
    change::Standing,
    key::{KeyId, KeyState},
};
use serde_json::Value;

use super::{
    Authorities, Findings, MICROS, Rule,
    changes::Key,
    record::{NewKey, Record},
};
use crate::{deployment::Deployment, failure::Failure, token};

/// What the record says of each key's end.
pub(super) fn check(record: &Record, findings: &mut Findings) {
    let mut told: BTreeMap<(String, String), usize> = BTreeMap::new();
    for leaf in &record.audit {
        let event: Value = serde_json::from_slice(leaf).unwrap_or_default();
        let word = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some((operation, key)) = word("operation").zip(word("key"))
            && word("result").as_deref() == Some("DONE")
        {
            let count = told.entry((operation, key)).or_default();
            *count = count.saturating_add(1);
        }
    }
    for key in &record.keys {
        let id = URL_SAFE_NO_PAD.encode(&key.id);
        let times = |operation: &str| {
            let events = told.get(&(operation.to_owned(), id.clone()));
            events.copied().unwrap_or_default()
        };
        for (operation, at) in [
            ("key.destroying", key.destruction_begun_at),
            ("key.destroy", key.destroyed_at),
        ] {
            let gone = times(operation) == 0 && at < Some(record.gone.prefix.before);
            let once = times(operation) == usize::from(at.is_some());
            findings.must(Rule::AuditPairs, once || gone, || {
                format!("{operation} of {id} is told {} times", times(operation))
            });
        }
        let ended = key.state == "destroyed";
        findings.must(
            Rule::Consistent,
            ended == key.destroyed_at.is_some()
                && key.destruction_begun_at <= key.destroyed_at.or(key.destruction_begun_at),
            || {
                format!(
                    "{id} is {} and was destroyed at {:?}",
                    key.state, key.destroyed_at
                )
            },
        );
    }
}

/// Each end of a key that has begun, against its institution's history.
pub(super) fn check_ends(record: &Record, standing: &Standing, findings: &mut Findings) {
    let institution = standing.institution().as_str();
    let keys = record.keys.iter();
    for key in keys.filter(|key| key.institution == institution) {
        findings.must(Rule::Approved, is_approved(record, standing, key), || {
            format!("nobody had {key:?} destroyed")
        });
    }
}

/// Whether the end of a key was begun because its institution's history says so, or because it was made and never taken up.
fn is_approved(record: &Record, standing: &Standing, key: &Key) -> bool {
    let Some(begun_at) = key.destruction_begun_at else {
        return true;
    };
    let id = <[u8; 32]>::try_from(key.id.as_slice()).map(KeyId::new);
    let life = id.ok().and_then(|id| standing.key(id));
    let at = u64::try_from(begun_at / MICROS).unwrap_or_default();
    match life {
        Some(life) => life.state(at) == KeyState::Destroyed,
        None => made(record, key).is_some(),
    }
}

/// The request that a key was made for.
fn made<'a>(record: &'a Record, key: &Key) -> Option<&'a NewKey> {
    let mut new = record.new_keys.iter();
    new.find(|new| new.key.as_ref() == Some(&key.id))
}

/// The tokens against the record.
///
/// # Errors
/// A token cannot be read.
pub(super) fn check_tokens(
    record: &Record,
    authorities: &Authorities,
    deployment: &Deployment,
    findings: &mut Findings,
) -> Result<(), Failure> {
    for institution in deployment.institutions()? {
        let institution = institution.as_str();
        let labels = token::labels(deployment, institution)?;
        let keys = record.keys.iter();
        for key in keys.filter(|key| key.institution == institution) {
            let mut halves = 0;
            for label in &labels {
                halves += token::public_objects_with(deployment, label, &key.id)?;
            }
            let id = URL_SAFE_NO_PAD.encode(&key.id);
            if key.destroyed_at.is_some() {
                findings.must(Rule::Approved, halves == 0, || {
                    format!("{id} is destroyed, and in a token of {institution}")
                });
            }
            // One that was never named has no such id, and one that was made elsewhere is another's matter.
            let first = authorities.keys.contains_key(&key.id);
            let named = made(record, key).map_or(first, |new| new.operation.is_some());
            if key.destruction_begun_at.is_none() && named {
                findings.must(Rule::Approved, halves > 0, || {
                    format!("{id} is in no token of {institution}, and nobody had it destroyed")
                });
            }
        }
    }
    Ok(())
}
