//! The service killed after each step of a rotation: what was done stands, what was not is done by the same call again, and
//! every signature is by the key whose time it was.

use std::time::Duration;

use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    recheck::recheck,
    until::until,
};
use semops_objects::{
    AuthorizationJws,
    key::{KeyId, Purpose},
};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use uuid::Uuid;

use super::{
    SOON,
    plan::{NewKey, Plan, signing_key},
};

async fn killed(deployment: &mut Deployment) -> Result<Client, Failure> {
    deployment.kill()?;
    deployment.start().await?;
    deployment.client("alfa", Role::Custodian).await
}

/// One order more, by the key that its time asks for.
async fn pays(
    deployment: &Deployment,
    customer: &Customer,
    plan: Option<&Plan>,
    old: KeyId,
) -> Result<(), Failure> {
    let bank = deployment.client("alfa", Role::Payments).await?;
    let answer = bank
        .cosign_order(customer.asks(&order("0.01", "EUR")?)?)
        .await?;
    let jws = AuthorizationJws::parse(&answer.authorization_jws)?;
    let begun = plan.filter(|plan| plan.activate_at <= jws.authorization().iat);
    assert_eq!(KeyId::new(jws.kid()), begun.map_or(old, |plan| plan.to));
    Ok(())
}

async fn stands(
    custodian: &Client,
    change: v1::GetChangeRequest,
    state: v1::ChangeState,
) -> Result<(), Failure> {
    let change = custodian.get_change(change).await?.change;
    assert_eq!(change.unwrap_or_default().state(), state);
    Ok(())
}

async fn from(moment: u64) -> Result<(), Failure> {
    until("the moment", SOON, async || {
        let come = u64::try_from(unix_now()?)? >= moment;
        Ok(come.then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_rotation_goes_on_wherever_it_was_killed() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let old = signing_key(&custodian, Purpose::Authorization).await?;

    // The key is made, and certified.
    let request = Uuid::new_v4();
    let made = NewKey::asked(&custodian, Purpose::Authorization, request).await?;
    let custodian = killed(&mut deployment).await?;
    let new = NewKey::asked(&custodian, Purpose::Authorization, request).await?;
    assert_eq!((new.id, &new.certificate), (made.id, &made.certificate));
    pays(&deployment, &customer, None, old).await?;

    // Proposed.
    let [first, second, ..] = &deployment.custodians("alfa")?[..] else {
        panic!("alfa has custodians");
    };
    let lead = Duration::from_secs(10);
    let plan = Plan::of(old, &new, lead, Duration::from_secs(2))?;
    let motion = plan.motion(&deployment, &new)?;
    custodian
        .propose_change(v1::ProposeChangeRequest {
            certificate: new.certificate.der().to_vec(),
            ..first.proposes(&motion)?
        })
        .await?;
    let custodian = killed(&mut deployment).await?;
    stands(&custodian, motion.request(), v1::ChangeState::Pending).await?;
    pays(&deployment, &customer, None, old).await?;

    // Approved, before the new key begins.
    custodian.approve_change(second.approves(&motion)?).await?;
    let custodian = killed(&mut deployment).await?;
    stands(&custodian, motion.request(), v1::ChangeState::Executed).await?;
    pays(&deployment, &customer, Some(&plan), old).await?;

    // Once the new key has begun, and once the old one has ended.
    for moment in [plan.activate_at, plan.retire_at] {
        from(moment).await?;
        pays(&deployment, &customer, Some(&plan), old).await?;
        killed(&mut deployment).await?;
        pays(&deployment, &customer, Some(&plan), old).await?;
    }
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    assert_eq!(
        signing_key(&custodian, Purpose::Authorization).await?,
        new.id
    );
    assert_eq!(recheck(&mut deployment).await?.authorizations, 7);
    deployment.stop().await
}
