//! What is under way, and a flood: both are bounded for each institution, and none of another's business.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use e2e::{
    customer::{Customer, order, order_from},
    deployment::Deployment,
    failure::Failure,
    held::Held,
    recheck::recheck,
    refusal::{demand, reason},
    stored,
    until::until,
};
use softhsm_setup::scheme::Role;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    SOON, bundle,
    limited::{AN_HOUR, scheme},
};

#[tokio::test]
async fn what_is_under_way_is_bounded_until_it_is_done_whoever_still_waits() -> Result<(), Failure>
{
    let mut deployment = Deployment::limited(&scheme(&[("in_flight", "2")])).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    let desk = deployment.client("alfa", Role::Enrolment).await?;
    let token = Held::token(&deployment, "alfa")?;

    let orders = [order("1.00", "CNY")?, order("2.00", "CNY")?];
    let mut waiting = Vec::new();
    for order in &orders {
        let (backend, ask) = (backend.clone(), customer.asks(order)?);
        waiting.push(tokio::spawn(async move { backend.cosign_order(ask).await }));
        let jti = order.jti.to_string();
        stored::in_state(&deployment, "authorization", Some(&jti), "PENDING").await?;
    }
    let told = bundle(&desk).await.unwrap_err();
    let details = told.get_error_details();
    demand(
        Err::<(), _>(told),
        Code::ResourceExhausted,
        "TOO_MANY_IN_FLIGHT",
    )?;
    let violation = &details.quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "institution:alfa");
    assert_eq!(violation.description, "2 under way at a time");
    assert!(details.retry_info().is_some());
    bundle(&deployment.client("beta", Role::Payments).await?).await?;

    // A client that goes away leaves its work under way.
    waiting.pop().unwrap().abort();
    let called = bundle(&desk).await;
    demand(called, Code::ResourceExhausted, "TOO_MANY_IN_FLIGHT")?;
    drop(token);
    waiting.pop().unwrap().await??;
    until("a place", SOON, async || {
        Ok(bundle(&desk).await.is_ok().then_some(()))
    })
    .await?;
    let left = orders[1].jti.to_string();
    stored::in_state(&deployment, "authorization", Some(&left), "AUTHORIZED").await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);
    Ok(())
}

/// How often each answer came.
type Answers = BTreeMap<String, usize>;

#[tokio::test]
async fn a_flood_by_one_institution_leaves_every_call_of_another_answered() -> Result<(), Failure> {
    const FLOODING: usize = 48;
    const CALLS: usize = 60;
    let narrow = "{ burst = 20, requests = 20, seconds = 1 }";
    let limits = [("in_flight", "8"), ("institution", narrow)];
    let mut deployment = Deployment::limited(&scheme(&limits)).await?;
    let customer = Arc::new(Customer::of_alfa(&deployment).await?);
    customer
        .accepted_by(&deployment.client("beta", Role::Enrolment).await?)
        .await?;
    let over = Arc::new(AtomicBool::new(false));
    let mut flood = JoinSet::new();
    for _ in 0..FLOODING {
        let (alfa, customer) = (
            deployment.client("alfa", Role::Payments).await?,
            Arc::clone(&customer),
        );
        let over = Arc::clone(&over);
        flood.spawn(async move {
            let mut answers = Answers::new();
            while !over.load(Ordering::Relaxed) {
                let ask = customer.asks(&order("0.01", "CNY")?)?;
                let answer = match alfa.cosign_order(ask).await {
                    Ok(_) => "AUTHORIZED".to_owned(),
                    Err(status) => reason(&status).unwrap_or_else(|| format!("{status:?}")),
                };
                *answers.entry(answer).or_default() += 1;
            }
            Ok::<_, Failure>(answers)
        });
    }

    let beta = deployment.client("beta", Role::Payments).await?;
    let mut answered = 0;
    for _ in 0..CALLS / 2 {
        let asked = order_from("beta", "0.01", "CNY")?;
        beta.cosign_order(customer.asks(&asked)?).await?;
        bundle(&beta).await?;
        answered += 2;
    }
    over.store(true, Ordering::Relaxed);
    assert_eq!(answered, CALLS);
    let mut answers = Answers::new();
    for flooded in flood.join_all().await {
        for (answer, count) in flooded? {
            *answers.entry(answer).or_default() += count;
        }
    }
    let of = |answer: &str| answers.get(answer).copied().unwrap_or_default();
    let refused = of("RATE_LIMITED") + of("TOO_MANY_IN_FLIGHT");
    assert!(of("AUTHORIZED") > 0 && refused > FLOODING, "{answers:?}");
    // 50 orders are a device's day.
    let known = of("AUTHORIZED") + refused + of("DEVICE_ORDERS_PER_DAY");
    assert_eq!(known, answers.values().sum::<usize>(), "{answers:?}");
    recheck(&mut deployment).await.map(drop)
}

/// A refusal does not overtake its request, however fast it is: a connection with many of them stays open, and what else is
/// asked on it is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refusals_close_no_connection() -> Result<(), Failure> {
    const CALLERS: usize = 8;
    const CALLS: usize = 100;
    let mut deployment = Deployment::limited(&scheme(&[("caller", AN_HOUR)])).await?;
    let customer = Arc::new(Customer::of_alfa(&deployment).await?);
    let backend = deployment.client("alfa", Role::Payments).await?;
    backend
        .cosign_order(customer.asks(&order("1.00", "CNY")?)?)
        .await?;
    let mut calls = JoinSet::new();
    for _ in 0..CALLERS {
        let (backend, customer) = (backend.clone(), Arc::clone(&customer));
        calls.spawn(async move {
            for _ in 0..CALLS {
                let called = backend.cosign_order(customer.asks(&order("1.00", "CNY")?)?);
                demand(called.await, Code::ResourceExhausted, "RATE_LIMITED")?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = calls.join_next().await {
        done??;
    }
    deployment.stop().await
}
