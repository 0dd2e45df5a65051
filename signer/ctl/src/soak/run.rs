//! The soak as a whole: its phones, its faults, its seconds, its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    calls::Calls,
    check,
    crls::{self, Seen},
    faults::{self, Injected},
    lane::{Issuer, Lane},
    ledger::{Counts, Ledger},
    life::{Habits, Life},
};
use crate::{bench::live::Live, failure::Failure};

/// What the soak is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long lives are begun.
    pub duration: Duration,
    /// Lives at a time.
    pub concurrency: u32,
    /// How they are lived.
    pub habits: Habits,
    /// Harm, in turn.
    pub faults: Vec<String>,
    /// The time between two.
    pub every: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Ended {
    /// Whether the user ended it.
    pub interrupted: bool,
    /// How long lives were begun.
    pub after: Duration,
    /// The harm that was done.
    pub injected: Vec<Injected>,
    /// CRLs that were seen.
    pub crls: usize,
}

/// Runs it: until its time is over or the user interrupts, then all that was kept is asked for again.
///
/// # Errors
/// No random source, or this program broke down.
pub async fn run(
    plan: &Plan,
    lanes: Vec<Lane>,
    issuers: &[Arc<Issuer>],
    ledger: &Arc<Ledger>,
    live: &mut Live,
    interrupt: impl Future<Output = ()>,
) -> Result<Ended, Failure> {
    let (end, ended) = watch::channel(false);
    let (told, injected) = watch::channel(0);
    let faults = faults::inject(plan.faults.clone(), plan.every, told, ended.clone());
    let faults = tokio::spawn(faults);
    let crls: Vec<JoinHandle<Seen>> = issuers
        .iter()
        .map(|issuer| {
            let (issuer, ledger) = (Arc::clone(issuer), Arc::clone(ledger));
            tokio::spawn(crls::watch(issuer, ledger, ended.clone()))
        })
        .collect();
    let mut lives = begin(plan, lanes, ledger, &ended);
    let interrupted = tokio::select! {
        () = interrupt => true,
        () = shown(plan, ledger, &injected, live) => false,
        failed = broken(&mut lives) => return Err(failed),
    };
    let after = ledger.elapsed();
    end.send_replace(true);
    live.step("waiting for what is under way");
    while let Some(lived) = lives.join_next().await {
        lived.map_err(Failure::bad_answer)??;
    }
    let injected = faults.await.map_err(Failure::bad_answer)?;
    live.step("asking for everything again");
    let patience = plan.habits.patience;
    check::again(Calls { ledger, patience }).await;
    let mut lists = 0_usize;
    for seen in crls {
        lists = lists.saturating_add(seen.await.map_err(Failure::bad_answer)?.lists());
    }
    Ok(Ended {
        interrupted,
        after,
        injected,
        crls: lists,
    })
}

type Lives = JoinSet<Result<(), Failure>>;

fn begin(
    plan: &Plan,
    lanes: Vec<Lane>,
    ledger: &Arc<Ledger>,
    ended: &watch::Receiver<bool>,
) -> Lives {
    let (mut lives, lanes, numbers) =
        (JoinSet::new(), Arc::new(lanes), Arc::new(AtomicU64::new(0)));
    for _ in 0..plan.concurrency {
        let (lanes, numbers) = (Arc::clone(&lanes), Arc::clone(&numbers));
        let (ledger, ended, habits) = (Arc::clone(ledger), ended.clone(), plan.habits);
        lives.spawn(async move {
            while !*ended.borrow() {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let lane = usize::try_from(number)
                    .unwrap_or_default()
                    .checked_rem(lanes.len());
                let Some(lane) = lane.and_then(|lane| lanes.get(lane)) else {
                    return Ok(());
                };
                Life::new(lane, &ledger, habits).live(number).await?;
            }
            Ok(())
        });
    }
    lives
}

/// Ends with the first that fails. None ends well before its time.
async fn broken(lives: &mut Lives) -> Failure {
    while let Some(lived) = lives.join_next().await {
        match lived {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return failure,
            Err(error) => return Failure::bad_answer(error),
        }
    }
    Failure::bad_answer("no lives are left")
}

/// Shows each second how far it is, until the time is over.
async fn shown(plan: &Plan, ledger: &Ledger, injected: &watch::Receiver<usize>, live: &mut Live) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let over = sleep(plan.duration);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return,
            _ = seconds.tick() => {
                let at = ledger.elapsed();
                let left = plan.duration.saturating_sub(at);
                live.at(at, &said(at, left, &ledger.counts(), *injected.borrow()));
            }
        }
    }
}

/// One second in one line.
fn said(at: Duration, left: Duration, counts: &Counts, injected: usize) -> String {
    let Counts {
        enrolled,
        authorized,
        revoked,
        repeated,
        findings,
        ..
    } = counts;
    format!(
        "{} s, {} s left | enrolled {enrolled} | authorized {authorized} | revoked {revoked} | repeated {repeated} | \
         faults {injected} | findings {findings}",
        at.as_secs(),
        left.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_one_line() {
        let counts = Counts {
            enrolled: 10,
            authorized: 50,
            revoked: 2,
            repeated: 7,
            ..Counts::default()
        };
        let line = said(
            Duration::from_millis(12_900),
            Duration::from_secs(47),
            &counts,
            3,
        );
        assert_eq!(
            line,
            "12 s, 47 s left | enrolled 10 | authorized 50 | revoked 2 | repeated 7 | faults 3 | findings 0"
        );
    }
}
