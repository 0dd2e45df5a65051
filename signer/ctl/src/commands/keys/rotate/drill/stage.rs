//! How far a drill has come by the verified history, and who goes on. Pure.

use semops_objects::{
    change::{ChangeId, KeyOperation, Operation, Standing},
    key::{KeyId, KeyState},
};

use crate::custody::review::Review;

/// What a drill does, in order.
pub(super) const STEPS: [&str; 9] = [
    "a throwaway key is made in the token",
    "it is certified",
    "the rotation to it is proposed",
    "approved",
    "published and checked: calling it off is proposed",
    "called off",
    "its destruction is proposed",
    "approved",
    "it is destroyed",
];

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The key was made, and has no certificate.
    Uncertified,
    /// It has one, and no change names it.
    Certified,
    /// The rotation to it waits for an approval; executed, the key would sign then.
    Proposed { change: ChangeId, activate_at: u64 },
    /// The rotation is approved, and not called off: the key would sign then.
    Planned { activate_at: u64 },
    /// That it is called off waits for an approval.
    CallOffProposed { change: ChangeId, activate_at: u64 },
    /// It is called off.
    CalledOff,
    /// Its destruction waits for an approval.
    EndProposed { change: ChangeId },
    /// It is to be destroyed then.
    Ends { at: u64 },
    /// Its time has come.
    Destroyed,
    /// It signs, or has signed: it is no drill's any more.
    Signs,
}

impl Stage {
    /// By what stands and what waits.
    pub(super) fn of(
        key: KeyId,
        certified: bool,
        standing: &Standing,
        pending: &[Review],
        now: u64,
    ) -> Self {
        let Some(life) = standing.key(key) else {
            let rotation = open(pending, |operation| match operation {
                Operation::RotateKey(rotation) if rotation.to == key => Some(rotation.activate_at),
                _ => None,
            });
            return match rotation {
                Some((change, activate_at)) => Self::Proposed {
                    change,
                    activate_at,
                },
                None if certified => Self::Certified,
                None => Self::Uncertified,
            };
        };
        match (life.state(now), life.activates_at(), life.destruction_at()) {
            (KeyState::Destroyed, ..) => Self::Destroyed,
            (KeyState::PreActivation, None, Some(at)) => Self::Ends { at },
            (KeyState::PreActivation, Some(at), _) => Self::planned(key, pending, at),
            (KeyState::PreActivation, None, None) => Self::called_off(key, pending),
            _ => Self::Signs,
        }
    }

    fn planned(key: KeyId, pending: &[Review], activate_at: u64) -> Self {
        let call_off = open(pending, |operation| match operation {
            Operation::CallOffRotation { to } if *to == key => Some(()),
            _ => None,
        });
        match call_off {
            Some((change, ())) => Self::CallOffProposed {
                change,
                activate_at,
            },
            None => Self::Planned { activate_at },
        }
    }

    fn called_off(key: KeyId, pending: &[Review]) -> Self {
        let end = open(pending, |operation| match operation {
            Operation::Key {
                operation: KeyOperation::ScheduleDestruction { .. },
                key: of,
            } if *of == key => Some(()),
            _ => None,
        });
        end.map_or(Self::CalledOff, |(change, ())| Self::EndProposed { change })
    }

    /// How many steps are done.
    pub(super) fn done(self) -> usize {
        match self {
            Self::Uncertified => 1,
            Self::Certified => 2,
            Self::Proposed { .. } => 3,
            Self::Planned { .. } | Self::Signs => 4,
            Self::CallOffProposed { .. } => 5,
            Self::CalledOff => 6,
            Self::EndProposed { .. } => 7,
            Self::Ends { .. } => 8,
            Self::Destroyed => 9,
        }
    }

    /// When the throwaway key would begin to sign, if nobody went on.
    pub(super) fn would_sign(self) -> Option<u64> {
        match self {
            Self::Proposed { activate_at, .. }
            | Self::Planned { activate_at }
            | Self::CallOffProposed { activate_at, .. } => Some(activate_at),
            _ => None,
        }
    }

    /// Who does what next. `enough` is the time that must be left before the key would sign.
    pub(super) fn who(self, request: &str, enough: u64, now: u64) -> Option<String> {
        let approve = |change: ChangeId| {
            format!(
                "another custodian: semopsctl change approve {change} --approval-key FILE; then this command again"
            )
        };
        let again = "this command again".to_owned();
        Some(match self {
            Self::Uncertified => format!(
                "where the root's key is: softhsm-setup certify DIR {request}; put the certificate beside it as chain.pem, then this command again"
            ),
            // Approved so late, it might not be called off in time.
            Self::Proposed {
                change,
                activate_at,
            } if activate_at < now.saturating_add(enough) => format!(
                "too little time is left before the key would sign: semopsctl change reject {change} --approval-key FILE, then this command again"
            ),
            Self::Proposed { change, .. }
            | Self::CallOffProposed { change, .. }
            | Self::EndProposed { change } => approve(change),
            Self::Certified | Self::Planned { .. } | Self::CalledOff => again,
            Self::Ends { .. } => "nobody: the service destroys it then".to_owned(),
            Self::Destroyed | Self::Signs => return None,
        })
    }
}

/// The first change of which a decision is missing and that is what is wanted.
fn open<T>(pending: &[Review], wanted: impl Fn(&Operation) -> Option<T>) -> Option<(ChangeId, T)> {
    let mut open = pending.iter().filter(|review| review.is_open());
    open.find_map(|review| {
        let proposal = &review.told.proposal;
        wanted(proposal.operation()).map(|found| (proposal.id(), found))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_objects::change::{Proposal, Rotation};

    use super::*;
    use crate::custody::specimen::{World, key_id};

    const WEEK: u64 = 7 * 86_400;

    fn stage(world: &World, pending: &[Review], now: u64) -> Stage {
        Stage::of(key_id(2), true, world.history().standing(), pending, now)
    }

    fn waits(world: &World, proposal: &Proposal) -> Vec<Review> {
        let told = world.pending(proposal.clone(), &[0]);
        vec![Review::of(told, &world.history(), world.now()).unwrap()]
    }

    #[test]
    fn a_drill_goes_on_step_by_step_and_never_ends_in_a_signature() {
        let mut world = World::new();
        let now = world.now();
        let bare = Stage::of(key_id(2), false, world.history().standing(), &[], now);
        assert_eq!(bare, Stage::Uncertified);
        assert_eq!(stage(&world, &[], now), Stage::Certified);

        let activate_at = now + WEEK;
        let rotation = world.proposal(Operation::RotateKey(Rotation {
            from: key_id(1),
            to: key_id(2),
            certificate: [9; 32],
            activate_at,
            retire_at: activate_at,
        }));
        let change = rotation.id();
        let proposed = stage(&world, &waits(&world, &rotation), now);
        assert_eq!(
            proposed,
            Stage::Proposed {
                change,
                activate_at
            }
        );
        let next = |at| proposed.who("request.pem", 3_600, at).unwrap();
        assert!(next(activate_at - 3_600).contains("approve"));
        assert!(next(activate_at - 3_599).contains("reject"));

        world.executed(rotation, &[0, 1]);
        let planned = stage(&world, &[], now);
        assert_eq!(planned, Stage::Planned { activate_at });
        assert_eq!(planned.would_sign(), Some(activate_at));
        assert_eq!(stage(&world, &[], activate_at), Stage::Signs);

        let call_off = world.proposal(Operation::CallOffRotation { to: key_id(2) });
        let change = call_off.id();
        let proposed = stage(&world, &waits(&world, &call_off), now);
        assert_eq!(
            proposed,
            Stage::CallOffProposed {
                change,
                activate_at
            }
        );
        world.executed(call_off, &[0, 1]);
        assert_eq!(stage(&world, &[], now), Stage::CalledOff);
        assert_eq!(stage(&world, &[], activate_at), Stage::CalledOff);

        let at = now + 2 * WEEK;
        let end = world.proposal(Operation::Key {
            operation: KeyOperation::ScheduleDestruction { at },
            key: key_id(2),
        });
        let change = end.id();
        let proposed = stage(&world, &waits(&world, &end), now);
        assert_eq!(proposed, Stage::EndProposed { change });
        world.executed(end, &[0, 1]);
        assert_eq!(stage(&world, &[], now), Stage::Ends { at });
        assert_eq!(stage(&world, &[], at), Stage::Destroyed);
    }
}
