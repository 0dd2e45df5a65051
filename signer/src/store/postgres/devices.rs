//! Owns the verbs that change what a certified device may do: acceptance, release, revocation. Each locks the device, as
//! orders do: what one commits, the other sees.

use semops_objects::institution::InstitutionId;
use semops_pki::crl::Reason;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::Event,
        device::{Acceptance, DeviceId, Reference, Revocation},
        key::KeyId,
    },
    store::{
        Accepted, Revoked,
        decision::done,
        postgres::{
            audit,
            columns::Octets,
            error::Failure,
            locks, reads, rows,
            session::{Parameter, Session},
        },
    },
};

const ACCEPT: &str =
    "INSERT INTO acceptance (institution, device, account, accepted_at) VALUES ($1, $2, $3, $4)";

const RELEASE: &str = "DELETE FROM acceptance WHERE institution = $1 AND device = $2";

const ISSUED: &str = "SELECT d.issuer_key, d.serial, d.not_after, o.object, r.revoked_at, r.reason FROM device d \
    JOIN operation o ON o.id = d.operation LEFT JOIN revocation r ON r.device = d.id \
    WHERE d.id = $1 AND d.issuer = $2 AND d.certificate_sha256 IS NOT NULL";

const REVOKE: &str = "INSERT INTO revocation (issuer_key, sequence, device, serial, not_after, reason, revoked_at) \
    SELECT $1, coalesce(max(sequence), 0) + 1, $2, $3, $4, $5, $6 FROM revocation WHERE issuer_key = $1";

/// What `accept` is asked.
pub(super) struct Acceptor<'a> {
    pub(super) institution: &'a InstitutionId,
    pub(super) device: DeviceId,
    pub(super) account: Reference,
    pub(super) generation: u64,
}

pub(super) async fn accept(
    session: &Session,
    asked: &Acceptor<'_>,
    origin: &Origin,
    now: Timestamp,
) -> Result<Accepted, Failure> {
    let Acceptor {
        institution,
        device,
        account,
        generation,
    } = asked;
    locks::share_rules(session).await?;
    locks::devices(session, &[device.uuid()]).await?;
    let view = reads::device(session, institution, *device).await?;
    if view.generation != *generation {
        return Ok(Accepted::Stale);
    }
    if view.device.is_none_or(|device| device.revoked.is_some()) {
        return Ok(Accepted::NotAcceptable);
    }
    if let Some(standing) = view.acceptance {
        return Ok(if standing.account == *account {
            Accepted::Accepted(standing)
        } else {
            Accepted::Otherwise
        });
    }
    let row: [Parameter<'_>; 4] = [
        &institution.as_str(),
        &device.uuid(),
        &account.as_str(),
        &now.micros(),
    ];
    session.execute(ACCEPT, &row).await?;
    let event = done(institution, "accept", *device, origin.clone());
    audit::append(session, &[event], now).await?;
    Ok(Accepted::Accepted(Acceptance {
        account: account.clone(),
        accepted_at: now,
    }))
}

pub(super) async fn release(
    session: &Session,
    institution: &InstitutionId,
    device: DeviceId,
    origin: &Origin,
    now: Timestamp,
) -> Result<bool, Failure> {
    locks::devices(session, &[device.uuid()]).await?;
    let parameters: [Parameter<'_>; 2] = [&institution.as_str(), &device.uuid()];
    let stood = session.execute(RELEASE, &parameters).await? > 0;
    if stood {
        let event = done(institution, "release", device, origin.clone());
        audit::append(session, &[event], now).await?;
    }
    Ok(stood)
}

pub(super) async fn revoke(
    session: &Session,
    institution: &InstitutionId,
    device: DeviceId,
    reason: Reason,
    origin: &Origin,
    now: Timestamp,
) -> Result<Revoked, Failure> {
    // Which key issued it never changes; what is read again under the locks is whether it is revoked.
    let Some(issued) = issued(session, institution, device).await? else {
        return Ok(Revoked::NotFound);
    };
    locks::issuing_keys(session, &[issued.key]).await?;
    locks::devices(session, &[device.uuid()]).await?;
    let Some(issued) = self::issued(session, institution, device).await? else {
        return Ok(Revoked::NotFound);
    };
    if let Some(revocation) = issued.revoked {
        return Ok(Revoked::Revoked(revocation));
    }
    let row: [Parameter<'_>; 6] = [
        &issued.key.as_bytes().as_slice(),
        &device.uuid(),
        &issued.serial,
        &issued.not_after.micros(),
        &i64::from(reason.code()),
        &now.micros(),
    ];
    session.execute(REVOKE, &row).await?;
    let event = Event {
        object: Some(issued.object),
        reason: Some(reason.name().to_owned()),
        ..done(institution, "revoke", device, origin.clone())
    };
    audit::append(session, &[event], now).await?;
    Ok(Revoked::Revoked(Revocation { at: now, reason }))
}

struct Issued {
    key: KeyId,
    serial: Vec<u8>,
    not_after: Timestamp,
    object: String,
    revoked: Option<Revocation>,
}

async fn issued(
    session: &Session,
    issuer: &InstitutionId,
    device: DeviceId,
) -> Result<Option<Issued>, Failure> {
    let (device, issuer) = (device.uuid(), issuer.as_str());
    let found = session.query(ISSUED, &[&device, &issuer]).await?;
    let Some(row) = found.first() else {
        return Ok(None);
    };
    Ok(Some(Issued {
        key: row.try_get(0).map(|Octets(id)| KeyId::new(id))?,
        serial: row.try_get(1)?,
        not_after: row.try_get(2)?,
        object: row.try_get(3)?,
        revoked: rows::revocation(row, 4)?,
    }))
}
