//! Owns the closing of intents that are overdue, so that every operation ends.

use crate::{
    authority::Authority,
    domain::actor::{Actor, Origin},
    error::Error,
    ids::RequestId,
    metrics::Swept,
};

/// The most intents closed in one transaction, so that a sweep after a long stop does not hold up others.
const GROUP: u32 = 256;

impl Authority {
    /// Closes every overdue intent and gives its reservation back. Answers how many.
    pub async fn sweep(&self) -> Result<u64, Error> {
        let mut closed = 0_u64;
        loop {
            let origin = Origin {
                actor: Actor::Schedule,
                request: RequestId::new(),
            };
            let swept = self.store.sweep(GROUP, origin, self.clock.now()).await?;
            self.metrics.swept(Swept::Expired, swept.expired);
            self.metrics.swept(Swept::Overdue, swept.failed);
            let group = swept.expired.saturating_add(swept.failed);
            closed = closed.saturating_add(group);
            if group < u64::from(GROUP) {
                return Ok(closed);
            }
        }
    }
}
