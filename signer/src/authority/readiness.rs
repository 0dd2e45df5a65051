//! Owns whether the service can do its work: asked of the store once in a while, so that a look at it costs nothing.
//!
//! One institution's token that fails is no reason: the others are served, and theirs is told UNAVAILABLE.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::{authority::Authority, clock::Timestamp, error::Error, store::StoreError};

/// How long an answer of the store counts. One that does not come at all is noticed by this.
const COUNTS_FOR: Duration = Duration::from_secs(5);

/// What the store last said.
#[derive(Default)]
pub(super) struct Readiness {
    said: Mutex<Said>,
    /// Before when no order is co-signed, microseconds.
    held_until: AtomicI64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Said {
    /// It has not been asked yet.
    #[default]
    Nothing,
    /// It could be read and written then.
    Well(Instant),
    /// It could not.
    Ill,
}

impl Readiness {
    /// Nothing was asked yet but before when no order is co-signed.
    pub(super) fn held_until(until: Timestamp) -> Self {
        Self {
            held_until: AtomicI64::new(until.micros()),
            ..Self::default()
        }
    }

    /// Notes the answer; gives the one before.
    fn note(&self, said: Said) -> Said {
        let mut last = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut last, said)
    }

    fn at(&self, now: Instant) -> bool {
        let last = *self.said.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(last, Said::Well(then) if now.saturating_duration_since(then) <= COUNTS_FOR)
    }
}

impl Authority {
    /// Asks the store whether it can be read and written. To be called again when it has answered, so that no more than
    /// one such question ever waits there.
    pub async fn check(&self) {
        match self.store.ping().await {
            Ok(()) => {
                if self.readiness.note(Said::Well(Instant::now())) == Said::Ill {
                    info!("the store can be read and written again");
                }
            }
            // Others have it: it is well.
            Err(StoreError::Busy) => {
                self.readiness.note(Said::Well(Instant::now()));
            }
            Err(error) => {
                if self.readiness.note(Said::Ill) != Said::Ill {
                    warn!(%error, "the store cannot be read or written: the service is not ready");
                }
            }
        }
    }

    /// Asks the store before when no order is co-signed.
    pub async fn look_at_hold(&self) -> Result<(), Error> {
        let until = self.store.held_until().await?;
        let micros = until.micros();
        self.readiness.held_until.store(micros, Ordering::Relaxed);
        Ok(())
    }

    /// How long no order is co-signed yet, after the record was restored; zero at other times.
    pub fn held(&self) -> Duration {
        let until = self.readiness.held_until.load(Ordering::Relaxed);
        self.clock.now().until(Timestamp::from_micros(until))
    }

    /// Whether the store could be read and written a short while ago.
    pub fn is_ready(&self) -> bool {
        self.readiness.at(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_while() {
        let (readiness, then) = (Readiness::default(), Instant::now());
        assert!(!readiness.at(then), "nothing was asked");
        readiness.note(Said::Well(then));
        assert!(readiness.at(then) && readiness.at(then + COUNTS_FOR));
        assert!(!readiness.at(then + COUNTS_FOR + Duration::from_millis(1)));
        assert_eq!(readiness.note(Said::Ill), Said::Well(then));
        assert!(!readiness.at(then));
    }
}
