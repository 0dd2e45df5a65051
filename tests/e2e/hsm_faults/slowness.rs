//! A token that is slow, and calls that hang.

use std::time::Duration;

use e2e::{failure::Failure, faults::Fault, numbers::Numbers, refusal, until::until};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tokio::task::JoinSet;

use super::drill::{Drill, SOON};
use crate::bad_input::rows::outages as rows;

/// What somebody in a hurry waits.
const HASTY: Duration = Duration::from_millis(700);

/// Asks in a hurry until the service was the first to see that the time was over; on a busy machine the client may be.
async fn too_late(hasty: &Client, ask: &v1::CosignOrderRequest) -> Result<(), Failure> {
    until("DEADLINE_EXCEEDED from the service", SOON, async || {
        let refused = hasty.cosign_order(ask.clone()).await.unwrap_err();
        if refusal::reason(&refused).is_none() {
            return Ok(None);
        }
        rows::TOKEN_HANGS.refuses(Err::<(), _>(refused)).map(Some)
    })
    .await
    .map(drop)
}

async fn hasty(drill: &Drill) -> Result<Client, Failure> {
    let channel = drill.deployment.channel("alfa", Role::Payments).await?;
    Ok(Client::new(channel, HASTY))
}

#[tokio::test]
async fn a_slow_token_serves_those_who_wait_and_tells_the_others_in_time() -> Result<(), Failure> {
    const WAITING: usize = 6;
    let drill = Drill::begin().await?;
    let slow = "calls = ['C_Sign']\neffect = { delay_ms = 1000 }";
    drill.faults.set(&[Fault::at("alfa", "slow", slow)])?;
    let (_, late) = drill.order()?;
    too_late(&hasty(&drill).await?, &late).await?;

    let mut waiting = JoinSet::new();
    for _ in 0..WAITING {
        let (client, ask) = (drill.callers.alfa_payments.clone(), drill.order()?.1);
        waiting.spawn(async move { client.cosign_order(ask).await });
    }
    drill.beta_notices_nothing().await?;
    for answer in waiting.join_all().await {
        answer?;
    }
    assert!(drill.faults.struck("slow")? > WAITING);
    drill.health_is("SERVING").await?;
    assert_eq!(drill.number("semops_hsm_failures_total", "alfa")?, 0);

    drill.faults.heal()?;
    drill.answered_later(&[late]).await?;
    drill.end(1 + WAITING).await
}

/// For as long as it pleases: nothing is waited for past its deadline, and everything is done once the calls return.
#[tokio::test]
async fn calls_that_hang_keep_nobody_past_the_deadline() -> Result<(), Failure> {
    const THREADS: usize = 2;
    // So long that the worker process is not replaced meanwhile.
    let patient = ("threads = 2", "threads = 2\nhung_seconds = 600");
    let drill = Drill::with(&[patient], &[]).await?;
    let hang = "calls = ['C_Sign']\nfirst = 2\neffect = 'hang'";
    drill.faults.set(&[Fault::at("alfa", "hang", hang)])?;
    let hasty = hasty(&drill).await?;
    let mut late = Vec::new();
    for _ in 0..THREADS {
        let (_, ask) = drill.order()?;
        too_late(&hasty, &ask).await?;
        late.push(ask);
    }
    until("calls that hang", SOON, async || {
        Ok((drill.faults.struck("hang")? == THREADS).then_some(()))
    })
    .await?;
    drill.beta_notices_nothing().await?;
    drill.is_ready().await?;
    let said = drill.health_is("STUCK").await?;
    assert!(said.contains("has not returned"), "{said}");
    let longest = Numbers::of(&drill.deployment)?.sum(
        "semops_hsm_longest_call_seconds",
        &[("institution", "alfa")],
    );
    assert!(longest >= Some(10.0), "{longest:?}");
    // Nothing else is done meanwhile, and that is said in time.
    for _ in 0..3 {
        let (_, ask) = drill.order()?;
        too_late(&hasty, &ask).await?;
        late.push(ask);
    }
    drill.beta_notices_nothing().await?;

    drill.faults.heal()?;
    drill.health_is("SERVING").await?;
    drill.answered_later(&late).await?;
    assert_eq!(drill.faults.struck("hang")?, THREADS);
    let authorizations = late.len();
    drill.end(authorizations).await
}
