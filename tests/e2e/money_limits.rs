//! The money limits of a device, which are promises: an amount per currency and a count over all in any 24 hours, whoever
//! holds the device, however many ask at once, and across a crash.

use e2e::{
    customer::{Customer, order, order_from},
    deployment::Deployment,
    failure::Failure,
    phone::pseudonym,
    recheck::recheck,
};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::bad_input::{row::Row, rows::limits as rows};

/// The example with, for each device of alfa and beta, 6 orders and EUR 100.00 a day.
fn scheme() -> String {
    let scheme = Scheme::EXAMPLE.replace("EUR = \"500.00\"", "EUR = \"100.00\"");
    scheme.replace("orders_per_day = 50", "orders_per_day = 6")
}

async fn cosign(
    bank: &Client,
    customer: &Customer,
    value: &str,
    currency: &str,
) -> Result<v1::CosignOrderResponse, Status> {
    let ask = customer.asks(&order(value, currency).unwrap()).unwrap();
    bank.cosign_order(ask).await
}

fn demand_limit<T>(called: Result<T, Status>, row: &Row) -> Result<(), Failure> {
    let status = row.refuses(called)?;
    // A promise, not a rate: nobody is told to try again.
    assert!(status.get_error_details().retry_info().is_none());
    Ok(())
}

#[tokio::test]
async fn amount_and_count_hold_through_release_acceptance_and_a_crash() -> Result<(), Failure> {
    let mut deployment = Deployment::of(&scheme()).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let enrolment = deployment.client("alfa", Role::Enrolment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;

    cosign(&alfa, &customer, "60.00", "EUR").await?;
    demand_limit(
        cosign(&alfa, &customer, "40.01", "EUR").await,
        &rows::AMOUNT_PER_DAY,
    )?;
    let to_the_cent = cosign(&alfa, &customer, "40.00", "EUR").await?;
    demand_limit(
        cosign(&alfa, &customer, "0.01", "EUR").await,
        &rows::AMOUNT_PER_DAY,
    )?;
    // A retry spends nothing.
    let again = v1::CosignOrderRequest {
        order_jws: to_the_cent.order_jws.clone(),
        ..Default::default()
    };
    assert_eq!(alfa.cosign_order(again.clone()).await?, to_the_cent);

    // Other currencies have amounts of their own, and one count with it: 3, 4, 5.
    for (value, currency) in [("300.00", "CNY"), ("20000", "JPY"), ("1.00", "CNY")] {
        cosign(&alfa, &customer, value, currency).await?;
    }

    // Released and accepted for another account: still the same device's day.
    let release = v1::ReleaseDeviceRequest {
        device_id: customer.device_id(),
    };
    enrolment.release_device(release).await?;
    let accept = v1::AcceptDeviceRequest {
        device_id: customer.device_id(),
        account_reference: pseudonym(),
    };
    enrolment.accept_device(accept).await?;
    demand_limit(
        cosign(&alfa, &customer, "0.01", "EUR").await,
        &rows::AMOUNT_PER_DAY,
    )?;

    // Killed and started again: still.
    deployment.kill()?;
    deployment.start().await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    assert_eq!(alfa.cosign_order(again).await?, to_the_cent);
    demand_limit(
        cosign(&alfa, &customer, "0.01", "EUR").await,
        &rows::AMOUNT_PER_DAY,
    )?;
    cosign(&alfa, &customer, "1.00", "CNY").await?; // the 6th
    demand_limit(
        cosign(&alfa, &customer, "1.00", "CNY").await,
        &rows::ORDERS_PER_DAY,
    )?;
    demand_limit(
        cosign(&alfa, &customer, "1", "JPY").await,
        &rows::ORDERS_PER_DAY,
    )?;

    // Another device, and the same at another bank, have days of their own.
    let other = Customer::of_alfa(&deployment).await?;
    cosign(&alfa, &other, "100.00", "EUR").await?;
    customer
        .accepted_by(&deployment.client("beta", Role::Enrolment).await?)
        .await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let at_beta = order_from("beta", "100.00", "EUR")?;
    beta.cosign_order(customer.asks(&at_beta)?).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 8);
    Ok(())
}

#[tokio::test]
async fn many_at_once_do_not_pass_a_limit() -> Result<(), Failure> {
    let mut deployment = Deployment::of(&scheme()).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    for (value, currency, granted, row) in [
        ("30.00", "EUR", 3, &rows::AMOUNT_PER_DAY),
        ("1", "JPY", 6, &rows::ORDERS_PER_DAY),
    ] {
        let customer = Customer::of_alfa(&deployment).await?;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..24 {
            let (alfa, ask) = (alfa.clone(), customer.asks(&order(value, currency)?)?);
            calls.spawn(async move { alfa.cosign_order(ask).await });
        }
        let (authorized, refused): (Vec<_>, Vec<_>) =
            calls.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(authorized.len(), granted);
        for called in refused {
            demand_limit(called, row)?;
        }
    }
    assert_eq!(recheck(&mut deployment).await?.authorizations, 9);
    Ok(())
}

#[tokio::test]
async fn a_policy_that_lowers_a_limit_counts_what_was_spent_before() -> Result<(), Failure> {
    let mut deployment = Deployment::of(&scheme()).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    cosign(&alfa, &customer, "50.00", "EUR").await?;
    deployment.load_next("policy", "alfa", 2, |text| {
        text.replace("EUR = \"100.00\"", "EUR = \"50.00\"")
    })?;
    demand_limit(
        cosign(&alfa, &customer, "0.01", "EUR").await,
        &rows::AMOUNT_PER_DAY,
    )?;
    deployment.load_next("policy", "alfa", 3, |text| {
        text.replace("EUR = \"100.00\"", "EUR = \"50.01\"")
    })?;
    cosign(&alfa, &customer, "0.01", "EUR").await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);
    Ok(())
}
