//! Owns the writing of audit events. Always called inside the transaction of what they tell.

use crate::{
    clock::Timestamp,
    domain::audit::Event,
    store::{
        StoreError,
        postgres::{error::Failure, session::Session},
    },
};

pub(super) const APPEND: &str = "INSERT INTO audit (leaf) SELECT leaf FROM unnest($1::bytea[]) WITH ORDINALITY \
    AS w (leaf, n) ORDER BY n RETURNING seq";

/// Appends the events, in their order, each as the bytes of its leaf.
pub(super) async fn append(
    session: &Session,
    events: &[Event],
    now: Timestamp,
) -> Result<(), Failure> {
    if events.is_empty() {
        return Ok(());
    }
    let leaves: Result<Vec<Vec<u8>>, _> = events.iter().map(|event| event.leaf(now)).collect();
    let mut leaves =
        leaves.map_err(|error| StoreError::Violated(format!("no leaf can be made: {error}")))?;
    let rows = session.query(APPEND, &[&leaves]).await?;
    if let (Some(row), Some(leaf)) = (rows.last(), leaves.pop()) {
        session.mark(row.try_get(0)?, leaf);
    }
    Ok(())
}
