//! Owns what one key has spent of its windows, and the one place where governor decides.

use std::{cell::Cell, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};

use crate::domain::{
    limit::{MAX_WINDOWS, Window, Windows},
    quota::Arrivals,
};

/// Of each window, when it will be as good as new: governor's theoretical arrival time, since the limits' start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    windows: Windows,
    arrivals: [Nanos; MAX_WINDOWS],
    recovered_at: Nanos,
}

/// A window that refuses, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) time: Duration,
    pub(super) window: Window,
}

impl Spent {
    /// Nothing.
    pub(super) fn nothing(windows: &Windows) -> Self {
        Self {
            windows: *windows,
            arrivals: [Nanos::new(0); MAX_WINDOWS],
            recovered_at: Nanos::new(0),
        }
    }

    /// What these arrivals say at `now`. No window has more to come back than its burst: what a clock that was set back left
    /// beyond that is forgotten.
    pub(super) fn stood(windows: &Windows, arrivals: Arrivals, now: Nanos) -> Self {
        let mut spent = Self::nothing(windows);
        let each = windows.iter().zip(arrivals).zip(&mut spent.arrivals);
        for ((window, stood), arrival) in each {
            let whole = window.interval().saturating_mul(window.burst().get());
            *arrival = Nanos::from(stood).min(now + whole);
            spent.recovered_at = spent.recovered_at.max(*arrival);
        }
        spent
    }

    /// Its arrivals.
    pub(super) fn arrivals(&self) -> Arrivals {
        self.arrivals.map(Duration::from)
    }

    /// What it is under these windows: the same, or nothing when they have changed.
    pub(super) fn under(self, windows: &Windows) -> Self {
        if self.windows == *windows {
            self
        } else {
            Self::nothing(windows)
        }
    }

    /// What it would be after one more request at `now`, if every window lets it through; else the longest wait.
    pub(super) fn one_more(mut self, now: Nanos) -> Result<Self, Wait> {
        let mut refused: Option<Wait> = None;
        for (window, arrival) in self.windows.iter().zip(&mut self.arrivals) {
            let slot = Slot::new(*arrival, now);
            match slot.limiter(window, now).check() {
                Ok(_) => {
                    *arrival = slot.next.get();
                    self.recovered_at = self.recovered_at.max(*arrival);
                }
                Err(not_until) => {
                    let time = not_until.wait_time_from(now);
                    if refused.is_none_or(|longest| longest.time < time) {
                        refused = Some(Wait { time, window });
                    }
                }
            }
        }
        refused.map_or(Ok(self), Err)
    }

    /// How many requests each window would let through at `now`.
    pub(super) fn left(self, now: Nanos) -> Vec<(Window, u32)> {
        let each = |(window, arrival): (Window, Nanos)| {
            let slot = Slot::new(arrival, now);
            let one_more = slot.limiter(window, now).check();
            let left = one_more.map_or(0, |after| {
                after.remaining_burst_capacity().saturating_add(1)
            });
            (window, left)
        };
        self.windows.iter().zip(self.arrivals).map(each).collect()
    }

    /// When all of it has come back: from then on nothing would be lost with it.
    pub(super) const fn recovered_at(&self) -> Nanos {
        self.recovered_at
    }
}

/// One window at one moment, as governor's state. A decision is noted here and kept only if all others are as good, so
/// that all is spent or nothing. governor counts from the moment of the decision.
struct Slot {
    ahead: Nanos,
    now: Nanos,
    next: Cell<Nanos>,
}

/// A clock that stands still: one decision over several windows has one moment.
struct Moment(Nanos);

impl Clock for Moment {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0
    }
}

impl Slot {
    fn new(arrival: Nanos, now: Nanos) -> Self {
        Self {
            ahead: arrival.saturating_sub(now),
            now,
            next: Cell::new(arrival),
        }
    }

    fn limiter(
        &self,
        window: Window,
        now: Nanos,
    ) -> RateLimiter<NotKeyed, &Self, Moment, StateInformationMiddleware> {
        #[expect(
            clippy::expect_used,
            reason = "a window gives back at most a million requests per second"
        )]
        let quota = Quota::with_period(window.interval()).expect("an interval above zero");
        RateLimiter::new(quota.allow_burst(window.burst()), self, Moment(now))
    }
}

impl StateStore for &Slot {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, next) = decide(Some(self.ahead))?;
        self.next.set(self.now + Duration::from(next));
        Ok(answer)
    }
}
