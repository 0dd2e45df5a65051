//! Owns the rows that several verbs read: an operation with its outcome, a device, an acceptance.

use tokio_postgres::Row;

use crate::{
    domain::{
        device::{Acceptance, Device, Revocation},
        key::KeyId,
        operation::IntentId,
        outcome::{Outcome, State},
    },
    store::{
        Earlier, Intent,
        postgres::{
            columns::{Octets, ReasonCode, Text},
            error::Failure,
        },
        removal,
    },
};

/// The columns of [`operation`]: of `operation` as `o` and `cosigned_order` as `c`, which may both be absent.
macro_rules! operation_columns {
    () => {
        "o.content, o.state, o.device, o.artifact, o.reason, c.order_jws, o.id, o.institution, o.kind, o.key_id, \
         o.to_be_signed, o.expires_at, o.sign_by"
    };
}

/// The columns of [`order`]: those of an operation, then of `pruned_order` as `t`, which may be absent too.
macro_rules! order_columns {
    () => {
        concat!(
            crate::store::postgres::rows::operation_columns!(),
            ", t.content, t.state, t.device, t.reason"
        )
    };
}

/// The columns of [`device`]: of `device` as `d`, its operation as `m` and its revocation as `r`; `d` and `r` may be absent.
macro_rules! device_columns {
    () => {
        "d.id, d.issuer, d.subscriber, d.issuer_key, m.artifact, d.not_after, r.revoked_at, r.reason"
    };
}

pub(super) use {device_columns, operation_columns, order_columns};

/// The number of columns of an operation, of an order, and of a device.
pub(super) const OPERATION: usize = 13;
pub(super) const ORDER: usize = OPERATION + 4;
pub(super) const DEVICE: usize = 8;

/// The operation that stands in the columns from `at`.
pub(super) fn operation(row: &Row, at: usize) -> Result<Option<Earlier>, Failure> {
    let Some(Octets(content)) = row.try_get(at)? else {
        return Ok(None);
    };
    let state = row.try_get(at + 1)?;
    let outcome = Outcome {
        state,
        device: row.try_get(at + 2)?,
        artifact: row.try_get(at + 3)?,
        reason: row.try_get(at + 4)?,
        order_jws: row.try_get(at + 5)?,
    };
    let pending = state == State::Pending;
    Ok(Some(Earlier {
        content,
        intent: pending.then(|| intent(row, at + 6)).transpose()?,
        outcome,
    }))
}

/// The order that stands in the columns from `at`, or what stays of it.
pub(super) fn order(row: &Row, at: usize) -> Result<Option<Earlier>, Failure> {
    if let Some(earlier) = operation(row, at)? {
        return Ok(Some(earlier));
    }
    let at = at + OPERATION;
    let Some(Octets(content)) = row.try_get(at)? else {
        return Ok(None);
    };
    let (state, device, reason) = (
        row.try_get(at + 1)?,
        row.try_get(at + 2)?,
        row.try_get(at + 3)?,
    );
    Ok(Some(removal::buried(content, state, device, reason)))
}

fn intent(row: &Row, at: usize) -> Result<Intent, Failure> {
    let Text(institution) = row.try_get(at + 1)?;
    Ok(Intent {
        id: IntentId {
            row: row.try_get(at)?,
            key: row.try_get(at + 3).map(|Octets(id)| KeyId::new(id))?,
        },
        institution,
        kind: row.try_get(at + 2)?,
        to_be_signed: row.try_get(at + 4)?,
        expires_at: row.try_get(at + 5)?,
        sign_by: row.try_get(at + 6)?,
    })
}

/// The device that stands in the columns from `at`.
pub(super) fn device(row: &Row, at: usize) -> Result<Option<Device>, Failure> {
    let Some(id) = row.try_get(at)? else {
        return Ok(None);
    };
    let (Text(issuer), Text(subscriber)) = (row.try_get(at + 1)?, row.try_get(at + 2)?);
    Ok(Some(Device {
        id,
        issuer,
        subscriber,
        issuer_key: row.try_get(at + 3).map(|Octets(id)| KeyId::new(id))?,
        certificate: row.try_get(at + 4)?,
        not_after: row.try_get(at + 5)?,
        revoked: revocation(row, at + 6)?,
    }))
}

/// The revocation that stands in the columns from `at`: the moment and the reason.
pub(super) fn revocation(row: &Row, at: usize) -> Result<Option<Revocation>, Failure> {
    Ok(match (row.try_get(at)?, row.try_get(at + 1)?) {
        (Some(at), Some(ReasonCode(reason))) => Some(Revocation { at, reason }),
        _ => None,
    })
}

/// The acceptance that stands in the columns from `at`: the account and the moment.
pub(super) fn acceptance(row: &Row, at: usize) -> Result<Option<Acceptance>, Failure> {
    let account: Option<Text<_>> = row.try_get(at)?;
    Ok(match (account, row.try_get(at + 1)?) {
        (Some(Text(account)), Some(accepted_at)) => Some(Acceptance {
            account,
            accepted_at,
        }),
        _ => None,
    })
}
