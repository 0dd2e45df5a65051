//! Owns for how long what is kept: the tables that are pruned, and until when.

use crate::clock::Timestamp;

/// What is not kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Orders that have ended, with their authorizations. What refuses their `jti` stays.
    Orders,
    /// CRLs that a later one has superseded.
    Crls,
    /// The pseudonyms of subscribers, from their device's notAfter on. The device itself stays.
    Subscribers,
    /// Audit events, the oldest first. Their digest stays.
    Events,
}

impl Kept {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Orders, Self::Crls, Self::Subscribers, Self::Events];

    /// The word in the configuration, in audit events and in measurements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Crls => "crls",
            Self::Subscribers => "subscribers",
            Self::Events => "events",
        }
    }

    /// The fewest days, so that nothing goes that is still asked for: money limits count the orders of 24 hours.
    pub const fn least_days(self) -> u32 {
        match self {
            Self::Orders | Self::Events => 2,
            Self::Crls | Self::Subscribers => 1,
        }
    }
}

/// For how many days what is kept; what is not named is kept for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Days for orders that have ended.
    pub orders: Option<u32>,
    /// Days for CRLs that were superseded.
    pub crls: Option<u32>,
    /// Days after a device's notAfter for its subscriber's pseudonym.
    pub subscribers: Option<u32>,
    /// Days for audit events.
    pub events: Option<u32>,
}

/// Seconds.
const DAY: i64 = 86_400;

impl Retention {
    /// Before which moment it is not kept any longer: by whole days (UTC), so that what is due goes in a few large groups a
    /// day and not in as many as there are seconds.
    pub fn before(self, kept: Kept, now: Timestamp) -> Option<Timestamp> {
        let days = match kept {
            Kept::Orders => self.orders,
            Kept::Crls => self.crls,
            Kept::Subscribers => self.subscribers,
            Kept::Events => self.events,
        };
        let today = now.seconds().div_euclid(DAY);
        let day = today.saturating_sub(days?.into());
        Some(Timestamp::from_seconds(day.saturating_mul(DAY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_so_by_whole_days() {
        let retention = Retention {
            orders: Some(2),
            ..Retention::default()
        };
        let midnight = Timestamp::from_seconds(20_000 * DAY);
        for (now, days) in [(midnight, 2), (midnight.plus_seconds(DAY - 1), 2)] {
            let before = retention.before(Kept::Orders, now);
            assert_eq!(before, Some(midnight.plus_seconds(-days * DAY)));
        }
        let last = retention.before(Kept::Orders, midnight.plus_seconds(-1));
        assert_eq!(last, Some(midnight.plus_seconds(-3 * DAY)));
        assert_eq!(retention.before(Kept::Events, midnight), None);
    }
}
