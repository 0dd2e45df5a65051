//! Owns the end of this replica's part in the scheduled work: another need not wait until its lease has run out.

use crate::{authority::Authority, error::Error};

impl Authority {
    /// Leaves the scheduled work to another replica. Nothing of it may be under way here any more.
    pub async fn step_down(&self) -> Result<(), Error> {
        self.store.step_down(self.replica).await?;
        self.metrics.leads(false);
        Ok(())
    }
}
