//! Owns the writing of audit events. Always called inside the transaction of what they tell.

use rusqlite::Connection;

use crate::{clock::Timestamp, domain::audit::Event, store::StoreError};

pub(super) const APPEND: &str = "INSERT INTO audit (leaf) VALUES (?1)";

/// Appends the event as the bytes of its leaf.
pub(super) fn append(
    connection: &Connection,
    event: &Event,
    now: Timestamp,
) -> Result<(), StoreError> {
    let leaf = event
        .leaf(now)
        .map_err(|error| StoreError::Violated(format!("no leaf can be made: {error}")))?;
    connection.prepare_cached(APPEND)?.execute([leaf])?;
    Ok(())
}
