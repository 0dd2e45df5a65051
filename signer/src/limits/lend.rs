//! Owns what a quota lends: requests in advance, taken from all its windows as if they were made at that moment. Pure: the
//! record calls it with what stands there, by its own clock.

use std::time::Duration;

use governor::nanos::Nanos;

use super::spent::Spent;
use crate::domain::quota::{Arrivals, Lent, QuotaAsk};

/// What is lent of what stands at `at`: as many requests as were asked for and every window has.
pub fn lend(ask: &QuotaAsk, stood: Option<Arrivals>, at: Duration) -> Lent {
    let now = Nanos::from(at);
    let mut spent = Spent::stood(&ask.quota.windows, stood.unwrap_or_default(), now);
    let (mut requests, mut refused) = (0, None);
    while requests < ask.requests {
        match spent.one_more(now) {
            Ok(more) => {
                spent = more;
                requests = requests.saturating_add(1);
            }
            Err(wait) => {
                refused = Some((wait.window, wait.time));
                break;
            }
        }
    }
    Lent {
        requests,
        arrivals: spent.arrivals(),
        at,
        refused,
    }
}
