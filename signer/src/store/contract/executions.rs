//! Owns the contract of executed changes: that each is one step with all that it brings about, and the history they make.

use super::{
    changes::{by, decision, executed, proposal, tells},
    *,
};
use crate::{
    domain::{
        change::{ChangeState, Decision, Enclosed},
        document::StoredDocument,
    },
    store::{ChangeEnding, Decided, Execution, NewChange, Proposed, Stands},
};

pub(crate) async fn an_execution_is_one_step(world: World) {
    let (change, other) = (proposal(&world, 1, 0), proposal(&world, 1, 0));
    let of_beta = NewChange {
        institution: world.beta.clone(),
        ..proposal(&world, 1, 0)
    };
    for one in [&change, &other, &of_beta] {
        world.propose(one).await;
    }
    let approval = Decided {
        ending: executed(1),
        ..by(&change, "boris", Decision::Approve)
    };
    let later = T0.plus_seconds(5);
    assert_eq!(world.decide(&approval, later).await, Stands::Done);
    let view = world.view(&change).await;
    let stored = view.change.unwrap();
    assert_eq!(
        (stored.state, stored.ended_at, stored.decisions.len()),
        (ChangeState::Executed, Some(later), 2)
    );
    assert!(view.enclosed.is_empty());
    assert_eq!(world.generation().await, 1);
    let newest = world.store.documents().await.unwrap().documents;
    let [policy] = &newest[..] else {
        panic!("{newest:?}")
    };
    assert_eq!((policy.document.version, policy.loaded_at), (1, later));
    assert_eq!(policy.document.bytes, change.enclosed[0].1);
    let superseded = world.view(&other).await;
    assert!(superseded.enclosed.is_empty());
    let superseded = superseded.change.unwrap();
    assert_eq!(
        (superseded.state, superseded.ended_at),
        (ChangeState::Superseded, Some(later))
    );
    assert_eq!(world.stored(&of_beta).await.state, ChangeState::Pending);
    let expected = [
        "change.propose",
        "change.approve",
        "change.approve",
        "change.execute",
    ];
    assert!(tells(&world.told(&change).await, &expected));
    let expected = ["change.propose", "change.approve", "change.end:SUPERSEDED"];
    assert!(tells(&world.told(&other).await, &expected));
    let leaves = world.inside.leaves().await;
    let loaded = leaves.iter().filter(|leaf| leaf["operation"] == "policy");
    assert_eq!(loaded.count(), 1);
    // Said again by the same person, it is as it was.
    assert_eq!(world.decide(&approval, later).await, Stands::Known);
}

pub(crate) async fn what_was_approved_may_be_executed_later(world: World) {
    let change = proposal(&world, 1, 0);
    world.propose(&change).await;
    let due = Decided {
        decision: None,
        ending: executed(1),
        ..by(&change, "recovery", Decision::Approve)
    };
    let moved = Decided {
        seen: 0,
        ..due.clone()
    };
    assert_eq!(world.decide(&moved, T0).await, Stands::Stale);
    assert_eq!(world.decide(&due, T0).await, Stands::Done);
    assert_eq!(
        world.decide(&due, T0).await,
        Stands::Ended(ChangeState::Executed)
    );
    let expected = ["change.propose", "change.approve", "change.execute"];
    assert!(tells(&world.told(&change).await, &expected));
}

pub(crate) async fn of_executions_at_once_one_stands(world: World) {
    for round in 0..5 {
        let mut changes = Vec::new();
        for _ in 0..8 {
            changes.push(proposal(&world, round + 1, round));
            assert_eq!(
                world.propose(changes.last().unwrap()).await,
                Proposed::Recorded
            );
        }
        let tasks = changes.iter().map(|change| {
            let decided = Decided {
                ending: executed(round + 1),
                generation: round,
                ..by(change, "boris", Decision::Approve)
            };
            let store = Arc::clone(&world.store);
            tokio::spawn(async move { store.decide(decided, origin(), T0).await.unwrap() })
        });
        let mut done = 0;
        for task in tasks.collect::<Vec<_>>() {
            match task.await.unwrap() {
                Stands::Done => done += 1,
                Stands::Ended(ChangeState::Superseded) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(done, 1);
        assert_eq!(world.generation().await, round + 1);
    }
    let histories = world.store.histories().await.unwrap();
    let sequences: Vec<u64> = histories.changes.iter().map(|one| one.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
}

pub(crate) async fn of_decisions_at_once_each_is_seen(world: World) {
    let change = proposal(&world, 1, 0);
    world.propose(&change).await;
    let tasks = (0..8).map(|number| {
        let decided = by(&change, &format!("person-{number}"), Decision::Approve);
        let store = Arc::clone(&world.store);
        tokio::spawn(async move { store.decide(decided, origin(), T0).await.unwrap() })
    });
    let mut stands = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        stands.push(task.await.unwrap());
    }
    // All of them had seen one decision: one may stand beside it.
    assert_eq!(stands.iter().filter(|one| **one == Stands::Done).count(), 1);
    assert_eq!(
        stands.iter().filter(|one| **one == Stands::Stale).count(),
        7
    );
    assert_eq!(world.stored(&change).await.decisions.len(), 2);
}

pub(crate) async fn a_history_begins_with_what_stands(world: World) {
    let standing = |bytes: &str| {
        vec![(
            Enclosed::Document(DocumentKind::Policy),
            bytes.as_bytes().to_vec(),
        )]
    };
    let first = NewChange {
        enclosed: standing("policy"),
        ending: executed(7),
        ..proposal(&world, 1, 0)
    };
    world.propose(&first).await;
    // With the same bytes it is taken as it stands, with others nothing is done.
    let again = NewChange {
        sequence: 2,
        generation: 1,
        enclosed: standing("policy"),
        ending: executed(7),
        ..proposal(&world, 2, 1)
    };
    let other = NewChange {
        enclosed: standing("another"),
        ..again.clone()
    };
    let refused = world.store.propose(other.clone(), origin(), T0).await;
    assert!(
        matches!(&refused, Err(StoreError::Corrupt(text)) if text.contains("policy 7 of alfa")),
        "{refused:?}"
    );
    assert_eq!(world.view(&other).await.change, None);
    assert_eq!(world.generation().await, 1);
    assert_eq!(world.propose(&again).await, Proposed::Recorded);
    assert_eq!(world.store.documents().await.unwrap().documents.len(), 1);
    // What is not enclosed is not executed.
    let without = NewChange {
        enclosed: Vec::new(),
        ending: executed(8),
        ..proposal(&world, 3, 2)
    };
    let refused = world.store.propose(without, origin(), T0).await;
    assert!(
        matches!(refused, Err(StoreError::Violated(_))),
        "{refused:?}"
    );
    let leaves = world.inside.leaves().await;
    assert_eq!(
        leaves
            .iter()
            .filter(|leaf| leaf["operation"] == "policy")
            .count(),
        1
    );
}

pub(crate) async fn histories_are_read_whole(world: World) {
    let mut expected = Vec::new();
    for (institution, changes) in [(&world.alfa, 3), (&world.beta, 2)] {
        for sequence in 1..=changes {
            let change = NewChange {
                institution: institution.clone(),
                decisions: vec![
                    decision("anna", Decision::Approve),
                    decision("boris", Decision::Approve),
                ],
                ending: executed(sequence),
                ..proposal(&world, sequence, world.generation().await)
            };
            world.propose(&change).await;
            expected.push(world.stored(&change).await);
        }
    }
    let mut pending = proposal(&world, 4, 5);
    pending.decisions.clear();
    world.propose(&pending).await;
    let certificates = vec![(
        key(&world.alfa, Purpose::Authorization),
        b"certificate".to_vec(),
    )];
    let execution = Execution {
        certificates: certificates.clone(),
        ..Execution::default()
    };
    let certifying = NewChange {
        ending: Some(ChangeEnding::Executed(execution)),
        ..proposal(&world, 4, 5)
    };
    world.propose(&certifying).await;
    expected.insert(3, world.stored(&certifying).await);
    let histories = world.store.histories().await.unwrap();
    assert_eq!(histories.generation, 6);
    assert_eq!(histories.changes, expected);
    assert_eq!(histories.certificates, certificates);
    let name = |stored: &StoredDocument| {
        let document = &stored.document;
        (
            document.institution.to_string(),
            document.kind,
            document.version,
        )
    };
    let documents: Vec<_> = histories.documents.iter().map(name).collect();
    let newest = [("alfa", 3), ("beta", 2)];
    let newest = newest.map(|(id, version)| (id.to_owned(), DocumentKind::Policy, version));
    assert_eq!(documents, newest);
    assert!(histories.registers.is_empty());
}

pub(crate) async fn without_its_events_nothing_is_executed(world: World) {
    let change = proposal(&world, 1, 0);
    world.propose(&change).await;
    let approval = Decided {
        ending: executed(1),
        ..by(&change, "boris", Decision::Approve)
    };
    world.inside.refuse_events(true).await;
    let refused = world.store.decide(approval.clone(), origin(), T0).await;
    refused.unwrap_err();
    world.inside.refuse_events(false).await;
    assert_eq!(world.stored(&change).await.decisions.len(), 1);
    assert_eq!(world.generation().await, 0);
    assert_eq!(world.decide(&approval, T0).await, Stands::Done);
}

pub(crate) async fn a_place_in_the_history_is_taken_once(world: World) {
    let first = NewChange {
        ending: executed(1),
        ..proposal(&world, 1, 0)
    };
    world.propose(&first).await;
    world.propose(&proposal(&world, 2, 1)).await;
    for sql in [
        "UPDATE change SET sequence = 1, state = 'EXECUTED', ended_at = 1 WHERE state = 'PENDING'",
        "UPDATE change SET state = 'EXECUTED' WHERE state = 'PENDING'",
        "UPDATE change SET ended_at = NULL WHERE state = 'EXECUTED'",
        "UPDATE approval SET decision = 'abstain'",
        "INSERT INTO approval SELECT change, person, 'reject', 'other', at FROM approval",
    ] {
        assert!(world.inside.refuses(sql).await, "{sql}");
    }
}
