//! A PIN that the token refuses: it is tried once and never again, and not at all on the final try.

use e2e::{failure::Failure, faults::Fault, token};

use super::drill::Drill;
use crate::bad_input::rows::outages as rows;

const ORDERS: usize = 5;

fn logged_out() -> Fault {
    let rule = "calls = ['C_SignInit']\nfirst = 1\neffect = 'log-out'";
    Fault::at("alfa", "logged-out", rule)
}

/// The login is lost and cannot be had again: nothing more is tried until somebody starts the service again.
async fn stays_locked_out(rules: &[Fault], logins: usize, says: &str) -> Result<(), Failure> {
    let mut drill = Drill::begin().await?;
    drill.answered(1).await?;
    drill.faults.set(rules)?;
    let mut refused = drill.refused(ORDERS, &rows::TOKEN_GONE).await?;
    assert_eq!(drill.faults.struck("logged-out")?, 1);
    let said = drill.health_is("FATAL").await?;
    assert!(said.contains(says), "{said}");
    drill.beta_notices_nothing().await?;
    drill.is_ready().await?;
    assert_eq!(drill.faults.struck("login")?, logins);

    // That the token would take it now is for a person to say.
    let pass = Fault::at("alfa", "later", "calls = ['C_Login']\neffect = 'pass'");
    drill.faults.set(&[pass])?;
    refused.extend(drill.refused(ORDERS, &rows::TOKEN_GONE).await?);
    drill.health_is("FATAL").await?;
    assert_eq!(drill.faults.struck("login")?, logins);
    assert_eq!(drill.faults.struck("later")?, 0);
    assert!(!token::pin_count_low(&drill.deployment, "alfa")?);

    drill.deployment.restart().await?;
    drill.connect_again().await?;
    assert_eq!(drill.faults.struck("later")?, 1);
    drill.answered_later(&refused).await?;
    drill.end(1 + refused.len()).await
}

#[tokio::test]
async fn a_pin_that_is_refused_is_tried_once_and_never_again() -> Result<(), Failure> {
    for code in ["CKR_PIN_INCORRECT", "CKR_PIN_LOCKED"] {
        let rule = format!("calls = ['C_Login']\neffect = {{ return = '{code}' }}");
        let rules = [logged_out(), Fault::at("alfa", "login", &rule)];
        stays_locked_out(&rules, 1, code).await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_pin_is_sent_on_the_final_try() -> Result<(), Failure> {
    let rules = [
        logged_out(),
        Fault::at(
            "alfa",
            "last",
            "effect = { flags = ['CKF_USER_PIN_FINAL_TRY'] }",
        ),
        Fault::at("alfa", "login", "calls = ['C_Login']\neffect = 'pass'"),
    ];
    stays_locked_out(&rules, 0, "CKF_USER_PIN_FINAL_TRY").await
}
