//! What a change is worth by the verified history: where it stands, who decided, what is missing. What the service says of
//! it must fit.

use semops_objects::change::{Decision, Judgement, Operation, PersonId, Standing};
use semops_proto::v1::ChangeState;

use super::{Untrue, history::History, told::Told};
use crate::output::utc;

/// The service's clock may differ so much from this one's before it is called a lie.
const SLACK_SECONDS: u64 = 300;

/// A change, judged here.
#[derive(Clone, Debug)]
pub struct Review {
    /// The change, its decisions verified.
    pub told: Told,
    /// What stood, or stands, before it.
    pub base: Option<Standing>,
    /// Where it stands.
    pub outcome: Outcome,
}

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// So many approvals are missing.
    Pending {
        /// How many.
        missing: u8,
    },
    /// The recovery key approves; it is executed then, unless the custodians change something before.
    Waits {
        /// Unix seconds.
        until: u64,
    },
    /// Executed then.
    Executed {
        /// Unix seconds.
        at: u64,
    },
    /// Too few are left to approve it.
    Rejected,
    /// Another one was executed.
    Superseded,
    /// Its time passed.
    Expired,
}

impl Outcome {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending { .. } | Self::Waits { .. } => "PENDING",
            Self::Executed { .. } => "EXECUTED",
            Self::Rejected => "REJECTED",
            Self::Superseded => "SUPERSEDED",
            Self::Expired => "EXPIRED",
        }
    }
}

impl Review {
    /// Judges what is shown of a change. `history` was read after it.
    ///
    /// # Errors
    /// What is shown contradicts itself or the history.
    pub fn of(told: Told, history: &History, now: u64) -> Result<Self, Untrue> {
        let id = told.id();
        if let Some(executed) = history.find(id) {
            let base = history.base_of(&executed.told.proposal).cloned();
            return Ok(Self {
                outcome: Outcome::Executed {
                    at: executed.told.ended_at,
                },
                told: executed.told.clone(),
                base,
            });
        }
        let untrue = |why: String| Untrue::new(format!("change {id}: {why}"));
        let base = history.base_of(&told.proposal).ok_or_else(|| {
            untrue("it does not follow any change of the verified history".to_owned())
        })?;
        // Of an expired one too it is told who decided.
        let moment = now.min(told.proposal.exp().saturating_sub(1));
        let judged = base
            .judge(&told.proposal, &told.approvals, told.moment(moment))
            .map_err(|refusal| untrue(refusal.to_string()))?;
        let judged = match judged {
            // The service looks once a second, by its own clock, for those whose delay has passed.
            Judgement::Approved(_) if recovers(&told) => Judgement::Waits { until: now },
            other => other,
        };
        let followed = base.sequence() < history.standing().sequence();
        let outcome = outcome(&told, &judged, followed, now).map_err(untrue)?;
        Ok(Self {
            base: Some(base.clone()),
            told,
            outcome,
        })
    }

    /// Whether decisions can still be made.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::Pending { .. } | Outcome::Waits { .. }
        )
    }

    /// The persons who decided so.
    #[must_use]
    pub fn persons(&self, decision: Decision) -> Vec<&PersonId> {
        self.told.decided(decision).collect()
    }
}

/// Where it stands by what is shown of it, if that fits together.
fn outcome(told: &Told, judged: &Judgement, followed: bool, now: u64) -> Result<Outcome, String> {
    let exp = told.proposal.exp();
    match (told.state, judged) {
        (ChangeState::Executed, _) => {
            Err("it is shown as executed, and is not in the verified history".to_owned())
        }
        (_, Judgement::Approved(_)) => {
            Err("enough have approved it, and it is not in the verified history".to_owned())
        }
        (ChangeState::Rejected, Judgement::Rejected) => Ok(Outcome::Rejected),
        (ChangeState::Pending, Judgement::Rejected) => {
            Err("too few are left to approve it, and it is shown as pending".to_owned())
        }
        (ChangeState::Rejected, _) => {
            Err("it is shown as rejected, without those who rejected it".to_owned())
        }
        // It may have been overtaken between two reads.
        (ChangeState::Pending | ChangeState::Superseded, _) if followed => Ok(Outcome::Superseded),
        (ChangeState::Superseded, _) => {
            Err("it is shown as superseded, and no other follows its base".to_owned())
        }
        (ChangeState::Expired, _) if now.saturating_add(SLACK_SECONDS) < exp => {
            let ends = utc(i64::try_from(exp).unwrap_or(i64::MAX));
            Err(format!("it is shown as expired, and it ends at {ends}"))
        }
        (ChangeState::Expired, _) => Ok(Outcome::Expired),
        (ChangeState::Pending, _) if exp <= now => Ok(Outcome::Expired),
        (
            ChangeState::Pending,
            Judgement::Pending {
                approved, needed, ..
            },
        ) => {
            let approved = u8::try_from(approved.len()).unwrap_or(u8::MAX);
            Ok(Outcome::Pending {
                missing: needed.saturating_sub(approved),
            })
        }
        (ChangeState::Pending, Judgement::Waits { until }) => Ok(Outcome::Waits { until: *until }),
        (ChangeState::Unspecified, _) => Err("it is shown in no known state".to_owned()),
    }
}

fn recovers(told: &Told) -> bool {
    let operation = told.proposal.operation();
    matches!(operation, Operation::RecoverCustodians { .. })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use semops_objects::change::{ChangeFile, DocumentKind, KeyOperation};

    use super::*;
    use crate::custody::specimen::{World, document, key_id, name};

    fn policy(world: &World, by: &[usize]) -> Told {
        let next = document(DocumentKind::Policy, 3, "");
        world.pending(world.proposal(Operation::Document(name(&next))), by)
    }

    fn outcome(world: &World, told: Told) -> Result<Outcome, Untrue> {
        Review::of(told, &world.history(), world.now() + 60).map(|review| review.outcome)
    }

    #[test]
    fn what_is_missing_is_counted_here() {
        let world = World::lived();
        for (by, missing) in [(&[][..], 2), (&[0], 1), (&[2], 1)] {
            let told = policy(&world, by);
            assert_eq!(outcome(&world, told), Ok(Outcome::Pending { missing }));
        }
        let told = Told {
            state: ChangeState::Executed,
            ..world.told[3].clone()
        };
        let at = told.ended_at;
        assert_eq!(outcome(&world, told), Ok(Outcome::Executed { at }));
    }

    #[test]
    fn what_was_executed_is_so_whatever_is_said_of_it() {
        let world = World::lived();
        let told = Told {
            state: ChangeState::Pending,
            approvals: Vec::new(),
            ..world.told[1].clone()
        };
        let review = Review::of(told, &world.history(), world.now()).unwrap();
        assert_eq!(
            review.outcome,
            Outcome::Executed {
                at: world.told[1].ended_at
            }
        );
        assert_eq!(review.persons(Decision::Approve).len(), 2);
        assert_eq!(review.base.unwrap().sequence(), 1);
    }

    /// However old the recovery key says its approval is, and also in the moments before the service has executed it or
    /// after custodians have called it off, it is told where it stands.
    #[test]
    fn a_recovery_waits_from_when_it_was_taken() {
        const DAY: u64 = 86_400;
        let mut world = World::lived();
        let told = world.recovery(3_600);
        let until = told.proposed_at + DAY;
        let stands = |world: &World, told: &Told, now| {
            Review::of(told.clone(), &world.history(), now).map(|review| review.outcome)
        };
        for now in [told.proposed_at, until - 3_600, until - 1] {
            assert_eq!(stands(&world, &told, now), Ok(Outcome::Waits { until }));
        }
        for now in [until, until + 1] {
            let due = Outcome::Waits { until: now };
            assert_eq!(stands(&world, &told, now), Ok(due));
        }
        // Shown as executed before, it is a lie; afterwards it may be.
        let kept = Told::of_file(&ChangeFile {
            proposal: told.proposal.clone(),
            approvals: told.approvals.clone(),
            attachments: Vec::new(),
        });
        for (ended_at, believed) in [(until - 1, false), (until, true), (kept.ended_at, true)] {
            let mut shown = world.told.clone();
            shown.push(Told {
                state: ChangeState::Executed,
                ended_at,
                ..told.clone()
            });
            let verified = History::verify(&world.ceremony, shown, &world.registers);
            let said = verified.unwrap_err().to_string();
            let noticed = if believed {
                "named and not sent"
            } else {
                "as many as it needs"
            };
            assert!(said.contains(noticed), "{said}");
        }
        let next = world.proposal(Operation::Document(name(&document(
            DocumentKind::Trust,
            2,
            "",
        ))));
        world.executed(next, &[0, 1]);
        let off = Told {
            state: ChangeState::Superseded,
            ..told
        };
        assert_eq!(stands(&world, &off, until), Ok(Outcome::Superseded));
    }

    #[test]
    fn ends_are_believed_only_if_they_fit() {
        let world = World::lived();
        let mut rejected = policy(&world, &[]);
        for person in [0, 1] {
            let no = world.decision(&rejected.proposal, person, Decision::Reject);
            rejected.approvals.push(no);
        }
        rejected.state = ChangeState::Rejected;
        assert_eq!(outcome(&world, rejected), Ok(Outcome::Rejected));

        let told = policy(&world, &[0]);
        let after = told.proposal.exp();
        for state in [ChangeState::Expired, ChangeState::Pending] {
            let told = Told {
                state,
                ..told.clone()
            };
            let review = Review::of(told, &world.history(), after).unwrap();
            assert_eq!(review.outcome, Outcome::Expired);
        }
        let mut later = World::lived();
        let overtaken = policy(&later, &[0]);
        let resume = Operation::Key {
            operation: KeyOperation::Resume,
            key: key_id(1),
        };
        let proposal = later.proposal(resume);
        later.executed(proposal, &[0, 1]);
        for state in [ChangeState::Superseded, ChangeState::Pending] {
            let told = Told {
                state,
                ..overtaken.clone()
            };
            assert_eq!(outcome(&later, told), Ok(Outcome::Superseded));
        }
    }

    #[test]
    fn every_lie_about_a_change_is_noticed() {
        let world = World::lived();
        let told = policy(&world, &[0]);
        let rejection = world.decision(&told.proposal, 1, Decision::Reject);
        let again = world.decision(&told.proposal, 0, Decision::Approve);
        let other = policy(&World::lived(), &[0]);
        let as_shown = |state| Told {
            state,
            ..told.clone()
        };
        let mut decided = told.clone();
        decided.approvals.push(again);
        let mut both = told.clone();
        both.approvals.extend([
            rejection.clone(),
            world.decision(&told.proposal, 2, Decision::Reject),
        ]);
        let mut enough = policy(&world, &[0, 1]);
        enough.state = ChangeState::Superseded;
        let strange = Told {
            approvals: other.approvals.clone(),
            ..told.clone()
        };
        for (lie, told, noticed) in [
            (
                "executed",
                as_shown(ChangeState::Executed),
                "not in the verified history",
            ),
            (
                "rejected",
                as_shown(ChangeState::Rejected),
                "without those who rejected",
            ),
            (
                "superseded",
                as_shown(ChangeState::Superseded),
                "no other follows",
            ),
            ("expired", as_shown(ChangeState::Expired), "it ends at"),
            (
                "no state",
                as_shown(ChangeState::Unspecified),
                "no known state",
            ),
            ("one person twice", decided, "has decided already"),
            ("rejected, and pending", both, "shown as pending"),
            ("approved, and not executed", enough, "enough have approved"),
            (
                "approvals of strangers",
                strange,
                "no custodian's approval key",
            ),
            (
                "of another institution's history",
                other,
                "does not follow any change",
            ),
        ] {
            let said = outcome(&world, told).unwrap_err().to_string();
            assert!(said.contains(noticed), "{lie}: {said}");
        }
    }
}
