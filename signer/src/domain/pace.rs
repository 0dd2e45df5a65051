//! Owns the pace of a queue: how long its jobs take, so that whoever finds it full can be told about when there is room.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What is told is never less, nor more.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(5);
/// The newest job has one part in so many of the mean.
const PARTS: u64 = 8;

/// The mean time of the latest jobs of one queue.
#[derive(Debug, Default)]
pub struct Pace(AtomicU64);

impl Pace {
    /// A job took so long.
    pub fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // Two that are noted at once may count as one: it is a mean.
        let mean = self.0.load(Ordering::Relaxed);
        let next = (mean - mean / PARTS).saturating_add(time / PARTS);
        self.0.store(next, Ordering::Relaxed);
    }

    /// About how long `jobs` take in the hands of `workers`, one of whom has been at one for `longest`.
    pub fn time_for(&self, jobs: usize, workers: usize, longest: Duration) -> Duration {
        let each = Duration::from_nanos(self.0.load(Ordering::Relaxed)).max(longest);
        let [jobs, workers] = [jobs, workers].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let time = each.saturating_mul(jobs) / workers.max(1);
        time.clamp(SHORTEST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    #[test]
    fn the_time_is_that_of_the_jobs_that_wait_shared_among_the_workers() {
        let pace = Pace::default();
        for _ in 0..100 {
            pace.took(Duration::from_millis(1));
        }
        let about = |time: Duration, millis: u128| {
            assert!(time.as_millis().abs_diff(millis) <= millis / 50, "{time:?}");
        };
        about(pace.time_for(256, 1, NO_TIME), 256);
        about(pace.time_for(256, 2, NO_TIME), 128);
        about(pace.time_for(256, 2, Duration::from_millis(2)), 256);
    }

    #[test]
    fn it_follows_the_latest_jobs() {
        let pace = Pace::default();
        for millis in [1, 100] {
            for _ in 0..60 {
                pace.took(Duration::from_millis(millis));
            }
        }
        assert!(pace.time_for(10, 1, NO_TIME) > Duration::from_millis(900));
    }

    #[test]
    fn what_is_told_has_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.time_for(256, 2, NO_TIME), SHORTEST);
        assert_eq!(pace.time_for(256, 0, Duration::from_secs(60)), LONGEST);
        assert_eq!(pace.time_for(usize::MAX, 1, Duration::MAX), LONGEST);
    }
}
