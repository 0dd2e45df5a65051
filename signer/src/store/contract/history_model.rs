//! Owns the model of changes: whatever is proposed, decided and left to expire, in whatever order, the record holds what a
//! list of changes kept by hand would.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    changes::{by, executed, proposal},
    *,
};
use crate::{
    domain::change::{ChangeState, Decision, PersonId},
    store::{ChangeEnding, Decided, NewChange, Proposed, Stands},
};

/// How a decision is sent to end a change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    Not,
    Rejected,
    Executed,
}

/// One step of the model: so many seconds later something is proposed, decided, or swept.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Propose {
        of_beta: bool,
        at_once: bool,
    },
    Decide {
        change: usize,
        person: u8,
        approves: bool,
        ends: Ends,
        saw_all: bool,
    },
    Expire {
        limit: u32,
    },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let propose = (any::<bool>(), prop::bool::weighted(0.2))
        .prop_map(|(of_beta, at_once)| Step::Propose { of_beta, at_once });
    let ends =
        prop_oneof![4 => Just(Ends::Not), 1 => Just(Ends::Rejected), 2 => Just(Ends::Executed)];
    let decide = (
        0..12_usize,
        0..3_u8,
        any::<bool>(),
        ends,
        prop::bool::weighted(0.9),
    )
        .prop_map(|(change, person, approves, ends, saw_all)| Step::Decide {
            change,
            person,
            approves,
            ends,
            saw_all,
        });
    let expire = (1..3_u32).prop_map(|limit| Step::Expire { limit });
    let step = prop_oneof![3 => propose, 5 => decide, 1 => expire];
    proptest::collection::vec((0..600_i64, step), 1..40)
}

/// A change as the model knows it.
struct Modelled {
    sent: NewChange,
    state: ChangeState,
    decided: BTreeMap<PersonId, Decision>,
}

#[derive(Default)]
struct Model {
    changes: Vec<Modelled>,
    generation: u64,
    executed: BTreeMap<InstitutionId, u64>,
}

impl Model {
    /// The change at this place ends; if it is executed, what else was pending of its institution does too.
    fn end(&mut self, at: usize, ending: &ChangeEnding) {
        let institution = self.changes[at].sent.institution.clone();
        self.changes[at].state = match ending {
            ChangeEnding::Rejected => ChangeState::Rejected,
            ChangeEnding::Executed(_) => ChangeState::Executed,
        };
        if self.changes[at].state == ChangeState::Executed {
            self.generation += 1;
            *self.executed.entry(institution.clone()).or_default() += 1;
            let others = self.changes.iter_mut();
            others
                .filter(|one| one.sent.institution == institution)
                .filter(|one| one.state == ChangeState::Pending)
                .for_each(|one| one.state = ChangeState::Superseded);
        }
    }

    fn expected(&self, decided: &Decided, at: usize, now: Timestamp) -> Stands {
        let change = &self.changes[at];
        let new = decided.decision.as_ref().unwrap();
        match (change.decided.get(&new.person), change.state) {
            (Some(earlier), _) if *earlier == new.decision => Stands::Known,
            (Some(_), _) => Stands::Otherwise,
            (None, ChangeState::Pending) if change.sent.expires_at <= now => {
                Stands::Ended(ChangeState::Expired)
            }
            (None, ChangeState::Pending) => {
                let moved = decided.seen != u64::try_from(change.decided.len()).unwrap();
                if moved { Stands::Stale } else { Stands::Done }
            }
            (None, state) => Stands::Ended(state),
        }
    }

    fn expire(&mut self, limit: u32, now: Timestamp) -> u64 {
        let mut due: Vec<&mut Modelled> = self
            .changes
            .iter_mut()
            .filter(|one| one.state == ChangeState::Pending && one.sent.expires_at <= now)
            .collect();
        due.sort_by_key(|one| one.sent.expires_at);
        let ended = due.into_iter().take(usize::try_from(limit).unwrap());
        ended
            .map(|one| one.state = ChangeState::Expired)
            .count()
            .try_into()
            .unwrap()
    }
}

async fn propose(world: &World, model: &mut Model, of_beta: bool, at_once: bool, now: Timestamp) {
    let institution = if of_beta { &world.beta } else { &world.alfa };
    let sequence = model.executed.get(institution).copied().unwrap_or(0) + 1;
    let change = NewChange {
        institution: institution.clone(),
        // No two expire at once, so that it is known which is the first.
        expires_at: now.plus_seconds(1000 + i64::try_from(model.changes.len()).unwrap()),
        ending: executed(sequence).filter(|_| at_once),
        ..proposal(world, sequence, model.generation)
    };
    let proposed = world.store.propose(change.clone(), origin(), now).await;
    assert_eq!(proposed.unwrap(), Proposed::Recorded);
    let ending = change.ending.clone();
    model.changes.push(Modelled {
        sent: change,
        state: ChangeState::Pending,
        decided: BTreeMap::from([("anna".parse().unwrap(), Decision::Approve)]),
    });
    if let Some(ending) = ending {
        model.end(model.changes.len() - 1, &ending);
    }
}

async fn decide(world: &World, model: &mut Model, at: usize, decided: Decided, now: Timestamp) {
    let expected = model.expected(&decided, at, now);
    assert_eq!(world.decide(&decided, now).await, expected, "{decided:?}");
    if expected == Stands::Done {
        let new = decided.decision.unwrap();
        model.changes[at].decided.insert(new.person, new.decision);
        if let Some(ending) = decided.ending {
            model.end(at, &ending);
        }
    }
}

/// Whatever happens in whatever order: the record says of every change what the model says.
pub(crate) async fn the_record_follows_the_model(world: World, steps: Vec<(i64, Step)>) {
    let (mut model, mut now) = (Model::default(), T0);
    for (after, step) in steps {
        now = now.plus_seconds(after);
        match step {
            Step::Propose { of_beta, at_once } => {
                propose(&world, &mut model, of_beta, at_once, now).await;
            }
            Step::Decide {
                change,
                person,
                approves,
                ends,
                saw_all,
            } if change < model.changes.len() => {
                let one = &model.changes[change];
                let person = ["anna", "boris", "chloe"][usize::from(person)];
                let decision = if approves {
                    Decision::Approve
                } else {
                    Decision::Reject
                };
                let seen = u64::try_from(one.decided.len()).unwrap() + u64::from(!saw_all);
                let decided = Decided {
                    seen,
                    generation: model.generation,
                    ending: match ends {
                        Ends::Not => None,
                        Ends::Rejected => Some(ChangeEnding::Rejected),
                        Ends::Executed => executed(one.sent.sequence),
                    },
                    ..by(&one.sent, person, decision)
                };
                decide(&world, &mut model, change, decided, now).await;
            }
            Step::Decide { .. } => {}
            Step::Expire { limit } => {
                let expired = world.store.expire(limit, origin(), now).await;
                assert_eq!(expired.unwrap(), model.expire(limit, now));
            }
        }
    }
    compare(&world, &model).await;
}

async fn compare(world: &World, model: &Model) {
    for one in &model.changes {
        let view = world.view(&one.sent).await;
        let stored = view.change.unwrap();
        assert_eq!(stored.state, one.state);
        let pending = one.state == ChangeState::Pending;
        assert_eq!(
            (stored.ended_at.is_none(), view.enclosed.len()),
            (pending, usize::from(pending))
        );
        let decided = stored.decisions.into_iter();
        let decided: BTreeMap<_, _> = decided.map(|of| (of.person, of.decision)).collect();
        assert_eq!(decided, one.decided);
    }
    let histories = world.store.histories().await.unwrap();
    assert_eq!(histories.generation, model.generation);
    let mut sequences: BTreeMap<InstitutionId, u64> = BTreeMap::new();
    for change in histories.changes {
        let last = sequences.entry(change.institution).or_default();
        assert_eq!(change.sequence, *last + 1);
        *last = change.sequence;
    }
    assert_eq!(sequences, model.executed);
    for stored in &histories.documents {
        let of = &stored.document.institution;
        assert_eq!(Some(&stored.document.version), model.executed.get(of));
    }
}
