//! Two replicas, of which one has the scheme's new change and the other not yet: each judges by what it has, the one that lags
//! uses nothing that rests on the new root, says so, and goes on with all else.

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    numbers::Numbers,
    recheck::recheck,
    refusal,
    until::until,
};
use rustix::process::Signal;
use semops_objects::change::DocumentKind;
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tonic::Code;

use super::{SOON, TAKEN, add, add_to, demand, desk::Desk, hang_up, trust_on};

async fn change(client: &Client) -> Result<u64, Failure> {
    let status = client.get_status(v1::GetStatusRequest {}).await?;
    Ok(status.scheme_change)
}

/// Whether alfa's trust document is used there.
fn unapproved(numbers: &Numbers) -> Option<f64> {
    let labels = [("institution", "alfa"), ("what", "trust")];
    numbers.sum("semops_unapproved", &labels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lags_uses_nothing_that_rests_on_the_new_root() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let prepared = Deployment::prepare(softhsm_setup::scheme::Scheme::EXAMPLE, &mut |_| {})?;
    let (mut deployment, mut replica) = prepared.doubled(&cluster).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let [first, second] = replica.both(&deployment, "alfa", Role::Payments).await?;
    let desk = Desk::new(&deployment)?;
    let root = desk.root("second")?;
    desk.roots(2, &[&desk.first()?, &root])?;
    let document = "documents/roots-2.toml";
    let said = desk.propose("roots", document, "second.json", "vera-holm")?;
    demand(&said, &["PENDING"]);
    let said = desk.decides("approve", "second.json", "xenia-jung")?;
    demand(&said, &["APPROVED"]);
    add(&deployment, "second.json")?;
    let said = hang_up(&mut deployment).await?;
    assert!(said.contains(TAKEN), "{said}");
    assert_eq!((change(&first).await?, change(&second).await?), (2, 1));

    // alfa's custodians rest their trust on the new root: one replica knows it.
    let trust = trust_on(&deployment, 2, &root)?;
    deployment.bring(&deployment.document_motion(DocumentKind::Trust, &trust)?)?;
    let cosigned = first
        .cosign_order(customer.asks(&order("1.00", "EUR")?)?)
        .await?;
    let verify = async |client: &Client| {
        let authorization_jws = cosigned.authorization_jws.clone();
        let ask = v1::VerifyAuthorizationRequest { authorization_jws };
        client.verify_authorization(ask).await
    };
    assert_eq!(verify(&first).await?.verdict(), v1::Verdict::Valid);
    refusal::demand(verify(&second).await, Code::Unavailable, "NOT_APPROVED")?;
    until("the lagging replica's word", SOON, async || {
        let lags = unapproved(&replica.numbers()?) == Some(1.0);
        Ok(lags.then_some(()))
    })
    .await?;
    assert_eq!(unapproved(&Numbers::of(&deployment)?), Some(0.0));
    second
        .cosign_order(customer.asks(&order("2.00", "EUR")?)?)
        .await?;

    // Then it has the file, too.
    add_to(replica.config(), "second.json")?;
    replica.process().signal(Signal::HUP)?;
    until("the replica's roots", SOON, async || {
        let there = change(&second).await? == 2;
        Ok(there.then_some(()))
    })
    .await?;
    assert_eq!(verify(&second).await?.verdict(), v1::Verdict::Valid);
    recheck(&mut deployment).await?;
    replica.stop().await
}
