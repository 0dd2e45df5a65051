//! A key that has signed all that its lifetime allows: the key in the other token signs on, and nobody is refused before
//! both are worn out.

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    refusal::demand,
};
use semops_objects::{AuthorizationJws, key::KeyId};
use semops_proto::{client::Client, v1::CosignOrderRequest};
use softhsm_setup::scheme::Role;
use tonic::Code;

use super::two::{FIRST, SECOND, TwoTokens};

const LIFETIME: usize = 25;
const CUSTOMERS: usize = 6;

/// Puts a policy in force under which each of alfa's keys signs so many authorizations.
fn limit(deployment: &Deployment, version: u64, lifetime: usize) -> Result<(), Failure> {
    let with = |text: String| format!("{text}\n[key_lifetime]\nauthorization = {lifetime}\n");
    deployment.load_next("policy", "alfa", version, with)
}

/// So many new orders of these customers.
fn orders(customers: &[Customer], count: usize) -> Result<Vec<CosignOrderRequest>, Failure> {
    let customers = customers.iter().cycle().take(count);
    customers
        .map(|customer| customer.asks(&order("0.01", "EUR")?))
        .collect()
}

/// Asks for all of them at once. How many are by each key, and those that were refused because no key may sign more.
async fn at_once(
    two: &TwoTokens,
    bank: &Client,
    orders: Vec<CosignOrderRequest>,
) -> Result<([usize; 2], Vec<CosignOrderRequest>), Failure> {
    let asked = orders.into_iter().map(|ask| {
        let bank = bank.clone();
        tokio::spawn(async move { (bank.cosign_order(ask.clone()).await, ask) })
    });
    let (mut signed, mut refused) = ([0; 2], Vec::new());
    for task in asked.collect::<Vec<_>>() {
        match task.await? {
            (Ok(answer), _) => {
                let kid = AuthorizationJws::parse(&answer.authorization_jws)?.kid();
                let at = two.keys.iter().position(|key| *key == KeyId::new(kid));
                signed[at.ok_or_else(|| Failure::new("signed by another key"))?] += 1;
            }
            (worn_out, ask) => {
                demand(worn_out, Code::Unavailable, "KEY_WORN_OUT")?;
                refused.push(ask);
            }
        }
    }
    Ok((signed, refused))
}

#[tokio::test]
async fn a_worn_out_key_leaves_its_place_to_the_other() -> Result<(), Failure> {
    let mut two = TwoTokens::begin(None).await?;
    let bank = two.deployment.client("alfa", Role::Payments).await?;
    let mut customers = Vec::new();
    for _ in 0..CUSTOMERS {
        customers.push(Customer::of_alfa(&two.deployment).await?);
    }
    limit(&two.deployment, 2, LIFETIME)?;

    // One after the other: that which was activated last as often as it may, then the other one.
    for count in 0..LIFETIME + 1 {
        let expected = if count < LIFETIME { SECOND } else { FIRST };
        let (signed, refused) = at_once(&two, &bank, orders(&customers, 1)?).await?;
        assert_eq!((signed[expected], refused.len()), (1, 0), "order {count}");
    }

    // Many at once find exactly what is left of both.
    let (signed, refused) = at_once(&two, &bank, orders(&customers, 2 * LIFETIME)?).await?;
    assert_eq!((signed[FIRST], signed[SECOND]), (LIFETIME - 1, 0));
    assert_eq!(refused.len(), LIFETIME + 1);

    // Of a policy that allows more, the key that is to sign first learns by itself.
    limit(&two.deployment, 3, 100 * LIFETIME)?;
    let (signed, refused) = at_once(&two, &bank, refused).await?;
    assert_eq!(signed.iter().sum::<usize>(), LIFETIME + 1);
    assert!(refused.is_empty());
    two.signs_with(SECOND).await?;
    let checked = recheck(&mut two.deployment).await?;
    let all = 3 * LIFETIME + 1 + two.asked();
    assert_eq!(checked.authorizations, all);
    two.deployment.stop().await
}
