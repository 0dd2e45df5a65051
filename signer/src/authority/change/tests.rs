//! Changes from their proposal to what is in force, over a real record: by whom they are executed, and what is not used
//! because nobody approved it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod destruction;
mod recovery;
mod roots;
mod rotation;
mod unapproved;
mod world;

use std::sync::Arc;

use semops_objects::change::{Decision, DocumentKind, KeyOperation};

use self::world::{World, alfa, reason};
use super::*;
use crate::{domain::key::KeyState, specimen::NOW};

#[tokio::test]
async fn two_of_three_change_the_policy_and_the_next_request_sees_it() {
    let world = World::new().await;
    assert_eq!(world.version().await, Some(1));
    let file = world.policy(2, &[0]);
    let proposed = world.propose(&file).await.unwrap();
    assert_eq!(
        (proposed.state, proposed.decisions.len()),
        (ChangeState::Pending, 1)
    );
    assert_eq!(world.version().await, Some(1));
    let again = world.propose(&file).await.unwrap();
    assert_eq!(again, proposed);
    let same = world.decide(&file, 0, Decision::Approve).await.unwrap();
    assert_eq!(same.state, ChangeState::Pending);

    let executed = world.decide(&file, 1, Decision::Approve).await.unwrap();
    assert_eq!(executed.state, ChangeState::Executed);
    assert_eq!(world.version().await, Some(2));
    // The same again is answered as it stands; a third is too late.
    let again = world.decide(&file, 1, Decision::Approve).await.unwrap();
    assert_eq!(again, executed);
    let late = world.decide(&file, 2, Decision::Approve).await;
    assert_eq!(reason(late), Reason::ChangeEnded);
    assert_eq!(world.propose(&file).await.unwrap(), executed);
}

#[tokio::test]
async fn what_was_decided_is_counted_by_person() {
    let world = World::new().await;
    let file = world.policy(2, &[0]);
    world.propose(&file).await.unwrap();
    let other = world.decide(&file, 0, Decision::Reject).await;
    assert_eq!(reason(other), Reason::AlreadyDecided);
    let unknown = world.policy(2, &[0]);
    let unknown = world.decide(&unknown, 1, Decision::Approve).await;
    assert_eq!(reason(unknown), Reason::ChangeNotFound);

    let against = world.decide(&file, 1, Decision::Reject).await.unwrap();
    assert_eq!(against.state, ChangeState::Pending);
    let ended = world.decide(&file, 2, Decision::Reject).await.unwrap();
    assert_eq!(ended.state, ChangeState::Rejected);
    assert_eq!(world.version().await, Some(1));
}

#[tokio::test]
async fn another_change_moves_the_base() {
    let world = World::new().await;
    let (first, second) = (world.policy(2, &[0]), world.policy(2, &[1]));
    world.propose(&first).await.unwrap();
    world.propose(&second).await.unwrap();
    world.decide(&first, 1, Decision::Approve).await.unwrap();
    let moved = world.decide(&second, 0, Decision::Approve).await;
    assert_eq!(reason(moved), Reason::BaseMoved);
    let shown = world
        .authority
        .change(&world.ctx(), second.proposal.id())
        .await
        .unwrap();
    assert_eq!(shown.change.state, ChangeState::Superseded);
    assert_eq!(shown.attachments, []);
    let shown = world
        .authority
        .change(&world.ctx(), first.proposal.id())
        .await
        .unwrap();
    assert_eq!(shown.attachments, first.attachments);
    let (ctx, all) = (
        world.ctx(),
        Listing {
            state: None,
            before: None,
        },
    );
    let listed = world.authority.changes(&ctx, all).await.unwrap();
    assert_eq!(listed.len(), 3);
}

#[tokio::test]
async fn a_change_that_nobody_settles_expires() {
    let world = World::new().await;
    let file = world.policy(2, &[0]);
    world.propose(&file).await.unwrap();
    world
        .hands
        .fetch_add(86_400_000_000, std::sync::atomic::Ordering::SeqCst);
    let late = world.decide(&file, 1, Decision::Approve).await;
    assert_eq!(reason(late), Reason::ChangeExpired);
    assert_eq!(world.authority.sweep().await.unwrap(), 1);
    let shown = world
        .authority
        .change(&world.ctx(), file.proposal.id())
        .await
        .unwrap();
    assert_eq!(shown.change.state, ChangeState::Expired);
}

#[tokio::test]
async fn one_suspends_a_key_at_once_and_two_resume_it() {
    let world = World::new().await;
    let state = || {
        world
            .authority
            .snapshot()
            .keyring(&alfa())
            .ok()?
            .get(world.authorization())
            .map(|key| key.state(NOW))
    };
    let suspended = world.propose(&world.key(KeyOperation::Suspend, &[0])).await;
    assert_eq!(suspended.unwrap().state, ChangeState::Executed);
    world.authority.current().await.unwrap();
    assert_eq!(state(), Some(KeyState::Suspended));
    let snapshot = world.authority.snapshot();
    assert_eq!(reason(world.signing(NOW)), Reason::KeyNotActive);
    assert_eq!(snapshot.unapproved(&alfa()), []);

    let twice = world.propose(&world.key(KeyOperation::Suspend, &[1])).await;
    assert_eq!(reason(twice), Reason::KeyState);
    let resumed = world.key(KeyOperation::Resume, &[0]);
    let pending = world.propose(&resumed).await.unwrap();
    assert_eq!(pending.state, ChangeState::Pending);
    world.decide(&resumed, 2, Decision::Approve).await.unwrap();
    world.authority.current().await.unwrap();
    assert_eq!(state(), Some(KeyState::Active));
    assert!(world.signing(NOW).is_ok());
}

#[tokio::test]
async fn an_operator_adds_no_authority() {
    let world = World::new().await;
    let alone = world.bring(&world.policy(2, &[0])).await.unwrap_err();
    assert!(
        matches!(
            alone,
            BringError::Undecided {
                approved: 1,
                needed: 2
            }
        ),
        "{alone}"
    );
    let file = world.policy(2, &[0, 2]);
    let brought = world.bring(&file).await.unwrap();
    assert_eq!((brought.sequence, brought.unchanged), (2, false));
    assert_eq!(world.version().await, Some(2));
    assert!(world.bring(&file).await.unwrap().unchanged);
    // One that waits for the last decision in the record takes it from a file.
    let file = world.policy(3, &[0, 1]);
    let mut begun = file.clone();
    begun.approvals.truncate(1);
    world.propose(&begun).await.unwrap();
    assert!(!world.bring(&file).await.unwrap().unchanged);
    assert_eq!(world.version().await, Some(3));
}

#[tokio::test]
async fn what_is_proposed_is_what_it_names_and_says_something() {
    let world = World::new().await;
    let mut other = world.policy(2, &[0]);
    other.attachments[0].content.push('\n');
    let other = world.propose(&other).await;
    assert_eq!(reason(other), Reason::DocumentMismatch);
    let mut without = world.policy(2, &[0]);
    without.attachments.clear();
    let without = world.propose(&without).await;
    assert_eq!(reason(without), Reason::AttachmentMismatch);
    let base = world.authority.snapshot().standing(&alfa()).unwrap().base();
    let nonsense = "institution = \"alfa\"\nversion = 2\nsurprise = true\n";
    let board = world.board();
    let nonsense = board.document(base.clone(), DocumentKind::Policy, nonsense, &[0]);
    assert_eq!(
        reason(world.propose(&nonsense).await),
        Reason::DocumentInvalid
    );
    let alone = board.register(2).replace("quorum = 2", "quorum = 1");
    let alone = board.document(base, DocumentKind::Custodians, &alone, &[0]);
    assert_eq!(reason(world.propose(&alone).await), Reason::QuorumTooSmall);
}

#[tokio::test]
async fn the_history_is_verified_again_by_whoever_starts() {
    let world = World::new().await;
    let base = world.authority.snapshot().standing(&alfa()).unwrap().base();
    let board = world.board();
    let register = board.document(base, DocumentKind::Custodians, &board.register(2), &[0, 1]);
    world.bring(&register).await.unwrap();
    world.authority.refresh().await.unwrap();
    world.bring(&world.policy(2, &[1, 2])).await.unwrap();
    let again = world.restarted().await;
    let snapshot = again.snapshot();
    let standing = snapshot.standing(&alfa()).unwrap();
    assert_eq!(
        (standing.sequence(), standing.custodians().version()),
        (3, 2)
    );
    assert_eq!(snapshot.policy(&alfa()).unwrap().version(), 2);
    let kinds: Vec<_> = snapshot
        .versions(&alfa())
        .iter()
        .map(|one| (one.kind, one.version))
        .collect();
    use DocumentKind as K;
    assert_eq!(
        kinds,
        [
            (K::Policy, 2),
            (K::Trust, 1),
            (K::Callers, 1),
            (K::Custodians, 2)
        ]
    );
}

#[tokio::test]
async fn many_who_wait_for_a_change_are_answered_by_two_reads() {
    let world = World::new().await;
    let file = world.policy(2, &[0]);
    world.propose(&file).await.unwrap();
    world.decide(&file, 1, Decision::Approve).await.unwrap();
    let before = world.authority.reads.begun();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let authority = Arc::clone(&world.authority);
        waiting.spawn(async move { authority.refresh().await.unwrap().generation() });
    }
    let generation = world.authority.store.generation().await.unwrap();
    for seen in waiting.join_all().await {
        assert_eq!(seen, generation);
    }
    assert!(world.authority.reads.begun() <= before + 2);
    assert_eq!(world.version().await, Some(2));
}
