//! The sealed recovery key: what it asks for waits, is told of, and can be called off.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::Ordering;

use semops_objects::change::{
    Attachment, AttachmentKind, ChangeFile, Decision, DocumentKind, DocumentName, Operation,
    Proposal,
};
use semops_pki::local_key::LocalKey;

use super::world::{World, alfa};
use crate::{
    authority::BringError,
    domain::change::ChangeState,
    specimen::{NOW, board::signed},
};

const HOUR: i64 = 3_600;

/// alfa's register with a recovery key, and what that key asks for: the next register, by a proposal that says it is eighty
/// hours old.
async fn asked(world: &World) -> ChangeFile {
    let sealed = LocalKey::generate().unwrap();
    let pem = sealed.public_key().to_spki_pem();
    let register = |version| {
        let text = world.board().register(version);
        format!("{text}[recovery]\napproval_key = '''\n{pem}'''\ndelay_hours = 24\n")
    };
    let base = || world.authority.snapshot().standing(&alfa()).unwrap().base();
    let kind = DocumentKind::Custodians;
    let with_key = world.board().document(base(), kind, &register(2), &[0, 1]);
    world.bring(&with_key).await.unwrap();
    world.authority.refresh().await.unwrap();

    let content = register(3);
    let (_, name) = DocumentName::of(kind, content.as_bytes()).unwrap();
    let operation = Operation::RecoverCustodians {
        version: name.version,
        sha256: name.sha256,
    };
    let signed_at = u64::try_from(NOW.seconds() - 80 * HOUR).unwrap();
    let until = signed_at + 40 * 86_400;
    let proposal = Proposal::new(base(), operation, [7; 16], signed_at, until).unwrap();
    ChangeFile {
        approvals: vec![signed(&sealed, "recovery", &proposal, Decision::Approve)],
        attachments: vec![Attachment {
            kind: AttachmentKind::Document(kind),
            content,
        }],
        proposal,
    }
}

/// The version of alfa's register of custodians, and in which state the change is.
async fn stands(world: &World, file: &ChangeFile) -> (u64, ChangeState) {
    let snapshot = world.authority.current().await.unwrap();
    let standing = snapshot.standing(&alfa()).unwrap();
    let version = standing.custodians().version();
    let (ctx, id) = (world.ctx(), file.proposal.id());
    let shown = world.authority.change(&ctx, id).await.unwrap();
    (version, shown.change.state)
}

#[tokio::test]
async fn its_delay_counts_from_when_it_was_told_of() {
    let world = World::new().await;
    let file = asked(&world).await;
    let proposed = world.propose(&file).await.unwrap();
    assert_eq!(proposed.state, ChangeState::Pending);
    let later = |seconds: i64| {
        world.hands.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    };
    for (pass, executed) in [(0, 0), (24 * HOUR - 1, 0), (1, 1), (1, 0)] {
        later(pass);
        assert_eq!(world.authority.recover().await.unwrap(), executed);
    }
    assert_eq!(stands(&world, &file).await, (3, ChangeState::Executed));
    // Whoever starts agrees, and does not if it was executed too early.
    let again = world.restarted().await;
    assert!(again.snapshot().standing(&alfa()).is_ok());
    world.write("UPDATE change SET ended_at = ended_at - 2000000 WHERE sequence = 3");
    let again = world.restarted().await;
    assert!(again.snapshot().standing(&alfa()).is_err());
}

#[tokio::test]
async fn a_quorum_that_is_still_there_calls_it_off() {
    let world = World::new().await;
    let file = asked(&world).await;
    let waits = world.bring(&file).await.unwrap_err();
    assert!(matches!(waits, BringError::Waits(_)), "{waits}");
    assert_eq!(stands(&world, &file).await, (2, ChangeState::Pending));
    world.bring(&world.policy(2, &[1, 2])).await.unwrap();
    world
        .hands
        .fetch_add(30 * HOUR * 1_000_000, Ordering::SeqCst);
    assert_eq!(world.authority.recover().await.unwrap(), 0);
    assert_eq!(stands(&world, &file).await, (2, ChangeState::Superseded));
}
