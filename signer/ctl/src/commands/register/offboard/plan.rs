//! What an institution does that leaves, how far it has come, and who does what comes next. Pure.

use std::collections::BTreeMap;

use semops_objects::{
    change::{DESTRUCTION_WINDOW, DocumentKind, KeyLife, KeyOperation, Operation, Standing},
    key::{KeyId, KeyState, Purpose},
};
use semops_proto::v1;

use super::{
    super::steps::{Seen, Step, moment},
    callers::Calling,
    folder::Folder,
};
use crate::custody::review::Review;

const ONE: &str = "a custodian";
const OTHER: &str = "another custodian";
const ITSELF: &str = "by itself";
/// Seven days, and the three that a proposal may wait for approvals, and an hour.
const AHEAD: &str = "+241h";

/// What the plan is made of.
pub(super) struct Facts<'a> {
    pub(super) standing: &'a Standing,
    pub(super) pending: &'a [Review],
    pub(super) shown: &'a [v1::Key],
    /// Valid certificates of devices that are not revoked.
    pub(super) devices: &'a [Device],
    /// Whether these are all: while a CA issues, what it signed in the last seconds is not listed yet.
    pub(super) listed: bool,
    pub(super) calling: &'a Calling,
    /// What is saved once the keys sign no more, and once they are destroyed; nothing where no folder is named.
    pub(super) evidence: Option<[Folder; 2]>,
    pub(super) now: u64,
}

/// A device with a certificate that is valid and not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) id: String,
    pub(super) issuer: KeyId,
    /// Unix seconds.
    pub(super) until: u64,
}

/// A key, by the history and by the service.
struct Key<'a> {
    id: KeyId,
    purpose: String,
    /// Nothing of one that no change has taken up.
    life: Option<&'a KeyLife>,
    destroyed: bool,
}

impl Key<'_> {
    fn state(&self, now: u64) -> KeyState {
        match self.life {
            _ if self.destroyed => KeyState::Destroyed,
            Some(life) => life.state(now),
            None => KeyState::PreActivation,
        }
    }

    /// Whether it signs, or will by itself, or is not even given up.
    fn lives(&self, now: u64) -> bool {
        match self.state(now) {
            KeyState::Active | KeyState::Suspended => true,
            KeyState::PreActivation => self.life.is_none_or(|life| life.activates_at().is_some()),
            KeyState::Deactivated | KeyState::Compromised | KeyState::Destroyed => false,
        }
    }

    fn named(&self) -> String {
        let id = self.id.to_string();
        format!("{} key {}", self.purpose, id.get(..8).unwrap_or(&id))
    }

    fn is_of(&self, purpose: Purpose) -> bool {
        self.purpose == purpose.name()
    }

    /// What is planned first, then what signs for others to rely on, then the CAs, of which the signing CA is last.
    fn place(&self, now: u64) -> (bool, bool, bool) {
        let planned = self.state(now) == KeyState::PreActivation;
        (
            !planned,
            self.is_of(Purpose::DeviceCa) || self.is_of(Purpose::SigningCa),
            self.is_of(Purpose::SigningCa),
        )
    }
}

/// The steps, in their order.
pub(super) fn steps(facts: &Facts<'_>) -> Vec<Step> {
    let keys = keys(facts);
    // Nobody is enrolled any more before devices are counted: whoever enrols can revoke until none is left.
    let (cas, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.is_of(Purpose::DeviceCa));
    let mut steps: Vec<Step> = cas.iter().map(|key| stopped(facts, key)).collect();
    steps.extend([devices(facts), callers(facts)]);
    steps.extend(others.iter().map(|key| stopped(facts, key)));
    let [before, after] = evidence(facts);
    steps.push(before);
    let scheduled = keys.iter().filter(|key| key.life.is_some());
    steps.extend(scheduled.clone().map(|key| scheduling(facts, &keys, key)));
    steps.extend(scheduled.map(|key| destroyed(facts, key)));
    steps.push(after);
    steps
}

/// Whether no key signs any more but the CAs their CRLs, and whether none is left.
pub(super) fn reached(facts: &Facts<'_>) -> [bool; 2] {
    let keys = keys(facts);
    let revoked = facts.listed && facts.devices.is_empty() && facts.calling.ids.is_empty();
    [
        revoked && !keys.iter().any(|key| key.lives(facts.now)),
        revoked && keys.iter().all(|key| key.destroyed),
    ]
}

/// Each key that ever stood, and those that the service has besides.
fn keys<'a>(facts: &Facts<'a>) -> Vec<Key<'a>> {
    let shown = facts.shown.iter().filter_map(|key| {
        let purpose = key.purpose().as_str_name();
        let purpose = purpose.trim_start_matches("KEY_PURPOSE_");
        let named = purpose.to_ascii_lowercase().replace('_', "-");
        let destroyed = key.state() == v1::KeyState::Destroyed;
        let id: KeyId = key.key_id.parse().ok()?;
        Some((id, (named, destroyed)))
    });
    let shown: BTreeMap<KeyId, (String, bool)> = shown.collect();
    let stood = facts.standing.keys().map(|(id, life)| Key {
        id,
        purpose: life.purpose().name().to_owned(),
        life: Some(life),
        destroyed: shown.get(&id).is_some_and(|(_, destroyed)| *destroyed),
    });
    let besides = shown
        .iter()
        .filter(|(id, (_, destroyed))| !destroyed && facts.standing.key(**id).is_none());
    let besides = besides.map(|(id, (purpose, _))| Key {
        id: *id,
        purpose: purpose.clone(),
        life: None,
        destroyed: false,
    });
    let mut all: Vec<Key<'_>> = stood.chain(besides).collect();
    all.sort_by_key(|key| key.place(facts.now));
    all
}

fn devices(facts: &Facts<'_>) -> Step {
    let left = facts.devices.len();
    let revoke = |device: &Device| {
        format!(
            "semopsctl revoke --device {} --reason cessation-of-operation",
            device.id
        )
    };
    let detail = match (left, facts.calling.enrols()) {
        (0, _) if facts.listed => None,
        (0, _) => Some("what a CA signed last is not listed yet: again in a minute".to_owned()),
        (_, true) => Some(format!("{left} certificates are valid and not revoked")),
        (_, false) => Some(format!(
            "{left} certificates are valid and not revoked, and nobody may revoke them: a caller in the role enrolment is \
             put back first (semopsctl change propose callers)"
        )),
    };
    Step::new("devices are revoked", Seen::is(facts.listed && left == 0))
        .by(
            "whoever enrols (role enrolment)",
            facts.devices.iter().map(revoke).collect(),
        )
        .detail(detail)
}

fn callers(facts: &Facts<'_>) -> Step {
    let calling = facts.calling;
    let is_register = |operation: &Operation| matches!(operation, Operation::Document(name) if name.kind == DocumentKind::Callers);
    let file = format!("callers-{}.toml", calling.version);
    let step = Step::new(
        "nobody pays or enrols any more",
        Seen::is(calling.ids.is_empty()),
    );
    let many = calling.ids.len();
    let step = step.detail((many > 0).then(|| format!("{many} callers are active in these roles")));
    match waiting(facts, is_register) {
        Some(command) => step.by(OTHER, vec![command]),
        None => step.by(
            ONE,
            vec![
                format!("semopsctl register offboard --callers {file}"),
                format!("semopsctl change propose callers {file} --approval-key FILE"),
            ],
        ),
    }
}

/// A key that signs no more.
fn stopped(facts: &Facts<'_>, key: &Key<'_>) -> Step {
    let (id, now) = (key.id, facts.now);
    let lives = key.lives(now);
    let step = Step::new(format!("{} signs no more", key.named()), Seen::is(!lives));
    if key.life.is_none() {
        return step.by(ONE, vec![format!("semopsctl keys discard {id}")]);
    }
    let (operation, words) = if key.state(now) == KeyState::PreActivation {
        let operation = Operation::CallOffRotation { to: id };
        (operation, "call-off-rotation")
    } else {
        let operation = KeyOperation::Deactivate;
        (Operation::Key { operation, key: id }, "deactivate-key")
    };
    match waiting(facts, |one| *one == operation) {
        Some(command) => step.by(OTHER, vec![command]),
        None => step.by(
            ONE,
            vec![format!(
                "semopsctl change propose {words} {id} --approval-key FILE"
            )],
        ),
    }
}

/// A key whose destruction is approved.
fn scheduling(facts: &Facts<'_>, keys: &[Key<'_>], key: &Key<'_>) -> Step {
    let id = key.id;
    let planned = key.life.and_then(KeyLife::destruction_at);
    let done = planned.is_some() || key.destroyed;
    let earliest = earliest(facts, key);
    let step = Step::new(
        format!("the end of {} is approved", key.named()),
        Seen::is(done),
    )
    .at(if done { planned } else { Some(earliest) })
    .detail(needed(facts, keys, key).filter(|_| !done));
    let ends = |operation: &Operation| matches!(operation, Operation::Key { operation: KeyOperation::ScheduleDestruction { .. }, key } if *key == id);
    match waiting(facts, ends) {
        Some(command) => step.by(OTHER, vec![command]),
        None => step.by(
            ONE,
            vec![format!(
                "semopsctl change propose schedule-destruction {id} --at {AHEAD} --approval-key FILE"
            )],
        ),
    }
}

/// The earliest time of its destruction, as things stand.
fn earliest(facts: &Facts<'_>, key: &Key<'_>) -> u64 {
    let certified = facts.devices.iter().filter(|one| one.issuer == key.id);
    let last = certified.map(|device| device.until.saturating_add(1)).max();
    let window = facts.now.saturating_add(DESTRUCTION_WINDOW);
    window.max(last.unwrap_or_default())
}

/// What `KEY_NEEDED` waits for: nothing that a CA has issued may outlive its key.
fn needed(facts: &Facts<'_>, keys: &[Key<'_>], key: &Key<'_>) -> Option<String> {
    if key.is_of(Purpose::SigningCa) {
        let signs = |one: &&Key<'_>| one.is_of(Purpose::Authorization) && one.lives(facts.now);
        let signs = keys.iter().find(signs)?;
        return Some(format!("KEY_NEEDED until {} signs no more", signs.named()));
    }
    let certified = facts.devices.iter().filter(|one| one.issuer == key.id);
    let last = certified.clone().map(|device| device.until).max()?;
    Some(format!(
        "KEY_NEEDED until {} certificates are revoked, or the last has ended, {}",
        certified.count(),
        moment(last)
    ))
}

fn destroyed(facts: &Facts<'_>, key: &Key<'_>) -> Step {
    let planned = key.life.and_then(KeyLife::destruction_at);
    let due = planned.is_some_and(|at| at <= facts.now) && !key.destroyed;
    Step::new(
        format!("{} is destroyed", key.named()),
        Seen::is(key.destroyed),
    )
    .at(planned)
    .by(ITSELF, Vec::new())
    .detail(due.then(|| {
        "its time has come, and the token has not done it yet: the operator looks at the alert KeyDestructionDue".to_owned()
    }))
}

fn evidence(facts: &Facts<'_>) -> [Step; 2] {
    let whats = [
        "the evidence is saved",
        "the evidence of the keys' end is saved",
    ];
    let [before, after] = match &facts.evidence {
        Some([before, after]) => [Some(before), Some(after)],
        None => [None, None],
    };
    // What was saved at the end has all that was saved before.
    let first = before
        .filter(|folder| **folder != Folder::Missing)
        .or(after);
    [(whats[0], first), (whats[1], after)].map(|(what, folder)| {
        let saved = folder.is_some_and(Folder::is_whole);
        let detail = folder.and_then(Folder::detail);
        let name = match folder {
            Some(Folder::Damaged(_)) => "ANOTHER",
            _ => "DIR",
        };
        let command = format!("semopsctl register offboard --evidence {name}");
        Step::new(what, Seen::is(saved))
            .by("a custodian or an auditor", vec![command])
            .detail(detail)
    })
}

/// How another custodian approves what waits.
fn waiting(facts: &Facts<'_>, wanted: impl Fn(&Operation) -> bool) -> Option<String> {
    let mut open = facts.pending.iter().filter(|review| review.is_open());
    let found = open.find(|review| wanted(review.told.proposal.operation()))?;
    let id = found.told.id();
    Some(format!("semopsctl change approve {id} --approval-key FILE"))
}

#[cfg(test)]
mod tests;
