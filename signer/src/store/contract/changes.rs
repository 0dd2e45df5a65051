//! Owns the contract of proposals and of what persons decide about them.

use super::*;
use crate::{
    domain::change::{ChangeId, ChangeState, Decision, Enclosed, StoredChange},
    store::{
        ChangeEnding, ChangeQuery, ChangeView, Decided, Execution, NewChange, NewDecision,
        PENDING_CHANGES, Proposed, Stands,
    },
};

/// When every proposal of the suite expires.
pub(super) const EXPIRY: Timestamp = T0.plus_seconds(3600);

/// A proposal of alfa's next policy by anna, with her approval. Its bytes are arbitrary, for no store reads them.
pub(super) fn proposal(world: &World, sequence: u64, generation: u64) -> NewChange {
    let bytes = format!("proposal {}", world.number()).into_bytes();
    let document = format!("policy {sequence}").into_bytes();
    NewChange {
        institution: world.alfa.clone(),
        id: ChangeId::new(sha256(&bytes)),
        sequence,
        bytes,
        expires_at: EXPIRY,
        enclosed: vec![(Enclosed::Document(DocumentKind::Policy), document)],
        decisions: vec![decision("anna", Decision::Approve)],
        ending: None,
        generation,
    }
}

pub(super) fn decision(person: &str, decision: Decision) -> NewDecision {
    NewDecision {
        person: person.parse().unwrap(),
        decision,
        jws: format!("{person}.{}", decision.name()),
    }
}

/// An execution that puts the enclosed policy into force.
pub(super) fn executed(version: u64) -> Option<ChangeEnding> {
    let documents = vec![(DocumentKind::Policy, version)];
    Some(ChangeEnding::Executed(Execution {
        documents,
        ..Execution::default()
    }))
}

/// A decision about a change with one decision before it, in generation 0.
pub(super) fn by(change: &NewChange, person: &str, what: Decision) -> Decided {
    Decided {
        institution: change.institution.clone(),
        change: change.id,
        decision: Some(decision(person, what)),
        seen: 1,
        ending: None,
        generation: 0,
    }
}

impl World {
    pub(super) async fn propose(&self, change: &NewChange) -> Proposed {
        let proposed = self.store.propose(change.clone(), origin(), T0).await;
        proposed.unwrap()
    }

    pub(super) async fn decide(&self, decided: &Decided, now: Timestamp) -> Stands {
        let stands = self.store.decide(decided.clone(), origin(), now).await;
        stands.unwrap()
    }

    pub(super) async fn view(&self, change: &NewChange) -> ChangeView {
        let view = self.store.change(&change.institution, change.id).await;
        view.unwrap()
    }

    pub(super) async fn stored(&self, change: &NewChange) -> StoredChange {
        self.view(change).await.change.unwrap()
    }

    /// What the events tell of a change: operation and reason.
    pub(super) async fn told(&self, change: &NewChange) -> Vec<(String, String)> {
        let (id, leaves) = (change.id.to_string(), self.inside.leaves().await);
        let text = |leaf: &serde_json::Value, member: &str| {
            leaf[member].as_str().unwrap_or_default().to_owned()
        };
        let about = leaves.iter().filter(|leaf| leaf["object"] == id.as_str());
        about
            .map(|leaf| (text(leaf, "operation"), text(leaf, "reason")))
            .collect()
    }
}

/// Whether the events are of these operations; after a colon stands a reason.
pub(super) fn tells(told: &[(String, String)], expected: &[&str]) -> bool {
    let joined = told
        .iter()
        .map(|(operation, reason)| match reason.as_str() {
            "" => operation.clone(),
            reason => format!("{operation}:{reason}"),
        });
    joined.eq(expected.iter().copied())
}

pub(crate) async fn a_proposal_is_recorded_once(world: World) {
    let change = proposal(&world, 1, 0);
    assert_eq!(world.propose(&change).await, Proposed::Recorded);
    // Whatever else comes under its name.
    let again = NewChange {
        decisions: vec![decision("boris", Decision::Reject)],
        generation: 7,
        ..change.clone()
    };
    assert_eq!(world.propose(&again).await, Proposed::Known);
    let view = world.view(&change).await;
    let stored = view.change.unwrap();
    assert_eq!(
        (view.generation, view.enclosed),
        (0, change.enclosed.clone())
    );
    assert_eq!((stored.id, stored.sequence), (change.id, 1));
    assert_eq!(
        (stored.bytes, stored.state),
        (change.bytes.clone(), ChangeState::Pending)
    );
    assert_eq!(
        (stored.proposed_at, stored.expires_at, stored.ended_at),
        (T0, EXPIRY, None)
    );
    let [only] = &stored.decisions[..] else {
        panic!("{:?}", stored.decisions)
    };
    assert_eq!(
        (only.person.as_str(), only.decision, only.at),
        ("anna", Decision::Approve, T0)
    );
    assert_eq!(only.jws, "anna.approve");
    assert!(tells(
        &world.told(&change).await,
        &["change.propose", "change.approve"]
    ));
    // It is the institution's alone, where the same bytes are another change.
    let elsewhere = NewChange {
        institution: world.beta.clone(),
        ..change.clone()
    };
    assert_eq!(world.view(&elsewhere).await.change, None);
    assert_eq!(world.propose(&elsewhere).await, Proposed::Recorded);
    assert_eq!(world.generation().await, 0);
}

pub(crate) async fn a_proposal_on_another_base_is_stale(world: World) {
    for (sequence, generation) in [(1, 1), (0, 0), (2, 0), (u64::MAX >> 1, 0)] {
        let change = proposal(&world, sequence, generation);
        assert_eq!(world.propose(&change).await, Proposed::Stale);
        assert_eq!(world.view(&change).await.change, None);
    }
    let first = NewChange {
        ending: executed(1),
        ..proposal(&world, 1, 0)
    };
    assert_eq!(world.propose(&first).await, Proposed::Recorded);
    for (sequence, generation) in [(1, 1), (2, 0), (3, 1)] {
        let change = proposal(&world, sequence, generation);
        assert_eq!(world.propose(&change).await, Proposed::Stale);
    }
    assert_eq!(
        world.propose(&proposal(&world, 2, 1)).await,
        Proposed::Recorded
    );
}

pub(crate) async fn so_many_may_be_pending(world: World) {
    let mut pending = Vec::new();
    for _ in 0..PENDING_CHANGES {
        pending.push(proposal(&world, 1, 0));
        let recorded = world.propose(pending.last().unwrap()).await;
        assert_eq!(recorded, Proposed::Recorded);
    }
    let more = proposal(&world, 1, 0);
    assert_eq!(world.propose(&more).await, Proposed::TooMany);
    let of_beta = NewChange {
        institution: world.beta.clone(),
        ..proposal(&world, 1, 0)
    };
    assert_eq!(world.propose(&of_beta).await, Proposed::Recorded);
    let rejection = Decided {
        ending: Some(ChangeEnding::Rejected),
        ..by(&pending[3], "boris", Decision::Reject)
    };
    assert_eq!(world.decide(&rejection, T0).await, Stands::Done);
    assert_eq!(world.propose(&more).await, Proposed::Recorded);
    // What needs nobody else waits for no place: it makes room for all.
    let emergency = NewChange {
        ending: executed(1),
        ..proposal(&world, 1, 0)
    };
    assert_eq!(world.propose(&emergency).await, Proposed::Recorded);
    for change in pending.iter().chain([&more]) {
        let state = world.stored(change).await.state;
        let rejected = change.id == pending[3].id;
        let expected = if rejected {
            ChangeState::Rejected
        } else {
            ChangeState::Superseded
        };
        assert_eq!(state, expected);
    }
    assert_eq!(world.stored(&of_beta).await.state, ChangeState::Pending);
}

pub(crate) async fn a_person_decides_once(world: World) {
    let change = proposal(&world, 1, 0);
    world.propose(&change).await;
    let approval = by(&change, "boris", Decision::Approve);
    for moved in [
        Decided {
            seen: 0,
            ..approval.clone()
        },
        Decided {
            seen: 2,
            ..approval.clone()
        },
        Decided {
            generation: 1,
            ..approval.clone()
        },
    ] {
        assert_eq!(world.decide(&moved, T0).await, Stands::Stale);
    }
    let elsewhere = Decided {
        institution: world.beta.clone(),
        ..approval.clone()
    };
    assert_eq!(world.decide(&elsewhere, T0).await, Stands::NotFound);
    let later = T0.plus_seconds(9);
    assert_eq!(world.decide(&approval, later).await, Stands::Done);
    // Said again it stands as it did, whatever has moved since; another word by the same person does not count.
    assert_eq!(world.decide(&approval, later).await, Stands::Known);
    for person in ["anna", "boris"] {
        let otherwise = by(&change, person, Decision::Reject);
        assert_eq!(world.decide(&otherwise, later).await, Stands::Otherwise);
    }
    let decisions = world.stored(&change).await.decisions;
    let decided: Vec<_> = decisions
        .iter()
        .map(|one| (one.person.as_str(), one.at))
        .collect();
    assert_eq!(decided, [("anna", T0), ("boris", later)]);
    let told = world.told(&change).await;
    assert!(tells(
        &told,
        &["change.propose", "change.approve", "change.approve"]
    ));
}

pub(crate) async fn what_has_ended_takes_no_decision(world: World) {
    let rejected = proposal(&world, 1, 0);
    world.propose(&rejected).await;
    let rejection = Decided {
        ending: Some(ChangeEnding::Rejected),
        ..by(&rejected, "boris", Decision::Reject)
    };
    assert_eq!(world.decide(&rejection, T0).await, Stands::Done);
    let view = world.view(&rejected).await;
    let stored = view.change.unwrap();
    assert_eq!(
        (stored.state, stored.ended_at),
        (ChangeState::Rejected, Some(T0))
    );
    assert_eq!((view.enclosed.len(), view.generation), (0, 0));
    let told = world.told(&rejected).await;
    assert!(tells(
        &told,
        &[
            "change.propose",
            "change.approve",
            "change.reject",
            "change.end:REJECTED"
        ]
    ));
    let late = Decided {
        seen: 2,
        ..by(&rejected, "chloe", Decision::Approve)
    };
    assert_eq!(
        world.decide(&late, T0).await,
        Stands::Ended(ChangeState::Rejected)
    );
    assert_eq!(world.decide(&rejection, T0).await, Stands::Known);

    let waiting = proposal(&world, 1, 0);
    world.propose(&waiting).await;
    let approval = Decided {
        ending: executed(1),
        ..by(&waiting, "boris", Decision::Approve)
    };
    assert_eq!(
        world.decide(&approval, EXPIRY).await,
        Stands::Ended(ChangeState::Expired)
    );
    let just = Timestamp::from_micros(EXPIRY.micros() - 1);
    assert_eq!(world.decide(&approval, just).await, Stands::Done);
    assert_eq!(world.stored(&waiting).await.state, ChangeState::Executed);
}

pub(crate) async fn what_nobody_decides_expires(world: World) {
    let mut changes = Vec::new();
    for seconds in [30, 10, 20, 40] {
        let expires_at = T0.plus_seconds(seconds);
        changes.push(NewChange {
            expires_at,
            ..proposal(&world, 1, 0)
        });
        world.propose(changes.last().unwrap()).await;
    }
    let expire = async |limit, seconds| {
        let expired = world
            .store
            .expire(limit, origin(), T0.plus_seconds(seconds))
            .await;
        expired.unwrap()
    };
    assert_eq!(expire(9, 9).await, 0);
    // Those first that expired first.
    assert_eq!(expire(1, 30).await, 1);
    let state = async |at: usize| world.stored(&changes[at]).await.state;
    assert_eq!(
        (state(1).await, state(2).await),
        (ChangeState::Expired, ChangeState::Pending)
    );
    assert_eq!((expire(9, 30).await, expire(9, 30).await), (2, 0));
    assert_eq!(state(3).await, ChangeState::Pending);
    for change in &changes[..3] {
        let view = world.view(change).await;
        assert!(view.enclosed.is_empty());
        assert_eq!(view.change.unwrap().state, ChangeState::Expired);
        let told = world.told(change).await;
        assert!(tells(
            &told,
            &["change.propose", "change.approve", "change.end:EXPIRED"]
        ));
    }
    assert_eq!(world.generation().await, 0);
}

pub(crate) async fn changes_are_listed_newest_first(world: World) {
    let mut changes = Vec::new();
    for _ in 0..6 {
        changes.push(proposal(&world, 1, 0));
        world.propose(changes.last().unwrap()).await;
    }
    let rejection = Decided {
        ending: Some(ChangeEnding::Rejected),
        ..by(&changes[2], "boris", Decision::Reject)
    };
    world.decide(&rejection, T0).await;
    let of_beta = NewChange {
        institution: world.beta.clone(),
        ..proposal(&world, 1, 0)
    };
    world.propose(&of_beta).await;
    let listed = async |state, before: Option<&NewChange>, at_most| {
        let before = before.map(|change| change.id);
        let query = ChangeQuery {
            state,
            before,
            at_most,
        };
        let view = world.store.changes(&world.alfa, query).await.unwrap();
        assert_eq!(view.generation, 0);
        let mut places = Vec::new();
        for change in view.changes {
            let place = changes.iter().position(|one| one.id == change.id).unwrap();
            assert_eq!(change, world.stored(&changes[place]).await);
            places.push(place);
        }
        places
    };
    assert_eq!(listed(None, None, 9).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(listed(None, None, 2).await, [5, 4]);
    assert_eq!(listed(None, Some(&changes[4]), 2).await, [3, 2]);
    assert_eq!(
        listed(Some(ChangeState::Pending), Some(&changes[4]), 2).await,
        [3, 1]
    );
    assert_eq!(listed(Some(ChangeState::Rejected), None, 9).await, [2]);
    assert!(listed(None, Some(&changes[0]), 9).await.is_empty());
    // Nothing comes before a change that the institution does not have.
    assert!(listed(None, Some(&of_beta), 9).await.is_empty());
}
