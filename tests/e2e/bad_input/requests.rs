//! Requests of those who may not make them, and orders that stand there already.

use e2e::{
    customer::{Customer, order, order_from},
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    refusal,
    story::Callers,
};
use semops_proto::v1;
use tonic::Code;
use uuid::Uuid;

use super::rows::{orders, requests as rows};

#[tokio::test]
async fn a_caller_of_another_role() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let ask = customer.asks(&order("1.00", "CNY")?)?;
    rows::WRONG_ROLE.refuses(callers.alfa_enrolment.cosign_order(ask.clone()).await)?;
    let enrolled = Customer::enrolled_by(&callers.alfa_payments).await;
    assert!(enrolled.is_err());
    callers.alfa_payments.cosign_order(ask).await?;
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.certificates), (1, 1));
    Ok(())
}

#[tokio::test]
async fn another_institutions_device() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let callers = Callers::connect(&deployment).await?;
    let betas = Customer::enrolled_by(&callers.beta_enrolment).await?;
    betas.accepted_by(&callers.beta_enrolment).await?;

    let at_alfa = betas.asks(&order("1.00", "CNY")?)?;
    orders::FOREIGN_DEVICE.refuses(callers.alfa_payments.cosign_order(at_alfa).await)?;
    let about = |id: String| v1::GetDeviceRequest { device_id: id };
    for id in [betas.device_id(), Uuid::new_v4().to_string()] {
        let asked = callers.alfa_payments.get_device(about(id)).await;
        orders::FOREIGN_DEVICE_ASKED.refuses(asked)?;
    }
    let accepted = betas.accepted_by(&callers.alfa_enrolment).await;
    refusal::demand(accepted, Code::FailedPrecondition, "DEVICE_NOT_ACCEPTABLE")?;

    let at_beta = betas.asks(&order_from("beta", "1.00", "CNY")?)?;
    callers.beta_payments.cosign_order(at_beta).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 1);
    Ok(())
}

#[tokio::test]
async fn a_replayed_id_with_other_content() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let first = order("1.00", "CNY")?;
    let ask = customer.asks(&first)?;
    let stored = callers.alfa_payments.cosign_order(ask.clone()).await?;

    let dearer = semops_objects::Order {
        amount: order("2.00", "CNY")?.amount,
        ..first.clone()
    };
    let referenced = v1::CosignOrderRequest {
        end_to_end_id: Some("E2E-1".to_owned()),
        ..ask.clone()
    };
    for other in [customer.asks(&dearer)?, referenced] {
        orders::REPLAYED.refuses(callers.alfa_payments.cosign_order(other).await)?;
    }
    assert_eq!(callers.alfa_payments.cosign_order(ask).await?, stored);
    let found = customer.standing(&callers.alfa_payments, &first).await?;
    assert_eq!(found.authorization_jws, Some(stored.authorization_jws));
    assert_eq!(recheck(&mut deployment).await?.authorizations, 1);
    Ok(())
}
