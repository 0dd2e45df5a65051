//! Everything that must not pass for an institution's next change, against the running service: each is refused with its
//! reason, and what stands does not move.

use e2e::{custodian::Motion, deployment::unix_now, failure::Failure, recheck::recheck};
use semops_objects::change::{Base, DocumentKind, KeyOperation, Operation, Proposal};
use semops_proto::v1::ChangeState;
use toml::{Table, Value};

use super::{
    attacks::{Desk, entry},
    desk::{of_key, policy, refused, stands},
};

#[tokio::test]
async fn nothing_passes_for_the_next_change() -> Result<(), Failure> {
    let mut desk = Desk::open().await?;
    documents_are_what_was_approved(&desk).await?;
    the_quorum_cannot_be_talked_down(&desk).await?;
    a_change_is_made_to_what_stands(&desk).await?;
    a_change_has_its_time(&desk).await?;
    what_was_executed_is_executed_once(&desk).await?;
    recheck(&mut desk.deployment).await.map(drop)
}

/// Other bytes than those whose digest is in the proposal, other versions, none at all, more than are named.
async fn documents_are_what_was_approved(desk: &Desk) -> Result<(), Failure> {
    let before = desk.sequence()?;
    let propose = async |motion: &Motion| {
        let asked = desk.anna.proposes(motion)?;
        Ok::<_, Failure>(desk.client.propose_change(asked).await)
    };
    let mut other = desk.motion()?;
    other.attachments[0].content.push('\n');
    refused(propose(&other).await?, "DOCUMENT_MISMATCH")?;
    for version in [1, 3] {
        let motion = policy(&desk.deployment, version, "9000.00")?;
        refused(propose(&motion).await?, "DOCUMENT_MISMATCH")?;
    }
    let mut without = desk.motion()?;
    without.attachments.clear();
    refused(propose(&without).await?, "ATTACHMENT_MISMATCH")?;
    let mut more = of_key(&desk.deployment, KeyOperation::Suspend)?;
    more.attachments = desk.motion()?.attachments;
    refused(propose(&more).await?, "ATTACHMENT_MISMATCH")?;
    let senseless = desk.deployment.document_motion(
        DocumentKind::Policy,
        "institution = \"alfa\"\nversion = 2\nchannels = []\n",
    )?;
    refused(propose(&senseless).await?, "DOCUMENT_INVALID")?;
    assert_eq!(desk.sequence()?, before);
    Ok(())
}

/// A register in which one person would do, or in which the loss of one would leave too few.
async fn the_quorum_cannot_be_talked_down(desk: &Desk) -> Result<(), Failure> {
    let registers = [
        (
            "QUORUM_TOO_SMALL",
            desk.register(|register| quorum(register, 1))?,
        ),
        (
            "QUORUM_TOO_SMALL",
            desk.register(|register| quorum(register, 0))?,
        ),
        (
            "TOO_FEW_CUSTODIANS",
            desk.register(|register| quorum(register, 4))?,
        ),
        (
            "TOO_FEW_CUSTODIANS",
            desk.register(|register| {
                let custodians = register["custodian"].as_array_mut();
                custodians.unwrap().truncate(2);
            })?,
        ),
        (
            "TOO_FEW_CUSTODIANS",
            desk.register(|register| {
                for person in ["anna-berg", "boris-chan"] {
                    let state = Value::String("suspended".to_owned());
                    entry(register, person).insert("state".to_owned(), state);
                }
            })?,
        ),
    ];
    for (reason, motion) in &registers {
        let asked = desk.anna.proposes(motion)?;
        refused(desk.client.propose_change(asked).await, reason)?;
    }
    Ok(())
}

fn quorum(register: &mut Table, persons: i64) {
    register.insert("quorum".to_owned(), Value::Integer(persons));
}

/// Not to what stood before, nor to what may stand later, nor in another scheme.
async fn a_change_is_made_to_what_stands(desk: &Desk) -> Result<(), Failure> {
    let good = desk.motion()?;
    let base = good.proposal.base().clone();
    let on = |edit: &dyn Fn(&mut Base)| {
        let mut other = base.clone();
        edit(&mut other);
        let (iat, exp) = (good.proposal.iat(), good.proposal.exp());
        let operation = good.proposal.operation().clone();
        Ok::<_, Failure>(Motion {
            proposal: Proposal::new(other, operation, [7; 16], iat, exp)?,
            attachments: good.attachments.clone(),
        })
    };
    for (reason, motion) in [
        ("BASE_MOVED", on(&|base| base.sequence += 1)?),
        (
            "BASE_MOVED",
            on(&|base| base.previous = Some(good.proposal.id()))?,
        ),
        (
            "OTHER_SCHEME",
            on(&|base| base.scheme = "semops.test".to_owned())?,
        ),
    ] {
        let asked = desk.anna.proposes(&motion)?;
        refused(desk.client.propose_change(asked).await, reason)?;
    }
    // What stands moves while one waits for its second approval.
    desk.proposed(&good).await?;
    desk.deployment.bring(&desk.motion()?)?;
    let late = desk.client.approve_change(desk.boris.approves(&good)?);
    refused(late.await, "BASE_MOVED")?;
    Ok(())
}

/// Neither before it nor after it.
async fn a_change_has_its_time(desk: &Desk) -> Result<(), Failure> {
    let now = u64::try_from(unix_now()?)?;
    for (reason, iat) in [
        ("CHANGE_EXPIRED", now - 61),
        ("CHANGE_NOT_YET_VALID", now + 3_000),
    ] {
        let motion = desk.motion()?;
        let base = motion.proposal.base().clone();
        let operation = motion.proposal.operation().clone();
        let untimely = Motion {
            proposal: Proposal::new(base, operation, [8; 16], iat, iat + 60)?,
            ..motion
        };
        let asked = desk.anna.proposes(&untimely)?;
        refused(desk.client.propose_change(asked).await, reason)?;
    }
    Ok(())
}

/// The whole of an executed change sent again is answered as it stands; its parts are worth nothing in another.
async fn what_was_executed_is_executed_once(desk: &Desk) -> Result<(), Failure> {
    let motion = desk.motion()?;
    desk.proposed(&motion).await?;
    let approval = desk.boris.approves(&motion)?;
    desk.client.approve_change(approval.clone()).await?;
    let (after, version) = (desk.sequence()?, desk.policy_version()?);
    let asked = desk.anna.proposes(&motion)?;
    for _ in 0..2 {
        let again = desk.client.propose_change(asked.clone()).await?;
        assert_eq!(stands(again.change), (ChangeState::Executed, 2));
        let again = desk.client.approve_change(approval.clone()).await?;
        assert_eq!(stands(again.change), (ChangeState::Executed, 2));
    }
    let late = desk.client.approve_change(desk.chloe.approves(&motion)?);
    refused(late.await, "CHANGE_ENDED")?;
    let operation: Operation = motion.proposal.operation().clone();
    let mut anew = desk.deployment.motion("alfa", operation)?;
    anew.attachments = motion.attachments;
    let called = desk.client.propose_change(desk.anna.proposes(&anew)?);
    refused(called.await, "DOCUMENT_MISMATCH")?;
    assert_eq!((desk.sequence()?, desk.policy_version()?), (after, version));
    Ok(())
}
