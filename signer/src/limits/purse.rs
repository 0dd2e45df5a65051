//! Owns what a replica was lent of one quota: requests that it may let through without asking again, until their lease ends.
//! What is not used by then is forfeited, so that nobody needs to give anything back.

use std::time::Duration;

use governor::nanos::Nanos;

use super::spent::{Spent, Wait};
use crate::domain::{
    limit::{Window, Windows},
    quota::Lent,
};

/// How long a lease lasts, from before it was asked for. All replicas together let no more through in any time than the
/// windows give in that time and this.
pub const LEASE: Duration = Duration::from_secs(1);

/// The most requests of one ask.
const MOST: u32 = 4_096;

/// What was lent of one quota.
#[derive(Clone, Debug)]
pub(super) struct Purse {
    windows: Windows,
    leases: Vec<Lease>,
    /// What the record said last, on this replica's clock. Others may have spent more since, nobody less.
    known: Spent,
    /// Since when an ask is under way.
    asked: Option<Nanos>,
    demand: Demand,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    left: u32,
    until: Nanos,
}

/// How many requests came in this half of a lease's time, and in the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Demand {
    half: u64,
    now: u32,
    before: u32,
}

impl Purse {
    pub(super) fn new(windows: &Windows) -> Self {
        Self {
            windows: *windows,
            leases: Vec::new(),
            known: Spent::nothing(windows),
            asked: None,
            demand: Demand::default(),
        }
    }

    /// The same under these windows: what was lent under others is forfeited.
    pub(super) fn under(&mut self, windows: &Windows) -> &mut Self {
        if self.windows != *windows {
            *self = Self::new(windows);
        }
        self
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Whether it remembers anything that counts.
    pub(super) fn is_in_use(&self, now: Nanos) -> bool {
        self.asked.is_some() || self.held(now) > 0 || self.known.recovered_at() > now
    }

    /// How many requests it may still let through.
    pub(super) fn held(&self, now: Nanos) -> u32 {
        let valid = self.leases.iter().filter(|lease| lease.until > now);
        valid.fold(0, |held, lease| held.saturating_add(lease.left))
    }

    /// How long nothing is held, and nothing lent.
    pub(super) fn wait(&self, now: Nanos) -> Option<Wait> {
        if self.held(now) > 0 {
            return None;
        }
        self.known.one_more(now).err()
    }

    /// One more request came that may be let through.
    pub(super) fn came(&mut self, now: Nanos) {
        let half = now.as_u64() / Nanos::from(LEASE / 2).as_u64();
        if half != self.demand.half {
            let follows = half == self.demand.half.saturating_add(1);
            let before = if follows { self.demand.now } else { 0 };
            self.demand = Demand {
                half,
                now: 0,
                before,
            };
        }
        self.demand.now = self.demand.now.saturating_add(1);
    }

    /// Lets one through, of the lease that ends first.
    pub(super) fn take(&mut self, now: Nanos) {
        self.leases
            .retain(|lease| lease.until > now && lease.left > 0);
        if let Some(lease) = self.leases.first_mut() {
            lease.left = lease.left.saturating_sub(1);
        }
    }

    /// How many to ask for because one waits and nothing is held. Nothing while an ask is under way.
    pub(super) fn ask(&mut self, now: Nanos) -> Option<u32> {
        if self.asked.is_some() || self.held(now) > 0 {
            return None;
        }
        self.asked = Some(now);
        Some(self.wanted())
    }

    /// How many to ask for before anybody waits: nothing while half of them are held, or where they come one by one, for
    /// that one may be forfeited.
    pub(super) fn ask_ahead(&mut self, now: Nanos) -> Option<u32> {
        let wanted = self.wanted();
        let enough = wanted == 1 || self.held(now) > wanted / 2;
        if enough || self.asked.is_some() || self.known.one_more(now).is_err() {
            return None;
        }
        self.asked = Some(now);
        Some(wanted)
    }

    /// As many as came in half a lease's time, but no more than every window gives back in one; one at least.
    fn wanted(&self) -> u32 {
        let back = |window: Window| {
            let back = LEASE.as_nanos() / window.interval().as_nanos().max(1);
            u32::try_from(back).unwrap_or(MOST)
        };
        let most = self.windows.iter().map(back).min().unwrap_or(1);
        let came = self.demand.now.max(self.demand.before);
        came.clamp(1, most.clamp(1, MOST))
    }

    /// How long an ask has been under way.
    pub(super) fn asked_for(&self, now: Nanos) -> Duration {
        let asked = self.asked.map(|asked| now.saturating_sub(asked));
        asked.map_or(Duration::ZERO, Duration::from)
    }

    /// What was asked at `asked` was answered, if that is the ask under way: with nothing where it could not be asked.
    pub(super) fn answered(&mut self, asked: Nanos, lent: Option<&Lent>, now: Nanos) {
        if self.asked != Some(asked) {
            return;
        }
        self.asked = None;
        let Some(lent) = lent else {
            return;
        };
        let ahead = lent.arrivals.map(|arrival| arrival.saturating_sub(lent.at));
        let arrivals = ahead.map(|ahead| Duration::from(now).saturating_add(ahead));
        self.known = Spent::stood(&self.windows, arrivals, now);
        self.leases.push(Lease {
            left: lent.requests,
            until: asked + LEASE,
        });
    }

    /// How many requests each window would let through, as far as is known here.
    pub(super) fn left(&self, now: Nanos) -> Vec<(Window, u32)> {
        let held = self.held(now);
        let each = |(window, left): (Window, u32)| {
            let left = left.saturating_add(held).min(window.burst().get());
            (window, left)
        };
        self.known.left(now).into_iter().map(each).collect()
    }
}
