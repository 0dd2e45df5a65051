//! Owns the closing of intents and changes that are overdue, so that every operation ends.

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
    /// Closes every overdue intent and gives its reservation back, and ends every change that nobody settled in its time, if
    /// this replica does the scheduled work. Answers how many. Beside one that has just lost the lead it does no harm: each
    /// ends once.
    pub async fn sweep(&self) -> Result<u64, Error> {
        if self.store.lead(self.replica).await?.is_none() {
            return Ok(0);
        }
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
                return Ok(closed.saturating_add(self.expire_changes().await?));
            }
        }
    }

    /// Ends the pending changes whose time has passed. Answers how many.
    async fn expire_changes(&self) -> Result<u64, Error> {
        let mut ended = 0_u64;
        loop {
            let origin = Origin {
                actor: Actor::Schedule,
                request: RequestId::new(),
            };
            let group = self.store.expire(GROUP, origin, self.clock.now()).await?;
            ended = ended.saturating_add(group);
            if group < u64::from(GROUP) {
                return Ok(ended);
            }
        }
    }
}
