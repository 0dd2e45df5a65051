//! A key whose lifetime policy limits: over two services it signs exactly so many objects, and its successor goes on.

use std::time::Duration;

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    numbers::Numbers,
    recheck::recheck,
    refusal::demand,
    until::until,
};
use semops_objects::{AuthorizationJws, key::KeyId, key::Purpose};
use semops_proto::{
    client::Client,
    v1::{self, CosignOrderRequest},
};
use softhsm_setup::scheme::Role;
use tonic::Code;

use super::{
    SOON,
    plan::{NewKey, Plan, signing_key},
    two,
};

const LIFETIME: u64 = 25;
const CUSTOMERS: usize = 6;
const ORDERS: usize = 12;

/// Puts a policy in force under which alfa's keys sign so many authorizations.
fn limit(deployment: &Deployment, version: u64, lifetime: u64) -> Result<(), Failure> {
    let with = move |text: String| format!("{text}\n[key_lifetime]\nauthorization = {lifetime}\n");
    deployment.load_next("policy", "alfa", version, with)?;
    Ok(())
}

/// Asks for all of them at once, by turns at both services. Answers those that are refused because the key is worn out, and
/// the keys of the others.
async fn ask(
    banks: &[Client; 2],
    orders: Vec<CosignOrderRequest>,
) -> Result<(Vec<CosignOrderRequest>, Vec<KeyId>), Failure> {
    let mut asked = Vec::new();
    for (ask, bank) in orders.into_iter().zip(banks.iter().cycle().cloned()) {
        let call = async move { (bank.cosign_order(ask.clone()).await, ask) };
        asked.push(tokio::spawn(call));
    }
    let (mut refused, mut signed) = (Vec::new(), Vec::new());
    for task in asked {
        let (answer, ask) = task.await?;
        match answer {
            Ok(answer) => {
                let jws = AuthorizationJws::parse(&answer.authorization_jws)?;
                signed.push(KeyId::new(jws.kid()));
            }
            worn_out => {
                demand(worn_out, Code::Unavailable, "KEY_WORN_OUT")?;
                refused.push(ask);
            }
        }
    }
    Ok((refused, signed))
}

/// What a custodian sees of a key: how much it has signed, and may sign.
async fn shown(custodian: &Client, key: KeyId) -> Result<(u64, Option<u64>), Failure> {
    let key_id = key.to_string();
    let answer = custodian.get_key(v1::GetKeyRequest { key_id }).await?;
    let key = answer.key.unwrap_or_default();
    Ok((key.signatures, key.lifetime_signatures))
}

#[tokio::test]
async fn a_key_signs_what_its_lifetime_allows_and_its_successor_goes_on() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, replica) = two(&cluster).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let mut orders = Vec::new();
    for _ in 0..CUSTOMERS {
        let customer = Customer::of_alfa(&deployment).await?;
        for _ in 0..ORDERS {
            orders.push(customer.asks(&order("1.00", "EUR")?)?);
        }
    }
    limit(&deployment, 2, LIFETIME)?;
    let lifetime = usize::try_from(LIFETIME)?;
    let worn = signing_key(&custodian, Purpose::Authorization).await?;
    let (refused, signed) = ask(&banks, orders).await?;
    assert_eq!(signed, vec![worn; lifetime]);
    assert_eq!(refused.len(), CUSTOMERS * ORDERS - lifetime);
    assert_eq!(shown(&custodian, worn).await?, (LIFETIME, Some(LIFETIME)));
    measured(&deployment, worn).await?;

    // Whoever is refused may ask again for the same, once there is a successor.
    let new = NewKey::certified(&deployment, &custodian, Purpose::Authorization).await?;
    let plan = Plan::of("alfa", worn, &new, Duration::from_secs(2), Duration::ZERO)?;
    plan.execute(&deployment, &new)?;
    plan.retired().await?;
    let (refused, signed) = ask(&banks, refused).await?;
    assert_eq!(signed, vec![new.id; lifetime]);
    limit(&deployment, 3, 1_000)?;
    let left = refused.len();
    let (refused, signed) = ask(&banks, refused).await?;
    assert_eq!((refused.len(), signed), (0, vec![new.id; left]));
    assert_eq!(shown(&custodian, worn).await?.0, LIFETIME);

    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, CUSTOMERS * ORDERS);
    replica.stop().await?;
    deployment.stop().await
}

/// Waits until both numbers of the key are measured.
async fn measured(deployment: &Deployment, key: KeyId) -> Result<(), Failure> {
    let name = key.to_string();
    until("the key's numbers", SOON, async || {
        let numbers = Numbers::of(deployment)?;
        let metrics = ["semops_key_signatures", "semops_key_lifetime_signatures"];
        let told = metrics.map(|metric| numbers.count(metric, &[("key", &name)]));
        Ok((told == [LIFETIME; 2]).then_some(()))
    })
    .await
}
