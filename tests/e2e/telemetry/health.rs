//! Health is what the service can do: it follows the store and the drain, and one institution's token is that
//! institution's matter alone.

use std::time::Duration;

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    held::Held,
    numbers::{Numbers, ask},
    recheck::recheck,
    stored,
    token::{Aside, folder},
    until::until,
};
use rusqlite::Connection;
use rustix::process::Signal;
use softhsm_setup::scheme::Role;

use super::numbers::at_rest;

const SOON: Duration = Duration::from_secs(60);

fn readiness(deployment: &Deployment) -> Result<(u16, String), Failure> {
    let answer = ask(deployment.scheme().admin(), "GET", "/readyz")?;
    Ok((answer.status, answer.body))
}

async fn becomes(deployment: &Deployment, status: u16) -> Result<String, Failure> {
    until("the readiness", SOON, async || {
        let (found, text) = readiness(deployment)?;
        Ok((found == status).then_some(text))
    })
    .await
}

/// Another process holds the record for longer than anybody waits: nothing can be written, then it can again.
#[tokio::test]
async fn health_follows_the_store() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    assert!(deployment.is_healthy().await);
    let mut holder = Connection::open(deployment.database())?;
    let hold = holder.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    let said = becomes(&deployment, 503).await?;
    assert!(
        said.contains("the store could not be read and written"),
        "{said}"
    );
    assert!(!deployment.is_healthy().await, "gRPC says what HTTP says");
    assert_eq!(Numbers::of(&deployment)?.count("semops_ready", &[]), 0);
    assert_eq!(
        ask(deployment.scheme().admin(), "GET", "/livez")?.status,
        200,
        "it lives"
    );
    hold.rollback()?;
    becomes(&deployment, 200).await?;
    assert!(deployment.is_healthy().await);
    assert_eq!(Numbers::of(&deployment)?.count("semops_ready", &[]), 1);
    recheck(&mut deployment).await.map(drop)
}

/// While it drains it takes nothing new and says so, and is watched to its end.
#[tokio::test]
async fn a_drain_is_seen() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let client = deployment.client("alfa", Role::Payments).await?;
    at_rest(&deployment).await?;
    let held = Held::token(&deployment, "alfa")?;
    let ask_one = customer.asks(&order("1.00", "CNY")?)?;
    let under_way = tokio::spawn(async move { client.cosign_order(ask_one).await });
    held.is_waited_for().await?;
    until("the order in the numbers", SOON, async || {
        let numbers = Numbers::of(&deployment)?;
        let busy = numbers.count("semops_hsm_threads_busy", &[("institution", "alfa")]);
        let seen = (
            numbers.count("semops_rpc_in_flight", &[]),
            numbers.count("semops_intents_pending", &[]),
        );
        Ok((seen == (1, 1) && busy > 0).then_some(()))
    })
    .await?;
    deployment.server()?.signal(Signal::TERM)?;
    let said = becomes(&deployment, 503).await?;
    assert!(said.contains("drains"), "{said}");
    assert_eq!(
        ask(deployment.scheme().admin(), "GET", "/livez")?.status,
        200
    );
    assert_eq!(Numbers::of(&deployment)?.count("semops_ready", &[]), 0);
    drop(held);
    under_way.await??;
    assert!(deployment.server()?.wait().await?.success());
    deployment.kill()?;
    deployment.start().await?;
    assert_eq!(stored::count(&deployment, "authorization", "PENDING")?, 0);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 1);
    Ok(())
}

/// One token's objects are gone: its institution is told so, the numbers show whose it is, and the others are served.
#[tokio::test]
async fn a_token_that_fails_is_its_institutions_matter() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let away = Aside::moved(folder(&deployment, "mobilis")?)?;
    let refused = Customer::enrolled_by(&mobilis).await;
    assert!(refused.is_err(), "mobilis' token is gone");
    let numbers = Numbers::of(&deployment)?;
    let health = |institution| {
        numbers.count(
            "semops_hsm_health",
            &[("institution", institution), ("reason", "SERVING")],
        )
    };
    assert_eq!(
        (health("mobilis"), health("alfa"), health("beta")),
        (0, 1, 1)
    );
    assert!(numbers.count("semops_hsm_failures_total", &[("institution", "mobilis")]) > 0);
    assert_eq!(
        readiness(&deployment)?.0,
        200,
        "the service serves the others"
    );
    assert!(deployment.is_healthy().await);
    let alfa = deployment.client("alfa", Role::Payments).await?;
    alfa.cosign_order(customer.asks(&order("1.00", "CNY")?)?)
        .await?;
    drop(away);
    deployment.restart().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    Customer::enrolled_by(&mobilis).await?;
    recheck(&mut deployment).await.map(drop)
}
