//! The token or the record is not there: whoever needs it is told so within the deadline, what was answered is answered
//! still, and what was asked meanwhile is done when it is back.

use std::time::Duration;

use e2e::{
    customer::{Customer, order, order_from},
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    stored,
    story::Callers,
    token::{self, Aside},
    until::until,
};
use rusqlite::Connection;
use semops_proto::v1;
use tonic_types::StatusExt as _;

use super::rows::outages as rows;

const SOON: Duration = Duration::from_secs(30);

/// A customer of alfa and one of beta, and an order of the first that was co-signed before anything went wrong.
struct Before {
    callers: Callers,
    alfas: Customer,
    betas: Customer,
    asked: v1::CosignOrderRequest,
    answered: v1::CosignOrderResponse,
}

impl Before {
    async fn of(deployment: &Deployment) -> Result<Self, Failure> {
        let callers = Callers::connect(deployment).await?;
        let alfas = Customer::of_alfa(deployment).await?;
        let betas = Customer::enrolled_by(&callers.beta_enrolment).await?;
        betas.accepted_by(&callers.beta_enrolment).await?;
        let asked = alfas.asks(&order("1.00", "CNY")?)?;
        let answered = callers.alfa_payments.cosign_order(asked.clone()).await?;
        Ok(Self {
            callers,
            alfas,
            betas,
            asked,
            answered,
        })
    }

    /// What was co-signed is answered byte for byte, and verified.
    async fn still_stands(&self) -> Result<(), Failure> {
        let again = self.callers.alfa_payments.cosign_order(self.asked.clone());
        assert_eq!(again.await?, self.answered);
        let authorization_jws = self.answered.authorization_jws.clone();
        let ask = v1::VerifyAuthorizationRequest { authorization_jws };
        let verified = self.callers.beta_payments.verify_authorization(ask).await?;
        assert_eq!(verified.verdict(), v1::Verdict::Valid);
        Ok(())
    }
}

/// Waits until health says so: the service looks after the store of itself, once a second.
async fn health(deployment: &Deployment, serving: bool) -> Result<(), Failure> {
    until("the health to say so", SOON, async || {
        Ok((deployment.is_healthy().await == serving).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_token_that_is_gone() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let before = Before::of(&deployment).await?;
    let gone = Aside::moved(token::folder(&deployment, "alfa")?)?;

    let unsigned = order("1.00", "CNY")?;
    let ask = before.alfas.asks(&unsigned)?;
    for _ in 0..3 {
        rows::TOKEN_GONE.refuses(before.callers.alfa_payments.cosign_order(ask.clone()).await)?;
    }
    rows::TOKEN_GONE.refuses(
        before
            .callers
            .alfa_enrolment
            .enroll_device(e2e::customer::enrolment(
                &e2e::phone::Phone::new()?,
                &e2e::phone::pseudonym(),
            )?)
            .await,
    )?;
    before.still_stands().await?;
    // Others have tokens of their own, and the service is healthy.
    let at_beta = before.betas.asks(&order_from("beta", "1.00", "CNY")?)?;
    before.callers.beta_payments.cosign_order(at_beta).await?;
    assert!(deployment.is_healthy().await);
    assert!(
        deployment
            .log()
            .contains("a new start, which the service makes")
    );

    // Fresh sessions do not find the files again; a fresh worker process does, after some seconds of trying.
    drop(gone);
    let alfa = before.callers.alfa_payments.clone();
    let cosigned = until("the order to be co-signed", SOON, async || {
        Ok(alfa.cosign_order(ask.clone()).await.ok())
    })
    .await?;
    assert_eq!(alfa.cosign_order(ask).await?, cosigned);
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (3, 0));
    Ok(())
}

#[tokio::test]
async fn a_store_that_was_moved_away() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let before = Before::of(&deployment).await?;
    let gone = Aside::moved(deployment.database())?;

    let ask = before.alfas.asks(&order("1.00", "CNY")?)?;
    rows::STORE_GONE.refuses(before.callers.alfa_payments.cosign_order(ask.clone()).await)?;
    let revoked = before
        .alfas
        .revoked_by(
            &before.callers.mobilis_enrolment,
            v1::RevocationReason::KeyCompromise,
        )
        .await;
    rows::STORE_GONE.refuses(revoked)?;
    before.still_stands().await?;
    health(&deployment, false).await?;
    assert!(deployment.log().contains("move that one back"));

    drop(gone);
    let cosigned = before
        .callers
        .alfa_payments
        .cosign_order(ask.clone())
        .await?;
    health(&deployment, true).await?;
    // It is in the file that is there, and not in one that went away with the process.
    deployment.kill()?;
    deployment.start().await?;
    let alfa = Callers::connect(&deployment).await?.alfa_payments;
    assert_eq!(alfa.cosign_order(ask).await?, cosigned);
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);
    Ok(())
}

#[tokio::test]
async fn a_store_that_another_program_holds() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let before = Before::of(&deployment).await?;
    let holder = Connection::open(deployment.database())?;
    holder.execute_batch("BEGIN IMMEDIATE")?;

    let ask = before.alfas.asks(&order("1.00", "CNY")?)?;
    let status =
        rows::STORE_LOCKED.refuses(before.callers.alfa_payments.cosign_order(ask.clone()).await)?;
    assert!(status.get_error_details().retry_info().is_some());
    before.still_stands().await?;
    assert_eq!(stored::count(&deployment, "authorization", "PENDING")?, 0);

    holder.execute_batch("ROLLBACK")?;
    until("the order to be co-signed", SOON, async || {
        Ok(before
            .callers
            .alfa_payments
            .cosign_order(ask.clone())
            .await
            .ok())
    })
    .await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);
    Ok(())
}
