//! Sessions that are lost, spoilt or too few.

use e2e::{failure::Failure, faults::Fault, numbers::Numbers};

use super::drill::{Drill, prepared};
use crate::{bad_input::rows::outages as rows, faults::refused_start};

/// A name, the rule's members, and whether the login goes with it.
const LOST: [(&str, &str, bool); 7] = [
    (
        "invalid",
        "calls = ['C_SignInit']\neffect = { return = 'CKR_SESSION_HANDLE_INVALID' }",
        false,
    ),
    (
        "closed",
        "calls = ['C_Sign']\neffect = { return = 'CKR_SESSION_CLOSED' }",
        false,
    ),
    (
        "failed-once",
        "calls = ['C_Sign']\neffect = { return = 'CKR_DEVICE_ERROR' }",
        false,
    ),
    // C_SignInit has begun an operation: whoever used the session again would find it active.
    (
        "half-way",
        "calls = ['C_Sign']\neffect = { return = 'CKR_FUNCTION_FAILED' }",
        false,
    ),
    (
        "really-closed",
        "calls = ['C_SignInit']\neffect = { drop = 'session' }",
        false,
    ),
    (
        "all-closed",
        "calls = ['C_SignInit']\neffect = { drop = 'token' }",
        true,
    ),
    (
        "logged-out",
        "calls = ['C_SignInit']\neffect = 'log-out'",
        true,
    ),
];
const TIMES: usize = 3;

/// Each time one call of an order is disturbed, and one order more finds what that has left behind in the other thread.
#[tokio::test]
async fn a_session_that_is_lost_is_replaced_within_the_request() -> Result<(), Failure> {
    let drill = Drill::begin().await?;
    let number = |name: &str| drill.number(name, "alfa");
    for (name, members, login_goes) in LOST {
        let (failures, logins, signatures) = (
            number("semops_hsm_failures_total")?,
            number("semops_hsm_logins_total")?,
            number("semops_hsm_signatures_total")?,
        );
        for time in 0..TIMES {
            let name = format!("{name}-{time}");
            let rule = format!("first = 1\n{members}");
            drill.faults.set(&[Fault::at("alfa", &name, &rule)])?;
            drill.answered(2).await?;
            assert_eq!(drill.faults.struck(&name)?, 1, "{name}");
        }
        let failed = number("semops_hsm_failures_total")? - failures;
        assert!(failed >= u64::try_from(TIMES)?, "{name}: {failed}");
        let again = number("semops_hsm_logins_total")? - logins;
        let expected = if login_goes { TIMES } else { 0 };
        assert_eq!(again, u64::try_from(expected)?, "{name}: logins");
        let made = number("semops_hsm_signatures_total")? - signatures;
        assert_eq!(made, u64::try_from(2 * TIMES)?, "{name}");
        drill.beta_notices_nothing().await?;
    }
    drill.faults.heal()?;
    drill.health_is("SERVING").await?;
    drill.end(LOST.len() * 2 * TIMES).await
}

#[tokio::test]
async fn too_few_sessions_are_shared_and_none_at_all_is_said() -> Result<(), Failure> {
    let few = |name: &str, most: usize| {
        Fault::at(
            "alfa",
            name,
            &format!("effect = {{ max_sessions = {most} }}"),
        )
    };
    // One keeps the login, so that one thread works where two were asked for.
    let drill = Drill::with(&[], &[few("two", 2)]).await?;
    let threads = |institution| {
        let labels = [("institution", institution)];
        Ok::<_, Failure>(Numbers::of(&drill.deployment)?.count("semops_hsm_threads", &labels))
    };
    assert_eq!((threads("alfa")?, threads("beta")?), (1, 2));
    drill.answered(4).await?;
    assert_eq!(drill.faults.struck("two")?, 0, "the service keeps to it");

    // Others have taken all but one, and the sessions are lost.
    let lost = "calls = ['C_SignInit']\nfirst = 1\neffect = { drop = 'token' }";
    drill
        .faults
        .set(&[few("one", 1), Fault::at("alfa", "lost", lost)])?;
    let refused = drill.refused(3, &rows::TOKEN_GONE).await?;
    assert_eq!(drill.faults.struck("lost")?, 1);
    assert!(drill.faults.struck("one")? >= 3);
    let said = drill.health_is("FAILING").await?;
    assert!(said.contains("C_OpenSession: CKR_SESSION_COUNT"), "{said}");
    assert_eq!(drill.number("semops_hsm_sessions", "alfa")?, 0);
    drill.beta_notices_nothing().await?;
    drill.is_ready().await?;

    drill.faults.set(&[few("two", 2)])?;
    drill.health_is("SERVING").await?;
    drill.answered_later(&refused).await?;
    drill.answered(1).await?;
    assert_eq!(drill.number("semops_hsm_sessions", "alfa")?, 1);
    drill.end(4 + refused.len() + 1).await
}

#[tokio::test]
async fn a_token_with_one_session_stops_the_start() -> Result<(), Failure> {
    let one = Fault::at("alfa", "one", "effect = { max_sessions = 1 }");
    let (mut deployment, _faults) = prepared(&[], &[one])?;
    let said = refused_start(&mut deployment, 1).await?;
    for word in ["alfa", "ulMaxSessionCount"] {
        assert!(said.contains(word), "{said}");
    }
    Ok(())
}
