//! An institution leaves, step by step.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use semops_objects::change::Addition;

use super::{
    super::super::steps::{json, next},
    *,
};
use crate::custody::specimen::{World, key_id};

const CALLERS: &str =
    "version = 1\n[[caller]]\nid = \"spiffe://s/alfa/enrolment/ra\"\nstate = \"active\"\n";

/// What the service shows, and who still calls.
struct Shown {
    keys: Vec<v1::Key>,
    devices: Vec<Device>,
    listed: bool,
    calling: Calling,
    evidence: Option<[Folder; 2]>,
}

impl Shown {
    fn facts<'a>(&'a self, standing: &'a Standing, pending: &'a [Review], now: u64) -> Facts<'a> {
        Facts {
            standing,
            pending,
            shown: &self.keys,
            devices: &self.devices,
            listed: self.listed,
            calling: &self.calling,
            evidence: self.evidence.clone(),
            now,
        }
    }

    /// The next step, what is typed for it, and how many are done.
    fn next(&self, world: &World, pending: &[Review], now: u64) -> (String, Vec<String>, usize) {
        let history = world.history();
        let steps = steps(&self.facts(history.standing(), pending, now));
        let done = steps.iter().filter(|step| step.seen == Seen::Done).count();
        let states: Vec<_> = json(&steps)
            .iter()
            .map(|one| one["state"].clone())
            .collect();
        match next(&steps) {
            Some(step) => {
                assert!(states.contains(&"next".into()));
                (step.what.clone(), step.commands.clone(), done)
            }
            None => (String::new(), Vec::new(), done),
        }
    }

    fn reached(&self, world: &World, now: u64) -> [bool; 2] {
        reached(&self.facts(world.history().standing(), &[], now))
    }

    fn destroyed(&mut self, number: u8) {
        let id = key_id(number).to_string();
        let key = self.keys.iter_mut().find(|key| key.key_id == id);
        key.unwrap().state = v1::KeyState::Destroyed.into();
    }
}

fn shown(number: u8, purpose: v1::KeyPurpose) -> v1::Key {
    v1::Key {
        key_id: key_id(number).to_string(),
        purpose: purpose.into(),
        state: v1::KeyState::Active.into(),
        ..v1::Key::default()
    }
}

fn add(world: &mut World, number: u8, purpose: Purpose, after: u64) {
    let proposal = world.proposal(Operation::AddKey(Addition {
        purpose,
        key: key_id(number),
        certificate: [number; 32],
        activate_at: world.now() + after,
    }));
    world.executed(proposal, &[0, 1]);
}

/// With two CAs, a key that is planned and one that nobody has taken up; a phone.
fn leaving() -> (World, Shown) {
    let mut world = World::new();
    add(&mut world, 2, Purpose::DeviceCa, 100);
    add(&mut world, 3, Purpose::SigningCa, 100);
    add(&mut world, 5, Purpose::Authorization, 1_000_000);
    let phone = Device {
        id: "a-phone".to_owned(),
        issuer: key_id(2),
        until: world.now() + 300 * 86_400,
    };
    let purposes = [
        v1::KeyPurpose::Authorization,
        v1::KeyPurpose::DeviceCa,
        v1::KeyPurpose::SigningCa,
        v1::KeyPurpose::Authorization,
        v1::KeyPurpose::Authorization,
    ];
    let keys = (1..).zip(purposes);
    let shown = Shown {
        keys: keys
            .map(|(number, purpose)| shown(number, purpose))
            .collect(),
        devices: vec![phone],
        listed: true,
        calling: Calling::of(CALLERS).unwrap(),
        evidence: Some([Folder::Missing, Folder::Missing]),
    };
    (world, shown)
}

/// Two persons do what the command says.
fn execute(world: &mut World, operation: Operation) {
    let proposal = world.proposal(operation);
    world.executed(proposal, &[0, 1]);
}

/// The next step is that this key signs no more: one proposes, another approves.
fn stops(world: &mut World, shown: &Shown, number: u8) {
    let key = key_id(number);
    let operation = KeyOperation::Deactivate;
    let line = format!("semopsctl change propose deactivate-key {key} --approval-key FILE");
    assert_eq!(shown.next(world, &[], world.now()).1, [line]);
    let proposal = world.proposal(Operation::Key { operation, key });
    let told = world.pending(proposal.clone(), &[0]);
    let review = Review::of(told, &world.history(), world.now()).unwrap();
    let approve = format!(
        "semopsctl change approve {} --approval-key FILE",
        proposal.id()
    );
    assert_eq!(shown.next(world, &[review], world.now()).1, [approve]);
    world.executed(proposal, &[0, 1]);
}

fn whole() -> Folder {
    Folder::Whole {
        files: 7,
        sha256: String::new(),
    }
}

#[test]
fn each_step_has_its_turn_and_its_line() {
    let (mut world, mut shown) = leaving();
    let now = world.now();
    // Nobody is enrolled any more.
    stops(&mut world, &shown, 2);
    let (what, commands, _) = shown.next(&world, &[], now);
    assert_eq!(what, "devices are revoked");
    assert_eq!(
        commands,
        ["semopsctl revoke --device a-phone --reason cessation-of-operation"]
    );
    shown.devices.clear();
    shown.listed = false;
    assert_eq!(shown.next(&world, &[], now).0, "devices are revoked");
    shown.listed = true;
    let (what, commands, _) = shown.next(&world, &[], now);
    assert_eq!(what, "nobody pays or enrols any more");
    assert!(
        commands[0].ends_with("--callers callers-2.toml"),
        "{commands:?}"
    );
    shown.calling = Calling::of(&shown.calling.next).unwrap();

    // What is planned, and what nobody took up, before what it would replace.
    let id = |number| key_id(number).to_string();
    let (_, commands, _) = shown.next(&world, &[], now);
    let called_off = format!("call-off-rotation {}", id(5));
    let discard = format!("semopsctl keys discard {}", id(4));
    assert!(
        commands == [discard.clone()] || commands[0].contains(&called_off),
        "{commands:?}"
    );
    execute(&mut world, Operation::CallOffRotation { to: key_id(5) });
    assert_eq!(shown.next(&world, &[], now).1, [discard]);
    shown.keys.retain(|key| key.key_id != id(4));
    stops(&mut world, &shown, 1);
    assert_eq!(shown.reached(&world, world.now()), [false, false]);
    stops(&mut world, &shown, 3);
    assert_eq!(shown.reached(&world, world.now()), [true, false]);
    let (what, commands, _) = shown.next(&world, &[], world.now());
    assert_eq!(what, "the evidence is saved");
    assert_eq!(commands, ["semopsctl register offboard --evidence DIR"]);
    shown.evidence = Some([whole(), Folder::Missing]);

    for number in [5, 1, 2, 3] {
        let (_, commands, _) = shown.next(&world, &[], world.now());
        let line = format!("schedule-destruction {} --at +241h", id(number));
        assert!(commands[0].contains(&line), "{commands:?}");
        let at = world.now() + 241 * 3_600;
        let operation = KeyOperation::ScheduleDestruction { at };
        let key = key_id(number);
        execute(&mut world, Operation::Key { operation, key });
    }
    let (what, commands, _) = shown.next(&world, &[], world.now());
    assert!(
        what.ends_with("is destroyed") && commands.is_empty(),
        "{what}"
    );
    // The history alone says when it may be, the service that it was.
    let after = world.now() + 300 * 3_600;
    for number in [5, 1, 2, 3] {
        assert_eq!(shown.reached(&world, after), [true, false]);
        assert!(shown.next(&world, &[], after).0.ends_with("is destroyed"));
        shown.destroyed(number);
    }
    assert_eq!(shown.reached(&world, after), [true, true]);
    let (what, _, _) = shown.next(&world, &[], after);
    assert_eq!(what, "the evidence of the keys' end is saved");
    shown.evidence = Some([whole(), whole()]);
    let (what, _, done) = shown.next(&world, &[], after);
    assert_eq!((what.as_str(), done), ("", 2 + 4 + 1 + 4 + 4 + 1));
}

#[test]
fn what_a_ca_waits_for_is_told() {
    let (world, shown) = leaving();
    let history = world.history();
    let now = world.now();
    let steps = steps(&shown.facts(history.standing(), &[], now));
    let end = |purpose: &str| {
        let what = format!("the end of {purpose} key");
        let found = steps.iter().find(|step| step.what.starts_with(&what));
        found.unwrap().clone()
    };
    let [ca, signing, key] = ["device-ca", "signing-ca", "authorization"].map(end);
    assert_eq!(ca.when, Some(shown.devices[0].until + 1));
    assert!(
        ca.detail
            .unwrap()
            .contains("KEY_NEEDED until 1 certificates are revoked")
    );
    assert_eq!(signing.when, Some(now + DESTRUCTION_WINDOW));
    assert!(
        signing
            .detail
            .unwrap()
            .contains("KEY_NEEDED until authorization key")
    );
    assert_eq!(
        (key.when, key.detail),
        (Some(now + DESTRUCTION_WINDOW), None)
    );
}

#[test]
fn evidence_that_changed_is_not_saved() {
    let (world, mut shown) = leaving();
    shown.evidence = None;
    let history = world.history();
    let saved = |shown: &Shown| {
        let steps = steps(&shown.facts(history.standing(), &[], world.now()));
        let saved = steps.iter().filter(|step| step.what.ends_with("saved"));
        saved.cloned().collect::<Vec<_>>()
    };
    assert!(saved(&shown).iter().all(|step| step.seen == Seen::Open));
    let damaged = Folder::Damaged(vec!["keys/x/crl.der".to_owned()]);
    shown.evidence = Some([damaged, whole()]);
    let [before, after] = <[Step; 2]>::try_from(saved(&shown)).unwrap();
    assert_eq!((before.seen, after.seen), (Seen::Open, Seen::Done));
    assert!(before.detail.unwrap().contains("keys/x/crl.der"));
    assert!(before.commands[0].ends_with("--evidence ANOTHER"));
    // What was saved at the end is all that there is.
    shown.evidence = Some([Folder::Missing, whole()]);
    assert!(saved(&shown).iter().all(|step| step.seen == Seen::Done));
}

#[test]
fn with_nobody_left_who_enrols_a_device_says_so() {
    let (world, mut shown) = leaving();
    shown.calling = Calling::of(&shown.calling.next).unwrap();
    let history = world.history();
    let steps = steps(&shown.facts(history.standing(), &[], world.now()));
    let devices = steps.iter().find(|step| step.what == "devices are revoked");
    let detail = devices.unwrap().detail.clone().unwrap();
    assert!(
        detail.contains("a caller in the role enrolment is"),
        "{detail}"
    );
}
