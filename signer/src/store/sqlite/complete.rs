//! Owns how intents end: `complete`, the sweep, and the effects and events of an end.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use semops_pki::algorithm::sha256;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        key::KeyId,
        operation::{IntentId, Kind},
        outcome::{Ending, Outcome, State},
    },
    store::{
        Completion, Intents, StoreError, Swept,
        ending::{End, Pending, of_reissue},
        sqlite::{
            audit,
            columns::{Count, Text},
            reissue, rows,
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
            .execute((key.as_bytes(), Count(signatures)))?;
    }
    Ok(outcomes)
}

/// What stands when an intent has ended.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// The key whose signature was stored by this very end.
    signed_with: Option<KeyId>,
}

/// Ends one intent, or answers how it stands: it ended before, or its row went over to another key.
pub(super) fn end(
    connection: &Connection,
    intent: IntentId,
    ending: Ending,
    origin: &Origin,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    let row = intent.row;
    let pending = pending(connection, row)?;
    let Some(pending) = pending.filter(|pending| pending.key == intent.key) else {
        let outcome = rows::outcome(connection, row)?;
        let outcome =
            outcome.ok_or_else(|| StoreError::Violated(format!("there is no intent {row}")))?;
        return Ok(Ended {
            outcome,
            signed_with: None,
        });
    };
    let ending = match pending.kind {
        Kind::DeviceCertificate => {
            let revoked = reissue::revoked_since(connection, row)?;
            of_reissue(revoked.unwrap_or(false), ending)
        }
        _ => ending,
    };
    let end = pending.end(ending, now);
    let key = (end.state == State::Authorized).then_some(pending.key);
    Ok(Ended {
        outcome: settle(connection, pending, end, origin, now)?,
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
        if let Some(pending) = pending(connection, id)? {
            let end = End::overdue(pending.kind);
            end.count(&mut swept);
            settle(connection, pending, end, origin, now)?;
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

fn pending(connection: &Connection, id: i64) -> Result<Option<Pending>, StoreError> {
    let read = |row: &Row<'_>| {
        let Text(institution) = row.get(0)?;
        Ok(Pending {
            id,
            kind: row.get(1)?,
            key: row.get(2).map(KeyId::new)?,
            expires_at: row.get(3)?,
            institution,
            object: row.get(4)?,
            device: row.get(5)?,
            policy: row.get(6)?,
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
    origin: &Origin,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let (id, kind) = (pending.id, pending.kind);
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
    let event = pending.ended(&end, origin);
    audit::append(connection, &event, now)?;
    take_effect(connection, id, kind, end.artifact.as_deref(), origin, now)?;
    let order_jws = connection
        .prepare_cached(ORDER_JWS)?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(Outcome {
        state: end.state,
        device: event.device,
        order_jws,
        artifact: end.artifact,
        reason: event.reason,
    })
}

/// What an end brings about beside its row: a certificate becomes known, or what was reserved is given back.
fn take_effect(
    connection: &Connection,
    id: i64,
    kind: Kind,
    artifact: Option<&[u8]>,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), StoreError> {
    match (kind, artifact) {
        (Kind::Authorization, None) => {
            connection.prepare_cached(GIVE_BACK_MONEY)?.execute([id])?;
        }
        (Kind::DeviceCertificate, None) => {
            connection.prepare_cached(GIVE_BACK_DEVICE)?.execute([id])?;
            connection.prepare_cached(reissue::GIVE_UP)?.execute([id])?;
        }
        (Kind::DeviceCertificate, Some(der)) => {
            let mut certify = connection.prepare_cached(CERTIFY)?;
            // No device was recorded with it: it has one already.
            if certify.execute((id, sha256(der)))? == 0 {
                reissue::replace(connection, id, sha256(der), origin, now)?;
            }
        }
        (Kind::Authorization, Some(_))
        | (
            Kind::Crl
            | Kind::AuthorizationCertificate
            | Kind::KeyCertificate
            | Kind::CertificationRequest,
            _,
        ) => {}
    }
    Ok(())
}
