//! What the service that lies makes of true answers.

use semops_proto::v1::{self, ChangeState};

/// What is made of true answers.
#[derive(Clone, Copy)]
pub(super) struct Lie {
    pub(super) told: &'static str,
    pub(super) change: fn(&mut v1::GetChangeResponse),
    pub(super) changes: fn(&mut v1::ListChangesResponse),
    pub(super) document: fn(&mut v1::GetDocumentResponse),
}

pub(super) const TRUTH: Lie = Lie {
    told: "the truth",
    change: |_| {},
    changes: |_| {},
    document: |_| {},
};

/// Lies about a change that waits for its second approval. The newest executed change is alfa's second policy.
pub(super) const LIES: &[Lie] = &[
    Lie {
        told: "another change under the id that was asked for",
        change: |answer| {
            let change = answer.change.as_mut().unwrap();
            let text = String::from_utf8(change.proposal.clone()).unwrap();
            change.proposal = text.replace("\"version\":3", "\"version\":4").into_bytes();
        },
        ..TRUTH
    },
    Lie {
        told: "another document than the one that is proposed",
        change: |answer| {
            let text = String::from_utf8(answer.documents[0].content.clone()).unwrap();
            answer.documents[0].content = text.replace("300.00", "250.00").into_bytes();
        },
        ..TRUTH
    },
    Lie {
        told: "no document at all",
        change: |answer| answer.documents.clear(),
        ..TRUTH
    },
    Lie {
        told: "an approval that nobody gave",
        change: |answer| {
            let approvals = &mut answer.change.as_mut().unwrap().approvals;
            let mut forged = approvals[0].clone().into_bytes();
            let last = forged.len() - 10;
            forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
            approvals[0] = String::from_utf8(forged).unwrap();
        },
        ..TRUTH
    },
    Lie {
        told: "the same approval twice",
        change: |answer| {
            let approvals = &mut answer.change.as_mut().unwrap().approvals;
            approvals.push(approvals[0].clone());
        },
        ..TRUTH
    },
    Lie {
        told: "executed, though one approval is missing",
        change: |answer| {
            answer
                .change
                .as_mut()
                .unwrap()
                .set_state(ChangeState::Executed)
        },
        ..TRUTH
    },
    Lie {
        told: "rejected by nobody",
        change: |answer| {
            answer
                .change
                .as_mut()
                .unwrap()
                .set_state(ChangeState::Rejected)
        },
        ..TRUTH
    },
    Lie {
        told: "expired before its time",
        change: |answer| {
            answer
                .change
                .as_mut()
                .unwrap()
                .set_state(ChangeState::Expired)
        },
        ..TRUTH
    },
    Lie {
        told: "another policy in force",
        document: |answer| {
            let text = String::from_utf8(answer.content.clone()).unwrap();
            answer.content = text.replace("200.00", "150.00").into_bytes();
        },
        ..TRUTH
    },
    Lie {
        told: "a history without its last change",
        changes: |answer| {
            let executed = ChangeState::Executed;
            let last = answer
                .changes
                .first()
                .is_some_and(|change| change.state() == executed);
            if last && answer.changes.len() > 1 {
                answer.changes.remove(0);
            }
        },
        ..TRUTH
    },
    Lie {
        told: "a history with an approval left out",
        changes: |answer| {
            let first = answer.changes.first_mut();
            drop(first.and_then(|change| change.approvals.pop()));
        },
        ..TRUTH
    },
    Lie {
        told: "no history",
        changes: |answer| answer.changes.clear(),
        ..TRUTH
    },
    Lie {
        told: "a change that waits as executed",
        changes: |answer| {
            for change in &mut answer.changes {
                let text = String::from_utf8(change.proposal.clone()).unwrap();
                change.proposal = text.replace("\"version\":2", "\"version\":3").into_bytes();
            }
        },
        ..TRUTH
    },
];
