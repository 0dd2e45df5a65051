//! Owns the way of an intent's row to another key, when the token of the first one has failed.

use rusqlite::{Connection, params};

use crate::{
    clock::Timestamp,
    domain::operation::Operation,
    store::{
        Begun, Intent, Refusal, StoreError,
        decision::{Uses, replaced},
        sqlite::{audit, begin},
    },
};

pub(super) const REPLACE: &str = "UPDATE operation SET key_id = ?3, to_be_signed = ?4, sign_by = ?5, policy = ?6, \
    actor = ?7, request = ?8, begun_at = ?9 WHERE id = ?1 AND key_id = ?2 AND state = 'PENDING' AND EXISTS (SELECT 1 FROM key k \
    WHERE k.id = ?3 AND k.institution = operation.institution AND k.purpose = 'authorization' AND k.state = 'active' \
    AND coalesce(k.active_from <= ?9, true) AND coalesce(?9 < k.active_until, true))";

/// The row goes over to another key in the same transaction, with what it has reserved.
pub(super) fn replace(
    connection: &Connection,
    operation: Operation,
    former: &Intent,
    uses: &mut Uses,
    now: Timestamp,
) -> Result<Begun, StoreError> {
    if let Err(refusal) = uses.one_more(&operation) {
        return Ok(Begun::Refused(refusal));
    }
    let changed = connection.prepare_cached(REPLACE)?.execute(params![
        former.id.row,
        former.id.key.as_bytes(),
        operation.key.as_bytes(),
        operation.to_be_signed,
        operation.sign_by,
        operation.subject.policy(),
        operation.origin.actor.to_string(),
        operation.origin.request.to_string(),
        now,
    ])?;
    if changed != 1 {
        return Ok(Begun::Refused(Refusal::Stale));
    }
    for event in replaced(&operation, former) {
        audit::append(connection, &event, now)?;
    }
    Ok(Begun::Recorded(begin::intent(former.id.row, operation)))
}
