//! A device that fails for a while, and a token that is taken away and put back.

use e2e::{
    customer::{Customer, enrolment},
    failure::Failure,
    faults::Fault,
    phone::{Phone, pseudonym},
};

use super::drill::Drill;
use crate::bad_input::rows::outages as rows;

const ORDERS: usize = 4;

/// Orders are refused while `rule` stands there, with health as it is; then all heals without an order and a restart.
async fn fails_and_heals(drill: &Drill, name: &str, rule: &str, says: &str) -> Result<(), Failure> {
    drill.answered(1).await?;
    drill.faults.set(&[Fault::at("alfa", name, rule)])?;
    let refused = drill.refused(ORDERS, &rows::TOKEN_GONE).await?;
    let struck = drill.faults.struck(name)?;
    assert!(struck >= ORDERS, "{struck}");
    let said = drill.health_is("FAILING").await?;
    assert!(said.contains(says), "{said}");
    // A new device needs no token of alfa's, and the service is ready for everybody else.
    Customer::enrolled_by(&drill.callers.mobilis_enrolment).await?;
    drill.beta_notices_nothing().await?;
    drill.is_ready().await?;
    let phone = Phone::new()?;
    let ask = enrolment(&phone, &pseudonym())?;
    let enrolled = drill.callers.alfa_enrolment.enroll_device(ask.clone());
    rows::TOKEN_GONE.refuses(enrolled.await)?;

    drill.faults.heal()?;
    drill.health_is("SERVING").await?;
    drill.answered_later(&refused).await?;
    drill.callers.alfa_enrolment.enroll_device(ask).await?;
    Ok(())
}

#[tokio::test]
async fn a_device_that_fails_for_a_while_is_told_of_and_heals() -> Result<(), Failure> {
    let drill = Drill::begin().await?;
    let rule = "calls = ['C_SignInit', 'C_Sign', 'C_GenerateRandom', 'C_GetSessionInfo']\n\
                effect = { return = 'CKR_DEVICE_ERROR' }";
    fails_and_heals(&drill, "broken", rule, "CKR_DEVICE_ERROR").await?;
    drill.end(1 + ORDERS).await
}

#[tokio::test]
async fn a_token_that_was_taken_away_is_found_again() -> Result<(), Failure> {
    let drill = Drill::begin().await?;
    let logins = drill.number("semops_hsm_logins_total", "alfa")?;
    fails_and_heals(&drill, "away", "effect = 'remove'", "CKR_TOKEN_NOT_PRESENT").await?;
    assert!(drill.number("semops_hsm_logins_total", "alfa")? > logins);
    drill.end(1 + ORDERS).await
}
