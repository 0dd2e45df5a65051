//! Owns the turns of institutions: nobody but this process makes keys for the record in its file.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;

use crate::store::{StoreError, Turn, Turns, sqlite::SqliteStore};

#[async_trait]
impl Turns for SqliteStore {
    async fn turn(&self, institution: &InstitutionId) -> Result<Turn<'_>, StoreError> {
        self.turns.turn(institution).await.map(Turn::of)
    }
}
