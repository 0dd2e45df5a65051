//! Owns the verbs that read what stands about an order, an enrolment or a device.

use rusqlite::Connection;
use semops_objects::institution::InstitutionId;
use uuid::Uuid;

use crate::{
    domain::{device::DeviceId, outcome::Outcome},
    store::{DeviceView, EnrollmentRecall, OrderRecall, StoreError, sqlite::rows},
};

pub(super) fn recall_order(
    connection: &Connection,
    institution: &InstitutionId,
    certificate: [u8; 32],
    jti: Uuid,
) -> Result<OrderRecall, StoreError> {
    let generation = rows::generation(connection)?;
    let held_until = rows::held_until(connection)?;
    let device = match rows::device_by_certificate(connection, certificate)? {
        None => rows::device_replaced(connection, certificate)?,
        device => device,
    };
    let Some(device) = device else {
        return Ok(OrderRecall {
            generation,
            held_until,
            device: None,
            acceptance: None,
            earlier: None,
        });
    };
    let acceptance = rows::acceptance(connection, institution, device.id)?;
    let earlier = rows::order(connection, institution, device.id, jti)?;
    Ok(OrderRecall {
        generation,
        held_until,
        device: Some(device),
        acceptance,
        earlier,
    })
}

pub(super) fn order(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
    jti: Uuid,
) -> Result<(u64, Option<Outcome>), StoreError> {
    let earlier = rows::order(connection, institution, device, jti)?;
    Ok((
        rows::generation(connection)?,
        earlier.map(|earlier| earlier.outcome),
    ))
}

pub(super) fn recall_enrollment(
    connection: &Connection,
    institution: &InstitutionId,
    request: [u8; 32],
) -> Result<EnrollmentRecall, StoreError> {
    let earlier = rows::enrollment(connection, institution, request)?;
    let device = match earlier.as_ref().and_then(|earlier| earlier.outcome.device) {
        Some(id) => rows::device(connection, id)?,
        None => None,
    };
    Ok(EnrollmentRecall {
        generation: rows::generation(connection)?,
        earlier,
        device,
    })
}

pub(super) fn device(
    connection: &Connection,
    institution: &InstitutionId,
    device: DeviceId,
) -> Result<DeviceView, StoreError> {
    let found = rows::device(connection, device)?;
    let acceptance = match found {
        Some(_) => rows::acceptance(connection, institution, device)?,
        None => None,
    };
    Ok(DeviceView {
        generation: rows::generation(connection)?,
        device: found,
        acceptance,
    })
}
