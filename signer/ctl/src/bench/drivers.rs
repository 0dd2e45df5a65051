//! Those who send the load's requests: callers that take turns, or a schedule.

use std::sync::Arc;

use tokio::{task::JoinSet, time::sleep};

use super::{load::Load, pace, plan::Driving};
use crate::failure::Failure;

/// Starts those who send.
pub fn start(load: &Arc<Load>) -> JoinSet<Result<(), Failure>> {
    let mut drivers = JoinSet::new();
    match load.work.plan().driving {
        Driving::Closed { concurrency } => {
            for _ in 0..concurrency {
                drivers.spawn(in_turn(Arc::clone(load)));
            }
        }
        Driving::Open {
            per_second,
            spacing,
            in_flight,
        } => {
            pace::drive(load, &mut drivers, per_second, spacing, in_flight);
        }
    }
    drivers
}

/// A caller with one request under way: the next is due when the last is answered, or when it was told to come back.
async fn in_turn(load: Arc<Load>) -> Result<(), Failure> {
    while load.runs() {
        let job = load.work.next()?;
        let due = load.elapsed();
        if let Some(pause) = load.serve(job, due).await {
            tokio::select! {
                () = sleep(pause) => {}
                () = load.ended() => {}
            }
        }
    }
    Ok(())
}
