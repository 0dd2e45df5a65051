//! The ways of a change: approved and in force with the next request, wherever it is asked; rejected, superseded, expired;
//! shown to those who may see it.

use std::time::Duration;

use e2e::{
    clock::Hands, cluster::Cluster, custodian::Motion, customer::Customer, deployment::Deployment,
    failure::Failure, recheck::recheck, refusal::demand, until::until,
};
use semops_objects::change::{DocumentKind, Operation, Proposal};
use semops_proto::{
    client::Client,
    v1::{self, ChangeState},
};
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Code;

use super::{
    desk::{orders, policy, refused, standing, stands},
    emergency,
};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_two_have_approved_rules_the_next_request_at_both_replicas() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let prepared = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let (mut deployment, replica) = prepared.doubled(&cluster).await?;
    let desks = replica.both(&deployment, "alfa", Role::Custodian).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    proposed_at_one_and_approved_at_the_other(&deployment, &desks, &banks, &customer).await?;
    emergency::one_suspends_and_two_resume(&deployment, &desks, &banks, &customer).await?;
    recheck(&mut deployment).await?;
    replica.stop().await?;
    deployment.stop().await
}

async fn proposed_at_one_and_approved_at_the_other(
    deployment: &Deployment,
    desks: &[Client; 2],
    banks: &[Client; 2],
    customer: &Customer,
) -> Result<(), Failure> {
    let [anna, boris, _] = deployment.custodians("alfa")?.try_into().unwrap();
    let motion = policy(deployment, 2, "2.00")?;
    let proposed = desks[0].propose_change(anna.proposes(&motion)?).await?;
    assert_eq!(stands(proposed.change), (ChangeState::Pending, 1));
    // Nothing of it is in force.
    for bank in banks {
        assert_eq!(orders(bank, customer, "2.01").await?, None);
    }
    let approved = desks[1].approve_change(boris.approves(&motion)?).await?;
    assert_eq!(stands(approved.change), (ChangeState::Executed, 2));
    for bank in banks {
        let refused = orders(bank, customer, "2.01").await?;
        assert_eq!(refused.as_deref(), Some("AMOUNT_OVER_POLICY"));
        assert_eq!(orders(bank, customer, "2.00").await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn changes_end_in_one_way_each_and_are_shown() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = deployment.client("alfa", Role::Custodian).await?;
    let rejected = rejected(&deployment, &desk).await?;
    let (superseded, executed) = superseded(&deployment, &desk).await?;
    shown(&deployment, &desk, &rejected, &superseded, &executed).await?;
    recheck(&mut deployment).await?;
    deployment.stop().await
}

/// Two of three are against it: nobody is left who could make a second approval.
async fn rejected(deployment: &Deployment, desk: &Client) -> Result<Motion, Failure> {
    let [anna, boris, chloe] = deployment.custodians("alfa")?.try_into().unwrap();
    let motion = policy(deployment, 2, "3.00")?;
    let proposed = desk.propose_change(anna.proposes(&motion)?).await?;
    assert_eq!(stands(proposed.change), (ChangeState::Pending, 1));
    let first = desk.reject_change(boris.rejects(&motion)?).await?;
    assert_eq!(stands(first.change), (ChangeState::Pending, 2));
    refused(
        desk.approve_change(boris.approves(&motion)?).await,
        "ALREADY_DECIDED",
    )?;
    let second = desk.reject_change(chloe.rejects(&motion)?).await?;
    assert_eq!(stands(second.change), (ChangeState::Rejected, 3));
    // Its end is final, and the same again is answered as it stands.
    let again = desk.reject_change(chloe.rejects(&motion)?).await?;
    assert_eq!(stands(again.change), (ChangeState::Rejected, 3));
    let again = desk.propose_change(anna.proposes(&motion)?).await?;
    assert_eq!(stands(again.change), (ChangeState::Rejected, 3));
    assert_eq!(deployment.base("alfa")?.sequence, 2);
    Ok(motion)
}

/// Of two changes on the same base one is executed, and the other never.
async fn superseded(deployment: &Deployment, desk: &Client) -> Result<(Motion, Motion), Failure> {
    let [anna, boris, chloe] = deployment.custodians("alfa")?.try_into().unwrap();
    let (one, other) = (
        policy(deployment, 2, "4.00")?,
        policy(deployment, 2, "5.00")?,
    );
    desk.propose_change(anna.proposes(&one)?).await?;
    desk.propose_change(boris.proposes(&other)?).await?;
    let executed = desk.approve_change(chloe.approves(&other)?).await?;
    assert_eq!(stands(executed.change), (ChangeState::Executed, 2));
    assert_eq!(standing(desk, &one).await?, (ChangeState::Superseded, 1));
    refused(
        desk.approve_change(boris.approves(&one)?).await,
        "BASE_MOVED",
    )?;
    assert_eq!(standing(desk, &one).await?, (ChangeState::Superseded, 1));
    Ok((one, other))
}

/// Lists and single changes, for custodians and auditors of the institution alone.
async fn shown(
    deployment: &Deployment,
    desk: &Client,
    rejected: &Motion,
    superseded: &Motion,
    executed: &Motion,
) -> Result<(), Failure> {
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let bytes = |motion: &Motion| motion.proposal.bytes().to_vec();
    let listed = async |client: &Client, state: ChangeState, before: Vec<u8>| {
        let state = state.into();
        let ask = v1::ListChangesRequest { state, before };
        let changes = client.list_changes(ask).await?.changes.into_iter();
        Ok::<_, Failure>(changes.map(|change| change.proposal).collect::<Vec<_>>())
    };
    let all = listed(&auditor, ChangeState::Unspecified, Vec::new()).await?;
    let expected = [executed, superseded, rejected].map(bytes);
    assert_eq!(all.len(), 4, "with the ceremony");
    assert_eq!(all[..3], expected);
    let before = listed(desk, ChangeState::Unspecified, superseded.change_id()).await?;
    assert_eq!(before, all[2..]);
    for (state, motion) in [
        (ChangeState::Rejected, rejected),
        (ChangeState::Superseded, superseded),
    ] {
        assert_eq!(
            listed(desk, state, Vec::new()).await?,
            [bytes(motion)],
            "{state:?}"
        );
    }
    assert_eq!(
        listed(desk, ChangeState::Pending, Vec::new()).await?,
        Vec::<Vec<u8>>::new()
    );
    let shown = auditor.get_change(executed.request()).await?;
    let change = shown.change.unwrap();
    assert_eq!(change.proposal, bytes(executed));
    assert!(change.ended_at >= change.proposed_at);
    let content = executed.attachments[0].content.as_bytes();
    let kinds: Vec<_> = shown.documents.iter().map(|one| one.kind()).collect();
    assert_eq!(kinds, [v1::DocumentKind::Policy]);
    assert_eq!(shown.documents[0].content, content);
    // Of what was not to be nothing is kept but the proposal.
    let shown = auditor.get_change(rejected.request()).await?;
    assert_eq!(shown.documents, []);
    // At beta there is none of them.
    let beta = deployment.client("beta", Role::Custodian).await?;
    let called = beta.get_change(executed.request()).await;
    demand(called, Code::NotFound, "CHANGE_NOT_FOUND")?;
    assert_eq!(
        listed(&beta, ChangeState::Unspecified, Vec::new())
            .await?
            .len(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn what_is_not_approved_in_its_time_expires() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment
        .start_with(hands.of(deployment.signer()?))
        .await?;
    let desk = deployment.client("alfa", Role::Custodian).await?;
    let [anna, boris, _] = deployment.custodians("alfa")?.try_into().unwrap();
    let motion = policy(&deployment, 2, "2.00")?;
    let (iat, exp) = (motion.proposal.iat(), motion.proposal.exp());
    desk.propose_change(anna.proposes(&motion)?).await?;
    hands.set(i64::try_from(exp - iat)?)?;
    refused(
        desk.approve_change(boris.approves(&motion)?).await,
        "CHANGE_EXPIRED",
    )?;
    until("the sweep of changes", SOON, async || {
        let (state, _) = standing(&desk, &motion).await?;
        Ok((state == ChangeState::Expired).then_some(()))
    })
    .await?;
    refused(
        desk.approve_change(boris.approves(&motion)?).await,
        "CHANGE_EXPIRED",
    )?;
    // The same may be proposed anew, in a time of its own.
    hands.set(0)?;
    let again = anew(&deployment, &motion)?;
    desk.propose_change(anna.proposes(&again)?).await?;
    let approved = desk.approve_change(boris.approves(&again)?).await?;
    assert_eq!(stands(approved.change), (ChangeState::Executed, 2));
    recheck(&mut deployment).await?;
    deployment.stop().await
}

/// The same operation in another proposal.
fn anew(deployment: &Deployment, motion: &Motion) -> Result<Motion, Failure> {
    let operation: Operation = motion.proposal.operation().clone();
    let proposal: Proposal = deployment.motion("alfa", operation)?.proposal;
    assert_ne!(proposal.id(), motion.proposal.id());
    assert_eq!(
        motion.attachments[0].kind.name(),
        DocumentKind::Policy.name()
    );
    Ok(Motion {
        proposal,
        attachments: motion.attachments.clone(),
    })
}
