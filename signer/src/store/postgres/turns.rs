//! Owns the turns of institutions among replicas: an advisory lock of a connection, which is closed when the turn ends. The
//! server sees to it that a process which ended has none. After a change of the primary two may have one for a moment: what is
//! done in a turn takes nothing away that somebody else may need.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;

use crate::store::{
    StoreError, Turn, Turns,
    postgres::{
        PostgresStore,
        error::Failure,
        locks,
        pool::{Lease, Pool},
        trial::Trial,
    },
};

// A space of its own, by a number of the institution.
const TURN: &str = "SELECT pg_advisory_lock(1397050706, $1)";

#[async_trait]
impl Turns for PostgresStore {
    async fn turn(&self, institution: &InstitutionId) -> Result<Turn<'_>, StoreError> {
        // In this process first, so that an institution has one connection at most.
        let here = self.here.turn(institution).await?;
        let trial = Trial::of(&self.turns);
        let lease = trial.bounded(take(&self.turns, institution)).await;
        Ok(Turn::of((lease.map_err(Failure::into_error)?, here)))
    }
}

async fn take<'p>(pool: &'p Pool, institution: &InstitutionId) -> Result<Lease<'p>, Failure> {
    let lease = pool.lease().await?;
    let number = locks::number_of(institution);
    lease.query(TURN, &[&number]).await?;
    Ok(lease)
}
