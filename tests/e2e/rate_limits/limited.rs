//! Limits for alfa, and the word of a refusal.

use std::time::{Duration, Instant};

use e2e::{
    deployment::{
        Deployment,
        limits::{limited, rate_limits},
    },
    failure::Failure,
    refusal::rate_limit,
};
use softhsm_setup::scheme::Scheme;
use tokio::time::{sleep, sleep_until};
use tonic::Status;

/// One, and the next in an hour: spent once for the whole test.
pub(super) const AN_HOUR: &str = "{ burst = 1, requests = 1, seconds = 3600 }";
/// Calls until a refusal, and tries to be early enough, before a test gives up.
const PATIENCE: usize = 200;
const A_MOMENT: Duration = Duration::from_millis(100);

/// The example with these limits for alfa; nobody else meets any.
pub(super) fn scheme(named: &[(&str, &str)]) -> String {
    limited(Scheme::EXAMPLE, Some("alfa"), named).unwrap()
}

/// Loads the next version of alfa's policy, with these limits.
pub(super) fn policy(
    deployment: &Deployment,
    version: u64,
    named: &[(&str, &str)],
) -> Result<(), Failure> {
    let table = rate_limits(named)?;
    deployment.load_next("policy", "alfa", version, |text| {
        let mut policy: toml::Table = text.parse().unwrap();
        policy.insert("rate_limits".to_owned(), toml::Value::Table(table));
        toml::to_string(&policy).unwrap()
    })
}

/// Calls until `scope` refuses; another may do so until a new policy is read. Gives when the refused call was sent, and the
/// wait that it was told.
pub(super) async fn refused(
    mut call: impl AsyncFnMut() -> Result<(), Status>,
    scope: &str,
) -> Result<(Instant, Duration), Failure> {
    for _ in 0..PATIENCE {
        let sent = Instant::now();
        if let Err(status) = call().await {
            let (by, wait) = rate_limit(&status)?;
            if by == scope {
                return Ok((sent, wait));
            }
            sleep(wait.min(A_MOMENT)).await;
        }
    }
    let what = format!("{PATIENCE} calls, none refused by {scope}");
    Err(Failure::new(what))
}

/// Calls until it is refused, comes a tenth too early and is refused again, waits as long as it is told and gets through.
/// Each time it is `scope` that refuses.
pub(super) async fn keeps_its_word(
    mut call: impl AsyncFnMut() -> Result<(), Status>,
    scope: &str,
) -> Result<(), Failure> {
    for _ in 0..PATIENCE {
        let (sent, wait) = refused(&mut call, scope).await?;
        sleep_until((sent + wait * 9 / 10).into()).await;
        let early = call().await;
        // The wait counts from after `sent`: an answer that came before its end was decided before its end.
        if sent.elapsed() >= wait {
            continue;
        }
        let early = early.err();
        let early = early.ok_or_else(|| Failure::new("let through a tenth too early"))?;
        let (by, left) = rate_limit(&early)?;
        assert_eq!(by, scope);
        sleep(left).await;
        return Ok(call().await?);
    }
    Err(Failure::new("this machine is never early enough"))
}
