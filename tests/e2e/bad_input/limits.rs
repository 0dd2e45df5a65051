//! Limits of rate and of work under way: told whose they are and when to come again, and the same order is co-signed later.

use e2e::{
    customer::{Customer, order, order_from},
    deployment::{Deployment, limits::rate_limits},
    failure::Failure,
    held::Held,
    recheck::recheck,
    stored,
    story::Callers,
};
use toml::{Table, Value};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::rows::limits as rows;

/// The next version of alfa's policy, with these rate limits and otherwise such as nobody meets.
fn limit(deployment: &Deployment, version: u64, named: &[(&str, &str)]) -> Result<(), Failure> {
    let limits = Value::Table(rate_limits(named)?);
    deployment.load_next("policy", "alfa", version, |text| {
        let mut policy: Table = text.parse().unwrap();
        policy.insert("rate_limits".to_owned(), limits);
        toml::to_string(&policy).unwrap()
    })
}

/// Whose limit it is, and how long to wait in whole seconds.
fn told(status: &Status) -> (String, u64) {
    let details = status.get_error_details();
    let quota = details.quota_failure().unwrap();
    let [violation] = quota.violations.as_slice() else {
        panic!("{quota:?}")
    };
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    (violation.subject.clone(), wait.as_secs())
}

/// Beta has an order of a customer of its own co-signed.
async fn beta_is_served(callers: &Callers, customer: &Customer) -> Result<(), Failure> {
    let ask = customer.asks(&order_from("beta", "1.00", "CNY")?)?;
    callers.beta_payments.cosign_order(ask).await?;
    Ok(())
}

#[tokio::test]
async fn over_a_rate_limit() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let callers = Callers::connect(&deployment).await?;
    let (customer, other) = (
        Customer::of_alfa(&deployment).await?,
        Customer::of_alfa(&deployment).await?,
    );
    customer.accepted_by(&callers.beta_enrolment).await?;
    let an_hour = "{ burst = 1, requests = 1, seconds = 3600 }";
    limit(&deployment, 2, &[("device", an_hour)])?;

    let alfa = &callers.alfa_payments;
    let first = customer.asks(&order("1.00", "CNY")?)?;
    let answered = alfa.cosign_order(first.clone()).await?;
    let second = customer.asks(&order("2.00", "CNY")?)?;
    let status = rows::OVER_RATE.refuses(alfa.cosign_order(second.clone()).await)?;
    let (subject, wait) = told(&status);
    assert_eq!(subject, format!("device:{}", customer.device_id()));
    assert!((3_000..=3_600).contains(&wait), "{wait}");

    // A retry is no new order, and other devices and institutions have limits of their own.
    assert_eq!(alfa.cosign_order(first).await?, answered);
    alfa.cosign_order(other.asks(&order("1.00", "CNY")?)?)
        .await?;
    beta_is_served(&callers, &customer).await?;

    limit(&deployment, 3, &[])?;
    alfa.cosign_order(second).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 4);
    Ok(())
}

#[tokio::test]
async fn too_many_in_flight() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    customer.accepted_by(&callers.beta_enrolment).await?;
    limit(&deployment, 2, &[("in_flight", "1")])?;

    let bank = Held::token(&deployment, "alfa")?;
    let under_way = order("1.00", "CNY")?;
    let (alfa, ask) = (callers.alfa_payments.clone(), customer.asks(&under_way)?);
    let call = tokio::spawn(async move { alfa.cosign_order(ask).await });
    let jti = under_way.jti.to_string();
    stored::in_state(&deployment, "authorization", Some(&jti), "PENDING").await?;
    let next = customer.asks(&order("2.00", "CNY")?)?;
    let refused = callers.alfa_payments.cosign_order(next.clone()).await;
    let status = rows::TOO_MANY_IN_FLIGHT.refuses(refused)?;
    assert_eq!(told(&status), ("institution:alfa".to_owned(), 0));
    beta_is_served(&callers, &customer).await?;

    drop(bank);
    call.await??;
    callers.alfa_payments.cosign_order(next).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 3);
    Ok(())
}
