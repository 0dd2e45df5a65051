//! Owns the words of quotas that replicas share: whose they are, what is asked of them in advance, and what was lent. The
//! record keeps them, `limits` decides, `authority` asks.

use std::{fmt, time::Duration};

use semops_objects::institution::InstitutionId;

use crate::domain::limit::{MAX_WINDOWS, Scope, Window, Windows};

/// What one scope at an institution may ask for under these windows. Other windows are another quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// At whose policy.
    pub institution: InstitutionId,
    /// Whose.
    pub scope: Scope,
    /// How much.
    pub windows: Windows,
}

/// Up to so many requests of a quota, in advance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaAsk {
    /// Of which.
    pub quota: Quota,
    /// How many, from 1.
    pub requests: u32,
}

/// Of each window in turn, when it will be as good as new: its theoretical arrival time, since 1970 on the record's clock.
pub type Arrivals = [Duration; MAX_WINDOWS];

/// What a quota lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// How many requests: fewer than were asked for, or none, where a window has no more.
    pub requests: u32,
    /// What stands of its windows afterwards.
    pub arrivals: Arrivals,
    /// When that was, on the record's clock.
    pub at: Duration,
    /// The window that lends no more, and for how long.
    pub refused: Option<(Window, Duration)>,
}

/// Decides what is lent of what stands, or of a quota of which nothing is known, at a moment of the record's clock.
pub type Lend = fn(&QuotaAsk, Option<Arrivals>, Duration) -> Lent;

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, window) in self.iter().enumerate() {
            let separator = if place == 0 { "" } else { " " };
            let (burst, requests, seconds) = (window.burst(), window.requests(), window.seconds());
            write!(f, "{separator}{burst}+{requests}/{seconds}s")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::limit::RateLimits;

    #[test]
    fn windows_are_told_apart_by_their_text() {
        let RateLimits { device, caller, .. } = RateLimits::DEFAULT;
        assert_eq!(device.to_string(), "5+1/2s 60+60/3600s");
        assert_eq!(caller.to_string(), "1000+500/1s");
    }
}
