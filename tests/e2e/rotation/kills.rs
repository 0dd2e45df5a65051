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

async fn killed(deployment: &mut Deployment, institution: &str) -> Result<Client, Failure> {
    deployment.kill()?;
    deployment.start().await?;
    deployment.client(institution, Role::Custodian).await
}

/// What the keys that are rotated sign.
enum Work {
    /// Orders of this customer of alfa's.
    Orders(Box<Customer>),
    /// Certificates of mobilis' phones.
    Phones,
}

impl Work {
    /// One thing more, by the key that its time asks for.
    async fn goes_on(
        &self,
        deployment: &Deployment,
        plan: Option<&Plan>,
        old: KeyId,
    ) -> Result<(), Failure> {
        let asked = u64::try_from(unix_now()?)?;
        let by = match self {
            Self::Orders(customer) => {
                let bank = deployment.client("alfa", Role::Payments).await?;
                let ask = customer.asks(&order("0.01", "EUR")?)?;
                let answer = bank.cosign_order(ask).await?;
                KeyId::new(AuthorizationJws::parse(&answer.authorization_jws)?.kid())
            }
            Self::Phones => {
                let issuer = deployment.client("mobilis", Role::Enrolment).await?;
                let customer = Customer::enrolled_by(&issuer).await?;
                KeyId::of(customer.phone.chain()?[1].public_key())
            }
        };
        let answered = u64::try_from(unix_now()?)?;
        let expected = plan.map_or(Some(old), |plan| plan.signer(asked, answered));
        assert!(expected.is_none_or(|expected| expected == by));
        Ok(())
    }
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

/// Kills the service after each step of a rotation.
async fn drill(
    deployment: &mut Deployment,
    institution: &'static str,
    purpose: Purpose,
    work: &Work,
) -> Result<(), Failure> {
    let custodian = deployment.client(institution, Role::Custodian).await?;
    let old = signing_key(&custodian, purpose).await?;

    // The key is made.
    let request = Uuid::new_v4();
    let made = NewKey::asked(&custodian, purpose, request).await?;
    let custodian = killed(deployment, institution).await?;
    let again = NewKey::asked(&custodian, purpose, request).await?;
    assert_eq!(
        (&again.key_id, &again.certificate_chain),
        (&made.key_id, &made.certificate_chain)
    );
    assert_eq!(again.certification_request, made.certification_request);
    let new = NewKey::with_certificate(deployment, &again)?;
    work.goes_on(deployment, None, old).await?;

    // Proposed.
    let [first, second, ..] = &deployment.custodians(institution)?[..] else {
        panic!("it has custodians");
    };
    let lead = Duration::from_secs(10);
    let plan = Plan::of(institution, old, &new, lead, Duration::from_secs(2))?;
    let motion = plan.motion(deployment, &new)?;
    custodian
        .propose_change(v1::ProposeChangeRequest {
            certificate: new.certificate.der().to_vec(),
            ..first.proposes(&motion)?
        })
        .await?;
    let custodian = killed(deployment, institution).await?;
    stands(&custodian, motion.request(), v1::ChangeState::Pending).await?;
    work.goes_on(deployment, None, old).await?;

    // Approved, before the new key begins.
    custodian.approve_change(second.approves(&motion)?).await?;
    let custodian = killed(deployment, institution).await?;
    stands(&custodian, motion.request(), v1::ChangeState::Executed).await?;
    work.goes_on(deployment, Some(&plan), old).await?;

    // Once the new key has begun, and once the old one has ended.
    for moment in [plan.activate_at, plan.retire_at] {
        from(moment).await?;
        work.goes_on(deployment, Some(&plan), old).await?;
        killed(deployment, institution).await?;
        work.goes_on(deployment, Some(&plan), old).await?;
    }
    let custodian = deployment.client(institution, Role::Custodian).await?;
    assert_eq!(signing_key(&custodian, purpose).await?, new.id);
    Ok(())
}

#[tokio::test]
async fn a_rotation_goes_on_wherever_it_was_killed() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let work = Work::Orders(Box::new(Customer::of_alfa(&deployment).await?));
    drill(&mut deployment, "alfa", Purpose::Authorization, &work).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 7);
    deployment.stop().await
}

#[tokio::test]
async fn a_cas_rotation_goes_on_wherever_it_was_killed() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    drill(&mut deployment, "mobilis", Purpose::DeviceCa, &Work::Phones).await?;
    assert_eq!(recheck(&mut deployment).await?.certificates, 7);
    deployment.stop().await
}
