//! Where a rotation stands by the verified history, and what there is to do. Pure.

use semops_objects::{
    change::{KeyLife, Operation, Rotation, Standing},
    key::{KeyId, KeyState, Purpose},
};
use semops_proto::v1;

use crate::custody::review::{Outcome, Review};

/// For how long an authorization may be accepted at most, after it was made.
const ACCEPTED: u64 = 600;

/// Where a rotation stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whose it is.
    pub(super) purpose: Purpose,
    /// The key that signs now.
    pub(super) signing: Option<KeyId>,
    /// The key that comes next.
    pub(super) next: Option<KeyId>,
    /// What there is to do, in order.
    pub(super) steps: [Step; 7],
    /// What those who verify have to see to; nothing where they need not do anything, or nobody has said when.
    pub(super) verifiers: Option<Verifiers>,
}

/// What verifiers must have, Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verifiers {
    /// By when the new key's certificate.
    pub(super) new_by: u64,
    /// Until when the old one's, beside it: no authorization by the old key counts any more then.
    pub(super) old_until: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) done: bool,
    /// Unix seconds.
    pub(super) when: Option<u64>,
    pub(super) who: String,
}

/// The rotation that is looked at, and how far its change has come.
enum Stage<'a> {
    /// No next key.
    None,
    /// A key was made that no change names.
    Made(KeyId),
    /// A change that waits.
    Proposed(&'a Review, &'a Rotation),
    /// Executed: the next key has these times.
    Approved(KeyId, &'a KeyLife),
}

impl Stage<'_> {
    fn next(&self) -> Option<KeyId> {
        match self {
            Self::None => None,
            Self::Made(key) | Self::Approved(key, _) => Some(*key),
            Self::Proposed(_, rotation) => Some(rotation.to),
        }
    }

    /// What verifiers have to see to: nothing of CAs, which are verified by their root, nor where the certificate comes with
    /// what is verified.
    fn verifiers(&self, purpose: Purpose, standing: &Standing) -> Option<Verifiers> {
        let (activate, retire) = self.times(standing);
        match purpose {
            Purpose::DeviceCa
            | Purpose::SigningCa
            | Purpose::Ocsp
            | Purpose::Audit
            | Purpose::Statement => None,
            Purpose::Authorization => Some(Verifiers {
                new_by: activate?,
                old_until: retire?.saturating_add(ACCEPTED),
            }),
        }
    }

    /// When the next key begins to sign, and the one before it ends.
    fn times(&self, standing: &Standing) -> (Option<u64>, Option<u64>) {
        match self {
            Self::None | Self::Made(_) => (None, None),
            Self::Proposed(_, rotation) => (Some(rotation.activate_at), Some(rotation.retire_at)),
            Self::Approved(key, life) => (
                life.activates_at(),
                retirement(life.purpose(), standing, *key),
            ),
        }
    }
}

impl Plan {
    /// By what stands, what waits and which keys the service shows.
    pub(super) fn of(
        purpose: Purpose,
        standing: &Standing,
        pending: &[Review],
        shown: &[v1::Key],
        now: u64,
    ) -> Self {
        let stage = stage(purpose, standing, pending, shown, now);
        Self {
            purpose,
            signing: standing.active_at(purpose, now).first().copied(),
            next: stage.next(),
            steps: steps(purpose, &stage, standing, now),
            verifiers: stage.verifiers(purpose, standing),
        }
    }

    /// Of each step; the first that is not done is the next one.
    pub(super) fn states(&self) -> Vec<&'static str> {
        let done = self.steps.iter().take_while(|step| step.done).count();
        let state = |(place, step): (usize, &Step)| match (step.done, place == done) {
            (true, _) => "done",
            (false, true) => "next",
            (false, false) => "later",
        };
        self.steps.iter().enumerate().map(state).collect()
    }
}

fn steps(purpose: Purpose, stage: &Stage<'_>, standing: &Standing, now: u64) -> [Step; 7] {
    let (activate, retire) = stage.times(standing);
    let approved = matches!(stage, Stage::Approved(..));
    let proposed = approved || matches!(stage, Stage::Proposed(..));
    let passed = |at: Option<u64>| approved && at.is_some_and(|at| at <= now);
    let step = |what, done, when, who: String| Step {
        what,
        done,
        when,
        who,
    };
    let [create, propose] = who_proposes(purpose, standing);
    let (by_itself, begun) = ("by itself".to_owned(), passed(activate));
    let over = stage
        .verifiers(purpose, standing)
        .map(|verifiers| verifiers.old_until);
    [
        step("the next key is made", stage.next().is_some(), None, create),
        step("proposed", proposed, None, propose),
        step("approved", approved, None, who_approves(stage)),
        step(
            "verifiers have its certificate",
            begun,
            activate,
            verifiers(purpose, standing),
        ),
        step("it signs", begun, activate, by_itself.clone()),
        step(
            "the old one signs no more",
            passed(retire),
            retire,
            by_itself,
        ),
        step(
            "verifiers need the old certificate no more",
            false,
            over,
            dropping(purpose, standing),
        ),
    ]
}

/// The rotation that has come farthest and is not over.
fn stage<'a>(
    purpose: Purpose,
    standing: &'a Standing,
    pending: &'a [Review],
    shown: &[v1::Key],
    now: u64,
) -> Stage<'a> {
    let until = |end: u64| {
        move |(key, life): &(KeyId, &KeyLife)| {
            let ahead = life.activates_at().is_some_and(|at| now < at);
            let retired = retirement(purpose, standing, *key);
            let ending = retired.is_some_and(|at| now < at.saturating_add(end));
            life.purpose() == purpose && life.activates_at().is_some() && (ahead || ending)
        }
    };
    if let Some((key, life)) = standing.keys().find(until(0)) {
        return Stage::Approved(key, life);
    }
    for review in pending {
        if let (Outcome::Pending { .. }, Operation::RotateKey(rotation)) =
            (review.outcome, review.told.proposal.operation())
            && standing
                .key(rotation.from)
                .is_some_and(|life| life.purpose() == purpose)
        {
            return Stage::Proposed(review, rotation);
        }
    }
    let made = shown.iter().filter(|key| of(purpose) == key.purpose());
    let made = made.filter_map(|key| key.key_id.parse::<KeyId>().ok());
    let waits = |key: &KeyId| {
        let life = standing.key(*key);
        life.is_none_or(|life| {
            life.activates_at().is_none() && life.state(now) == KeyState::PreActivation
        })
    };
    if let Some(key) = made.into_iter().find(waits) {
        return Stage::Made(key);
    }
    // What the old key signed last may count still.
    let lingers = purpose == Purpose::Authorization;
    let last = standing.keys().find(until(ACCEPTED)).filter(|_| lingers);
    last.map_or(Stage::None, |(key, life)| Stage::Approved(key, life))
}

/// When the key that `key` follows signs no more.
fn retirement(purpose: Purpose, standing: &Standing, key: KeyId) -> Option<u64> {
    let others = standing.keys().filter(|(other, _)| *other != key);
    let others = others.filter(|(_, life)| life.purpose() == purpose);
    others.filter_map(|(_, life)| life.retires_at()).max()
}

fn of(purpose: Purpose) -> v1::KeyPurpose {
    match purpose {
        Purpose::DeviceCa => v1::KeyPurpose::DeviceCa,
        Purpose::SigningCa => v1::KeyPurpose::SigningCa,
        Purpose::Authorization => v1::KeyPurpose::Authorization,
        Purpose::Ocsp => v1::KeyPurpose::Ocsp,
        Purpose::Audit => v1::KeyPurpose::Audit,
        Purpose::Statement => v1::KeyPurpose::Statement,
    }
}

/// Who makes the next key, and who proposes the change: the first key of a purpose follows none.
fn who_proposes(purpose: Purpose, standing: &Standing) -> [String; 2] {
    let name = purpose.name();
    let mut lives = standing.keys().map(|(_, life)| life.purpose());
    let change = if lives.any(|one| one == purpose) {
        format!("rotate-key {name} --certificate FILE --activate-at TIME --retire-at TIME")
    } else {
        format!("add-key {name} --certificate FILE --activate-at TIME")
    };
    [
        format!("keys create --purpose {name}"),
        format!("change propose {change}"),
    ]
    .map(|command| format!("a custodian: semopsctl {command}"))
}

fn who_approves(stage: &Stage<'_>) -> String {
    let id = match stage {
        Stage::Proposed(review, _) => review.told.id().to_string(),
        _ => "ID".to_owned(),
    };
    format!("another custodian: semopsctl change approve {id} --approval-key FILE")
}

fn verifiers(purpose: Purpose, standing: &Standing) -> String {
    let of = standing.institution();
    match purpose {
        Purpose::Authorization => format!(
            "custodians of every institution that trusts {of}, with what --certificate FILE saves: semopsctl trust next --of {of} \
             --add FILE --out TRUST, and have TRUST approved"
        ),
        Purpose::DeviceCa => {
            "nobody but those who pin CAs: it chains to the same root; its CRL is published from then on"
                .to_owned()
        }
        Purpose::SigningCa => format!(
            "nobody yet, for it chains to the same root; with the next authorization key those who trust {of} add it too \
             (semopsctl trust next --crl)"
        ),
        Purpose::Ocsp | Purpose::Audit | Purpose::Statement => {
            "nobody: its certificate goes with what it signs, and chains to the same root".to_owned()
        }
    }
}

fn dropping(purpose: Purpose, standing: &Standing) -> String {
    let of = standing.institution();
    match purpose {
        Purpose::Authorization => format!(
            "custodians of every institution that trusts {of}, when they like: semopsctl trust next --of {of} --retire KEY --out TRUST"
        ),
        Purpose::DeviceCa | Purpose::SigningCa => {
            "nobody: the old key signs the CRLs of what it issued until its own certificate ends"
                .to_owned()
        }
        Purpose::Ocsp | Purpose::Audit | Purpose::Statement => {
            "nobody: what the old key signed has its certificate with it".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::custody::specimen::{World, key_id};

    const PURPOSE: Purpose = Purpose::Authorization;

    fn plan(world: &World, pending: &[Review], made: &[u8], now: u64) -> Plan {
        let shown: Vec<v1::Key> = made
            .iter()
            .map(|number| v1::Key {
                key_id: key_id(*number).to_string(),
                purpose: v1::KeyPurpose::Authorization.into(),
                ..v1::Key::default()
            })
            .collect();
        Plan::of(PURPOSE, world.history().standing(), pending, &shown, now)
    }

    /// How many steps are done before the next one.
    fn done(plan: &Plan) -> usize {
        let states = plan.states();
        let done = states.iter().filter(|state| **state == "done").count();
        assert_eq!(states[done], "next");
        assert!(
            states[done + 1..].iter().all(|state| *state == "later"),
            "{states:?}"
        );
        done
    }

    #[test]
    fn the_plan_goes_on_step_by_step() {
        let mut world = World::new();
        let now = world.now();
        // The key in use is no next one.
        assert_eq!(done(&plan(&world, &[], &[1], now)), 0);
        let first = Plan::of(Purpose::Ocsp, world.history().standing(), &[], &[], now);
        assert_eq!((first.signing, first.verifiers), (None, None));
        assert!(first.steps[1].who.contains("propose add-key ocsp "));
        let made = plan(&world, &[], &[1, 2], now);
        assert_eq!(
            (done(&made), made.next, made.signing),
            (1, Some(key_id(2)), Some(key_id(1)))
        );

        let (activate_at, retire_at) = (now + 10_000, now + 20_000);
        let proposal = world.proposal(Operation::RotateKey(Rotation {
            from: key_id(1),
            to: key_id(2),
            certificate: [9; 32],
            activate_at,
            retire_at,
        }));
        let told = world.pending(proposal.clone(), &[0]);
        let review = Review::of(told, &world.history(), now).unwrap();
        let proposed = plan(&world, &[review], &[1, 2], now);
        assert_eq!(done(&proposed), 2);
        assert!(proposed.steps[2].who.contains(&proposal.id().to_string()));

        world.executed(proposal, &[0, 1]);
        let approved = plan(&world, &[], &[1, 2], activate_at - 1);
        assert_eq!((done(&approved), approved.signing), (3, Some(key_id(1))));
        assert_eq!(approved.steps[3].when, Some(activate_at));
        let signing = plan(&world, &[], &[1, 2], activate_at);
        assert_eq!((done(&signing), signing.signing), (5, Some(key_id(2))));
        assert_eq!(signing.steps[5].when, Some(retire_at));
        let retired = plan(&world, &[], &[1, 2], retire_at);
        assert_eq!((done(&retired), retired.next), (6, Some(key_id(2))));
        assert_eq!(retired.steps[6].when, Some(retire_at + 600));
        let needed = Verifiers {
            new_by: activate_at,
            old_until: retire_at + 600,
        };
        for stage in [&proposed, &approved, &signing, &retired] {
            assert_eq!(stage.verifiers, Some(needed));
        }
        assert_eq!(made.verifiers, None);
        // The next rotation is shown before what is left of this one.
        assert_eq!(
            plan(&world, &[], &[1, 2, 3], retire_at).next,
            Some(key_id(3))
        );
        let over = plan(&world, &[], &[1, 2], retire_at + 600);
        assert_eq!(
            (done(&over), over.next, over.signing),
            (0, None, Some(key_id(2)))
        );
    }
}
