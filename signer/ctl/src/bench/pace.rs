//! The open loop: requests come by a schedule, whether or not others are answered.
//!
//! A latency counts from the moment at which its request was due, so one that had to wait for a place counts its wait: no
//! coordinated omission. An arrival that finds no place for [`PATIENCE`], or before the end, is counted as not sent.

use std::{sync::Arc, thread, time::Duration};

use aws_lc_rs::rand;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

use super::{
    load::Load,
    schedule::{Arrivals, Spacing},
};
use crate::failure::Failure;

/// A request is made ready this long before it is due.
const AHEAD: Duration = Duration::from_millis(2);
/// The longest that the schedule's thread sleeps without looking whether the load has ended.
const NAP: Duration = Duration::from_millis(50);
/// The schedule's thread wakes up this late at most: an arrival of the last moment is sent all the same.
const GRACE: Duration = Duration::from_millis(20);
/// An arrival waits for a place as long as this, then it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts the schedule. It has a thread of its own, which sleeps to some 0.1 ms: the runtime's timer counts whole
/// milliseconds, of the order of what is measured.
pub(super) fn drive(
    load: &Arc<Load>,
    drivers: &mut JoinSet<Result<(), Failure>>,
    per_second: f64,
    spacing: Spacing,
    in_flight: usize,
) {
    let pacer = Pacer {
        load: Arc::clone(load),
        places: Arc::new(Semaphore::new(in_flight)),
        handle: Handle::current(),
    };
    drivers.spawn_blocking(move || pacer.run(per_second, spacing, in_flight));
}

struct Pacer {
    load: Arc<Load>,
    places: Arc<Semaphore>,
    handle: Handle,
}

impl Pacer {
    fn run(&self, per_second: f64, spacing: Spacing, in_flight: usize) -> Result<(), Failure> {
        let total = self.load.work.plan().total();
        let arrivals = Arrivals::new(per_second, spacing, random);
        for due in arrivals.take_while(|due| *due < total) {
            self.arrive(due)?;
            // Those that were due when the user ended it are counted; the rest never came.
            if !self.load.runs() && self.load.elapsed() < due {
                break;
            }
        }
        // All places are free when all are answered.
        let all = u32::try_from(in_flight).unwrap_or(u32::MAX);
        let _ = self.handle.block_on(self.places.acquire_many(all));
        Ok(())
    }

    fn arrive(&self, due: Duration) -> Result<(), Failure> {
        if !self.sleep_until(due.saturating_sub(AHEAD)) {
            self.missed(due);
            return Ok(());
        }
        if !self.is_wanted(due) {
            self.missed(due);
            return Ok(());
        }
        let job = self.load.work.next()?;
        let place = if self.sleep_until(due) {
            self.place(due)
        } else {
            None
        };
        let Some(place) = place else {
            self.load.work.take_back(job);
            self.missed(due);
            return Ok(());
        };
        let load = Arc::clone(&self.load);
        self.handle.spawn(async move {
            let _ = load.serve(job, due).await;
            drop(place);
        });
        Ok(())
    }

    /// An arrival that is not sent; one that would have come after an early end never was.
    fn missed(&self, due: Duration) {
        if due <= self.load.elapsed() {
            self.load.not_sent(due);
        }
    }

    /// Whether an arrival is still to be sent: not if it has waited too long, nor if it waited when the load ended.
    fn is_wanted(&self, due: Duration) -> bool {
        let late = self.load.elapsed().saturating_sub(due);
        late < PATIENCE && (late < GRACE || self.load.runs())
    }

    /// A place for one more request, unless the load ends or the time has come to give it up.
    fn place(&self, due: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        let left = due
            .saturating_add(PATIENCE)
            .saturating_sub(self.load.elapsed());
        self.handle.block_on(async {
            tokio::select! {
                place = timeout(left, Arc::clone(&self.places).acquire_owned()) => place.ok()?.ok(),
                () = self.load.ended() => None,
            }
        })
    }

    /// False if the load ended first.
    fn sleep_until(&self, moment: Duration) -> bool {
        loop {
            let left = moment.saturating_sub(self.load.elapsed());
            if left.is_zero() || !self.load.runs() {
                return left.is_zero();
            }
            thread::sleep(left.min(NAP));
        }
    }
}

/// Random bits; zero, an arrival at the mean's far end, if there were no random source.
fn random() -> u32 {
    let mut bytes = [0; 4];
    let _ = rand::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
