//! Owns the execution of recoveries whose delay has passed. Until then each is told of, so that custodians who are still there
//! can call it off: any change that they execute moves what it is made on.

use semops_objects::{
    change::{Operation, Proposal},
    institution::InstitutionId,
};

use crate::{
    authority::{
        Authority, Snapshot,
        change::{ChangeError, Registry},
    },
    domain::{
        actor::{Actor, Origin},
        change::{ChangeState, StoredChange},
    },
    error::Error,
    ids::RequestId,
    store::{ChangeQuery, Stands},
};

/// More are never pending.
const MOST_PENDING: usize = 100;

impl Authority {
    /// Measures the recoveries that wait, and executes those whose delay has passed, if this replica does the scheduled
    /// work. Answers how many it executed. An institution whose register names no recovery key costs nothing.
    pub async fn recover(&self) -> Result<u64, Error> {
        let snapshot = self.current().await?;
        let (mut executed, mut failed) = (0_u64, None);
        for institution in self.setup.ceremonies.keys() {
            match self.recover_one(&snapshot, institution).await {
                Ok(more) => executed = executed.saturating_add(more),
                // What cannot be read of one is no reason to leave the others.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(executed), Err)
    }

    async fn recover_one(
        &self,
        snapshot: &Snapshot,
        institution: &InstitutionId,
    ) -> Result<u64, Error> {
        let Ok(standing) = snapshot.standing(institution) else {
            return Ok(0);
        };
        if standing.custodians().recovery().is_none() {
            self.metrics.recoveries(institution, 0);
            return Ok(0);
        }
        let waiting = self.recoveries(institution).await?;
        let count = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        self.metrics.recoveries(institution, count);
        if waiting.is_empty() || self.store.lead(self.replica).await?.is_none() {
            return Ok(0);
        }
        let mut executed = 0_u64;
        for change in waiting {
            if self.execute_due(snapshot, institution, &change).await? {
                executed = executed.saturating_add(1);
            }
        }
        Ok(executed)
    }

    async fn recoveries(&self, institution: &InstitutionId) -> Result<Vec<StoredChange>, Error> {
        let query = ChangeQuery {
            state: Some(ChangeState::Pending),
            before: None,
            at_most: MOST_PENDING,
        };
        let mut pending = self.store.changes(institution, query).await?.changes;
        let recovers = |proposal: Proposal| {
            matches!(proposal.operation(), Operation::RecoverCustodians { .. })
        };
        pending.retain(|change| Proposal::parse(&change.bytes).is_ok_and(recovers));
        Ok(pending)
    }

    /// Executes a recovery if its delay has passed.
    async fn execute_due(
        &self,
        snapshot: &Snapshot,
        institution: &InstitutionId,
        change: &StoredChange,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let registry = Registry {
            store: self.store.as_ref(),
            grounds: self.setup.grounds(snapshot.roots()),
            institution,
            standing: snapshot.standing(institution)?,
            keyring: snapshot.keyring(institution)?,
            generation: snapshot.generation(),
        };
        let view = self.store.change(institution, change.id).await?;
        let decided = match registry.judged(&view, change, None, now).await {
            Ok(decided) => decided,
            // It has expired, or its base has moved: the sweep ends it.
            Err(ChangeError::Refused(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if decided.ending.is_none() {
            return Ok(false);
        }
        let origin = Origin {
            actor: Actor::Schedule,
            request: RequestId::new(),
        };
        let stands = self.store.decide(decided, origin, now).await?;
        Ok(stands == Stands::Done)
    }
}
