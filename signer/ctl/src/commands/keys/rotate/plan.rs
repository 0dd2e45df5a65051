//! Where a rotation stands by the verified history, and what there is to do. Pure.

use semops_objects::{
    change::{KeyLife, Operation, Rotation, Standing},
    key::{KeyId, KeyState, Purpose},
};
use semops_proto::v1;

use crate::custody::review::{Outcome, Review};

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
    pub(super) steps: [Step; 6],
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

fn steps(purpose: Purpose, stage: &Stage<'_>, standing: &Standing, now: u64) -> [Step; 6] {
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
    let create = format!(
        "a custodian: semopsctl keys create --purpose {}",
        purpose.name()
    );
    let propose = format!(
        "a custodian: semopsctl change propose rotate-key {} --certificate FILE --activate-at TIME --retire-at TIME",
        purpose.name()
    );
    let (by_itself, begun) = ("by itself".to_owned(), passed(activate));
    [
        step("the next key is made", stage.next().is_some(), None, create),
        step("proposed", proposed, None, propose),
        step("approved", approved, None, who_approves(stage)),
        step(
            "verifiers have its certificate",
            begun,
            activate,
            verifiers(purpose),
        ),
        step("it signs", begun, activate, by_itself.clone()),
        step(
            "the old one signs no more",
            passed(retire),
            retire,
            by_itself,
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
    let under_way = |key: KeyId, life: &KeyLife| {
        let ahead = life.activates_at().is_some_and(|at| now < at);
        let retiring = retirement(purpose, standing, key).is_some_and(|at| now < at);
        life.purpose() == purpose && life.activates_at().is_some() && (ahead || retiring)
    };
    if let Some((key, life)) = standing.keys().find(|(key, life)| under_way(*key, life)) {
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
    made.into_iter()
        .find(waits)
        .map_or(Stage::None, Stage::Made)
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
    }
}

fn who_approves(stage: &Stage<'_>) -> String {
    let id = match stage {
        Stage::Proposed(review, _) => review.told.id().to_string(),
        _ => "ID".to_owned(),
    };
    format!("another custodian: semopsctl change approve {id} --approval-key FILE")
}

fn verifiers(purpose: Purpose) -> String {
    match purpose {
        Purpose::Authorization => {
            "custodians of every institution that trusts yours put a trust document in force that holds it (--certificate FILE)"
        }
        Purpose::DeviceCa | Purpose::SigningCa => {
            "nobody but those who pin CAs: it chains to the same root; its CRL is published from then on"
        }
    }
    .to_owned()
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
        let over = plan(&world, &[], &[1, 2], retire_at);
        assert_eq!(
            (done(&over), over.next, over.signing),
            (0, None, Some(key_id(2)))
        );
    }
}
