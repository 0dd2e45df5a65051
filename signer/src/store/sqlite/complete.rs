//! Owns how intents end: `complete`, the sweep, and the effects and events of an end.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use semops_pki::algorithm::sha256;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        key::KeyId,
        operation::Kind,
        outcome::{Ending, Outcome, State},
        reason::Reason,
    },
    store::{
        Completion, Intents, StoreError, Swept,
        sqlite::{
            audit,
            columns::{Count, Text},
            rows,
        },
    },
};

pub(super) const PENDING: &str = "SELECT institution, kind, key_id, expires_at, object, device, policy FROM operation \
    WHERE id = ?1 AND state = 'PENDING'";

pub(super) const END: &str = "UPDATE operation SET state = ?2, artifact = ?3, reason = ?4, ended_at = ?5 \
    WHERE id = ?1 AND state = 'PENDING'";

pub(super) const GIVE_BACK_MONEY: &str =
    "UPDATE cosigned_order SET reserved_at = NULL WHERE operation = ?1";

pub(super) const GIVE_BACK_DEVICE: &str =
    "UPDATE device SET request = NULL, public_key = NULL WHERE operation = ?1";

pub(super) const CERTIFY: &str = "UPDATE device SET certificate_sha256 = ?2 WHERE operation = ?1";

pub(super) const COUNT: &str = "UPDATE key SET signatures = signatures + ?2 WHERE id = ?1";

pub(super) const ORDER_JWS: &str = "SELECT order_jws FROM cosigned_order WHERE operation = ?1";

pub(super) const OVERDUE: &str = "SELECT id FROM operation WHERE state = 'PENDING' AND expires_at <= ?1 \
    ORDER BY expires_at LIMIT ?2";

pub(super) const INTENTS: &str = "SELECT COUNT(*), COUNT(CASE WHEN expires_at <= ?1 THEN 1 END) FROM \
    (SELECT expires_at FROM operation WHERE state = 'PENDING' ORDER BY expires_at LIMIT ?2)";

pub(super) fn complete(
    connection: &Connection,
    completions: Vec<Completion>,
    now: Timestamp,
) -> Result<Vec<Outcome>, StoreError> {
    let mut outcomes = Vec::with_capacity(completions.len());
    let mut signed = BTreeMap::new();
    for Completion {
        intent,
        origin,
        ending,
    } in completions
    {
        let ended = end(connection, intent, ending, &origin, now)?;
        if let Some(key) = ended.signed_with {
            *signed.entry(key).or_insert(0_u64) += 1;
        }
        outcomes.push(ended.outcome);
    }
    // One statement for each key of the group, not for each signature.
    for (key, signatures) in signed {
        connection
            .prepare_cached(COUNT)?
            .execute((key, Count(signatures)))?;
    }
    Ok(outcomes)
}

/// What stands when an intent has ended.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// The key whose signature was stored by this very end.
    signed_with: Option<KeyId>,
}

/// Ends one intent, or answers how it ended before.
pub(super) fn end(
    connection: &Connection,
    id: i64,
    ending: Ending,
    origin: &Origin,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    let Some(pending) = pending(connection, id, origin)? else {
        let outcome = rows::outcome(connection, id)?;
        let outcome =
            outcome.ok_or_else(|| StoreError::Violated(format!("there is no intent {id}")))?;
        return Ok(Ended {
            outcome,
            signed_with: None,
        });
    };
    let end = match ending {
        _ if now >= pending.expires_at => End::overdue(pending.kind),
        Ending::Signed(artifact) => End {
            state: State::Authorized,
            artifact: Some(artifact),
            reason: None,
        },
        Ending::Denied(reason) => End {
            state: State::Denied,
            artifact: None,
            reason: Some(reason),
        },
        Ending::Failed(reason) => End {
            state: State::Failed,
            artifact: None,
            reason: Some(reason),
        },
    };
    let key = (end.state == State::Authorized).then_some(pending.key);
    Ok(Ended {
        outcome: settle(connection, pending, end, now)?,
        signed_with: key,
    })
}

pub(super) fn sweep(
    connection: &Connection,
    limit: u32,
    origin: &Origin,
    now: Timestamp,
) -> Result<Swept, StoreError> {
    let mut statement = connection.prepare_cached(OVERDUE)?;
    let overdue: Vec<i64> = statement
        .query_map((now, limit), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut swept = Swept::default();
    for id in overdue {
        if let Some(pending) = pending(connection, id, origin)? {
            let end = End::overdue(pending.kind);
            let count = match end.state {
                State::Expired => &mut swept.expired,
                _ => &mut swept.failed,
            };
            *count += 1;
            settle(connection, pending, end, now)?;
        }
    }
    Ok(swept)
}

pub(super) fn intents(
    connection: &Connection,
    limit: u32,
    now: Timestamp,
) -> Result<Intents, StoreError> {
    let mut statement = connection.prepare_cached(INTENTS)?;
    Ok(statement.query_row((now, limit), |row| {
        let (Count(pending), Count(overdue)) = (row.get(0)?, row.get(1)?);
        Ok(Intents { pending, overdue })
    })?)
}

/// An intent that is still pending, with what its last event tells.
struct Pending {
    id: i64,
    kind: Kind,
    key: KeyId,
    expires_at: Timestamp,
    event: Event,
}

struct End {
    state: State,
    artifact: Option<Vec<u8>>,
    reason: Option<&'static str>,
}

impl End {
    /// The end of an intent whose time has passed.
    fn overdue(kind: Kind) -> Self {
        let (state, reason) = match kind {
            Kind::Authorization => (State::Expired, Reason::OrderExpired.name()),
            Kind::DeviceCertificate | Kind::Crl => (State::Failed, Reason::Overdue.name()),
        };
        Self {
            state,
            artifact: None,
            reason: Some(reason),
        }
    }
}

fn pending(
    connection: &Connection,
    id: i64,
    origin: &Origin,
) -> Result<Option<Pending>, StoreError> {
    let read = |row: &Row<'_>| {
        let Text(institution) = row.get(0)?;
        let (kind, key): (Kind, KeyId) = (row.get(1)?, row.get(2)?);
        let event = Event {
            origin: origin.clone(),
            institution,
            operation: kind.name(),
            object: row.get(4)?,
            device: row.get(5)?,
            policy: row.get(6)?,
            key: Some(key),
            result: Resulted::Begun,
            reason: None,
        };
        Ok(Pending {
            id,
            kind,
            key,
            expires_at: row.get(3)?,
            event,
        })
    };
    Ok(connection
        .prepare_cached(PENDING)?
        .query_row([id], read)
        .optional()?)
}

fn settle(
    connection: &Connection,
    pending: Pending,
    end: End,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let (id, kind, event) = (pending.id, pending.kind, pending.event);
    let changed = connection.prepare_cached(END)?.execute(params![
        id,
        end.state.name(),
        end.artifact,
        end.reason,
        now
    ])?;
    if changed != 1 {
        return Err(StoreError::Violated(format!(
            "intent {id} ended twice in one transaction"
        )));
    }
    take_effect(connection, id, kind, end.artifact.as_deref())?;
    let reason = end.reason.map(str::to_owned);
    let event = Event {
        result: Resulted::Ended(end.state),
        reason: reason.clone(),
        ..event
    };
    audit::append(connection, &event, now)?;
    let order_jws = connection
        .prepare_cached(ORDER_JWS)?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(Outcome {
        state: end.state,
        device: event.device,
        order_jws,
        artifact: end.artifact,
        reason,
    })
}

/// What an end brings about beside its row: a certificate becomes known, or what was reserved is given back.
fn take_effect(
    connection: &Connection,
    id: i64,
    kind: Kind,
    artifact: Option<&[u8]>,
) -> Result<(), StoreError> {
    match (kind, artifact) {
        (Kind::Authorization, None) => connection.prepare_cached(GIVE_BACK_MONEY)?.execute([id])?,
        (Kind::DeviceCertificate, None) => {
            connection.prepare_cached(GIVE_BACK_DEVICE)?.execute([id])?
        }
        (Kind::DeviceCertificate, Some(der)) => connection
            .prepare_cached(CERTIFY)?
            .execute((id, sha256(der)))?,
        (Kind::Authorization, Some(_)) | (Kind::Crl, _) => 0,
    };
    Ok(())
}
