//! Modules that take the process with them, or never return: the worker process is replaced, and nothing else is.

use e2e::{failure::Failure, faults::Fault, numbers::Numbers, refusal, until::until};
use semops_proto::v1;

use super::drill::{Drill, SOON};

/// What an order may meet while worker processes come and go; all of it is to be asked for again.
const MEANWHILE: [&str; 2] = ["HSM_UNAVAILABLE", "DEADLINE_EXCEEDED"];

/// Has an order co-signed, however often it has to be asked for; gives what was told before.
async fn persists(drill: &Drill, ask: &v1::CosignOrderRequest) -> Result<Vec<String>, Failure> {
    let mut told = Vec::new();
    until("the order's authorization", SOON, async || {
        match drill.cosign(ask).await {
            Ok(answer) => Ok(Some(answer)),
            Err(refused) => {
                let reason = refusal::reason(&refused).unwrap_or_else(|| refused.to_string());
                assert!(MEANWHILE.contains(&reason.as_str()), "{refused:?}");
                told.push(reason);
                Ok(None)
            }
        }
    })
    .await?;
    Ok(told)
}

/// How many worker processes each institution's token has used up, and has.
fn processes(drill: &Drill, institution: &str) -> Result<(u64, u64), Failure> {
    let numbers = Numbers::of(&drill.deployment)?;
    let count = |name| numbers.count(name, &[("institution", institution)]);
    Ok((
        count("semops_hsm_workers_replaced_total"),
        count("semops_hsm_workers"),
    ))
}

async fn replaced(drill: &Drill, times: usize) -> Result<(), Failure> {
    let expected = (u64::try_from(times)?, 1);
    until("another worker process", SOON, async || {
        Ok((processes(drill, "alfa")? == expected).then_some(()))
    })
    .await?;
    assert_eq!(processes(drill, "beta")?, (0, 1), "and no other");
    Ok(())
}

#[tokio::test]
async fn a_module_that_aborts_takes_nobody_with_it() -> Result<(), Failure> {
    let drill = Drill::begin().await?;
    let aborts = |name: &str, call: &str, times: usize| {
        let rule = format!("calls = ['{call}']\nfirst = {times}\neffect = 'abort'");
        Fault::at("alfa", name, &rule)
    };
    // Once while it signs: the work is done by the next process, and its caller does not notice.
    drill.faults.set(&[aborts("once", "C_Sign", 1)])?;
    let (_, ask) = drill.order()?;
    drill.cosign(&ask).await?;
    assert_eq!(drill.faults.struck("once")?, 1);
    replaced(&drill, 1).await?;

    // As often as work is tried again, and more; the last times while a process starts.
    let rules = [aborts("often", "C_Sign", 4), aborts("start", "C_Login", 2)];
    drill.faults.set(&rules)?;
    let (_, ask) = drill.order()?;
    let told = persists(&drill, &ask).await?;
    assert!(!told.is_empty());
    assert_eq!(drill.faults.struck("often")?, 4);
    assert_eq!(drill.faults.struck("start")?, 2);
    drill.health_is("SERVING").await?;
    assert_eq!(processes(&drill, "beta")?, (0, 1));
    drill.answered(3).await?;
    drill.end(1 + 1 + 3).await
}

#[tokio::test]
async fn a_call_that_never_returns_is_ended_with_its_process() -> Result<(), Failure> {
    let hung = ("threads = 2", "threads = 2\nhung_seconds = 1");
    let drill = Drill::with(&[hung], &[]).await?;
    for (times, call) in (1..).zip(["C_Sign", "C_SignInit", "C_GetSessionInfo"]) {
        let name = format!("hang-{times}");
        let rule = format!("calls = ['{call}']\nfirst = 1\neffect = 'hang'");
        // It stands there for as long as anybody waits for the call.
        drill.faults.set(&[Fault::at("alfa", &name, &rule)])?;
        persists(&drill, &drill.order()?.1).await?;
        replaced(&drill, times).await?;
        assert_eq!(drill.faults.struck(&name)?, 1, "{call}");
        drill.beta_notices_nothing().await?;
    }
    drill.health_is("SERVING").await?;
    drill.end(3).await
}
