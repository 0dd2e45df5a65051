//! Owns what a local operator does with changes: a change file is brought in, and an institution's changes are listed.

use std::{fmt::Write as _, path::Path};

use semops_objects::{
    change::{ChangeId, MAX_CHANGE_FILE, Operation, Proposal},
    institution::InstitutionId,
};

use super::{OperatorError, read, say};
use crate::{
    authority::{BroughtIn, Grounds, Rules, bring_change},
    clock::Clock,
    config::{Ceremonies, KeyFiles, Records},
    domain::{
        actor::{Actor, Origin},
        change::{Decision, StoredChange},
    },
    ids::RequestId,
    server::keys,
    store::{ChangeQuery, Store},
};

/// The most changes in one read.
const PAGE: usize = 100;

/// Brings a change file in.
///
/// # Errors
/// It cannot be read, or is not taken; then nothing was executed.
pub(super) async fn load(
    store: &dyn Store,
    records: &Records,
    ceremonies: &Ceremonies,
    file: &Path,
) -> Result<(), OperatorError> {
    let bytes = read(file, MAX_CHANGE_FILE).map_err(|source| OperatorError::File {
        file: file.to_owned(),
        source,
    })?;
    let origin = Origin {
        actor: Actor::Operator(rustix::process::getuid().as_raw()),
        request: RequestId::new(),
    };
    let of = |(id, files): (&InstitutionId, &KeyFiles)| (id.clone(), keys::of(id, files));
    let keys = ceremonies.keys.iter().map(of).collect();
    let rules = Rules {
        scheme: &ceremonies.scheme,
        ceremonies: &ceremonies.ceremonies,
        grounds: Grounds {
            oids: &records.oids,
            roots: &ceremonies.roots,
            keys: &keys,
        },
    };
    let brought = bring_change(store, rules, &bytes, origin, Clock::system()).await;
    let brought = brought.map_err(|source| OperatorError::Change {
        file: file.to_owned(),
        source: Box::new(source),
    })?;
    say(told(&brought).as_bytes())
}

fn told(brought: &BroughtIn) -> String {
    let institution = &brought.institution;
    let effect = if brought.unchanged {
        "was effective already"
    } else {
        "is effective now"
    };
    let mut lines = format!(
        "change {} of {institution}, {}, {effect}\n",
        brought.sequence, brought.operation
    );
    for name in &brought.documents {
        let (kind, version) = (name.kind.name(), name.version);
        // Writing to a String does not fail.
        let _ = writeln!(lines, "{kind} of {institution}, version {version} {effect}");
    }
    lines
}

/// Lists an institution's changes, those recorded last first, as the record has them.
///
/// # Errors
/// The store does not tell them, or the output was closed.
pub(super) async fn list(
    store: &dyn Store,
    institution: &InstitutionId,
) -> Result<(), OperatorError> {
    let mut before: Option<ChangeId> = None;
    loop {
        let query = ChangeQuery {
            state: None,
            before,
            at_most: PAGE,
        };
        let changes = store.changes(institution, query).await?.changes;
        let lines: Vec<String> = changes.iter().map(line).collect();
        say(lines.concat().as_bytes())?;
        let Some(last) = changes.last() else {
            return Ok(());
        };
        before = Some(last.id);
    }
}

fn line(change: &StoredChange) -> String {
    let what = Proposal::parse(&change.bytes);
    let what = what.map_or_else(|_| "unreadable".into(), |p| object(p.operation()));
    let decided = |decision: Decision| {
        let all = change.decisions.iter();
        let persons = all.filter(|one| one.decision == decision);
        let persons: Vec<_> = persons.map(|one| one.person.as_str()).collect();
        persons.join(",")
    };
    let (sequence, id, state) = (change.sequence, change.id, change.state.name());
    let mut line = format!("{sequence} {id} {state} {what}");
    for (word, decision) in [
        (" approved-by ", Decision::Approve),
        (" rejected-by ", Decision::Reject),
    ] {
        let persons = decided(decision);
        if !persons.is_empty() {
            line.push_str(word);
            line.push_str(&persons);
        }
    }
    line.push('\n');
    line
}

/// An operation with what it is done to.
fn object(operation: &Operation) -> String {
    let name = operation.name();
    match operation {
        Operation::Document(document) => {
            format!("{name} {} {}", document.kind.name(), document.version)
        }
        Operation::RecoverCustodians { version, .. } => format!("{name} {version}"),
        Operation::Key { key, .. } => format!("{name} {key}"),
        Operation::RotateKey(rotation) => format!("{name} {} {}", rotation.from, rotation.to),
        Operation::AddKey(addition) => format!("{name} {}", addition.key),
        Operation::CallOffRotation { to } => format!("{name} {to}"),
        Operation::Ceremony { .. } | Operation::Scheme(_) => name.to_owned(),
    }
}
