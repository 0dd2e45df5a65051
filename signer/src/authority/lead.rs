//! Owns who does the scheduled work that one process does for all of the record. It is asked for also while nothing is due,
//! so that it is known who leads, and that anybody does.

use crate::{authority::Authority, domain::operation::Term, error::Error};

impl Authority {
    /// Leads the scheduled work, or goes on leading it, unless another process does. One that cannot ask does not lead.
    pub async fn lead(&self) -> Result<Option<Term>, Error> {
        let term = self.store.lead(self.replica).await;
        self.metrics.leads(matches!(term, Ok(Some(_))));
        Ok(term?)
    }
}
