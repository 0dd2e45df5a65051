//! Owns the verbs that read what stands about an order, an enrolment or a device. Each is one statement: what it reads
//! stood together.

use semops_objects::institution::InstitutionId;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{device::DeviceId, outcome::Outcome},
    store::{
        DeviceView, EnrollmentRecall, OrderRecall,
        decision::Rules,
        postgres::{
            columns::Count,
            error::Failure,
            rows::{self, device_columns, operation_columns, order_columns},
            session::{Parameter, Session},
        },
    },
};

pub(super) const GENERATION: &str = "SELECT value FROM generation WHERE one = 1";

pub(super) const HOLD: &str = "SELECT until FROM hold WHERE one = 1";

pub(super) const RULES: &str =
    "SELECT g.value, h.until FROM generation g JOIN hold h ON h.one = g.one WHERE g.one = 1";

pub(super) const RECALL_ORDER: &str = concat!(
    "SELECT g.value, h.until, ",
    device_columns!(),
    ", a.account, a.accepted_at, ",
    order_columns!(),
    " FROM generation g JOIN hold h ON h.one = g.one LEFT JOIN device d ON d.certificate_sha256 = $2 LEFT JOIN operation m ON m.id = d.operation \
     LEFT JOIN revocation r ON r.device = d.id LEFT JOIN acceptance a ON a.institution = $1 AND a.device = d.id \
     LEFT JOIN cosigned_order c ON c.institution = $1 AND c.device = d.id AND c.jti = $3 \
     LEFT JOIN operation o ON o.id = c.operation \
     LEFT JOIN pruned_order t ON t.institution = $1 AND t.device = d.id AND t.jti = $3 WHERE g.one = 1"
);

/// With a certificate that was replaced: revoked as superseded.
pub(super) const RECALL_REPLACED: &str = concat!(
    "SELECT g.value, h.until, d.id, d.issuer, d.subscriber, m.key_id, m.artifact, d.not_after, x.replaced_at, 4::bigint, \
     a.account, a.accepted_at, ",
    order_columns!(),
    " FROM generation g JOIN hold h ON h.one = g.one LEFT JOIN reissue x ON x.replaced_sha256 = $2 \
     LEFT JOIN device d ON d.id = x.device LEFT JOIN operation m ON m.id = x.replaces \
     LEFT JOIN acceptance a ON a.institution = $1 AND a.device = d.id \
     LEFT JOIN cosigned_order c ON c.institution = $1 AND c.device = d.id AND c.jti = $3 \
     LEFT JOIN operation o ON o.id = c.operation \
     LEFT JOIN pruned_order t ON t.institution = $1 AND t.device = d.id AND t.jti = $3 WHERE g.one = 1"
);

pub(super) const ORDER: &str = concat!(
    "SELECT g.value, ",
    order_columns!(),
    " FROM generation g LEFT JOIN cosigned_order c ON c.institution = $1 AND c.device = $2 AND c.jti = $3 \
     LEFT JOIN operation o ON o.id = c.operation \
     LEFT JOIN pruned_order t ON t.institution = $1 AND t.device = $2 AND t.jti = $3 WHERE g.one = 1"
);

pub(super) const RECALL_ENROLLMENT: &str = concat!(
    "SELECT g.value, ",
    operation_columns!(),
    ", ",
    device_columns!(),
    " FROM generation g LEFT JOIN device e ON e.issuer = $1 AND e.request = $2 LEFT JOIN operation o ON o.id = e.operation \
     LEFT JOIN cosigned_order c ON c.operation = o.id \
     LEFT JOIN device d ON d.id = o.device AND d.certificate_sha256 IS NOT NULL LEFT JOIN operation m ON m.id = d.operation \
     LEFT JOIN revocation r ON r.device = d.id WHERE g.one = 1"
);

pub(super) const DEVICE: &str = concat!(
    "SELECT g.value, ",
    device_columns!(),
    ", a.account, a.accepted_at FROM generation g LEFT JOIN device d ON d.id = $2 AND d.certificate_sha256 IS NOT NULL \
     LEFT JOIN operation m ON m.id = d.operation LEFT JOIN revocation r ON r.device = d.id \
     LEFT JOIN acceptance a ON a.institution = $1 AND a.device = d.id WHERE g.one = 1"
);

/// The documents' generation.
pub(super) async fn generation(session: &Session) -> Result<u64, Failure> {
    let Count(generation) = session.one(GENERATION, &[]).await?.try_get(0)?;
    Ok(generation)
}

/// Before when no order is co-signed.
pub(super) async fn held_until(session: &Session) -> Result<Timestamp, Failure> {
    session.one(HOLD, &[]).await?.try_get(0).map_err(Into::into)
}

/// By what a group is decided.
pub(super) async fn rules(session: &Session) -> Result<Rules, Failure> {
    let row = session.one(RULES, &[]).await?;
    let Count(generation) = row.try_get(0)?;
    Ok(Rules {
        generation,
        held_until: row.try_get(1)?,
    })
}

pub(super) async fn recall_order(
    session: &Session,
    institution: &InstitutionId,
    certificate: &[u8],
    jti: Uuid,
) -> Result<OrderRecall, Failure> {
    let parameters: [Parameter<'_>; 3] = [&institution.as_str(), &certificate, &jti];
    let mut row = session.one(RECALL_ORDER, &parameters).await?;
    if row.try_get::<_, Option<Uuid>>(2)?.is_none() {
        row = session.one(RECALL_REPLACED, &parameters).await?;
    }
    let Count(generation) = row.try_get(0)?;
    Ok(OrderRecall {
        generation,
        held_until: row.try_get(1)?,
        device: rows::device(&row, 2)?,
        acceptance: rows::acceptance(&row, 2 + rows::DEVICE)?,
        earlier: rows::order(&row, 4 + rows::DEVICE)?,
    })
}

pub(super) async fn order(
    session: &Session,
    institution: &InstitutionId,
    device: DeviceId,
    jti: Uuid,
) -> Result<(u64, Option<Outcome>), Failure> {
    let (institution, device) = (institution.as_str(), device.uuid());
    let row = session.one(ORDER, &[&institution, &device, &jti]).await?;
    let Count(generation) = row.try_get(0)?;
    let earlier = rows::order(&row, 1)?;
    Ok((generation, earlier.map(|earlier| earlier.outcome)))
}

pub(super) async fn recall_enrollment(
    session: &Session,
    institution: &InstitutionId,
    request: &[u8],
) -> Result<EnrollmentRecall, Failure> {
    let parameters: [Parameter<'_>; 2] = [&institution.as_str(), &request];
    let row = session.one(RECALL_ENROLLMENT, &parameters).await?;
    let Count(generation) = row.try_get(0)?;
    Ok(EnrollmentRecall {
        generation,
        earlier: rows::operation(&row, 1)?,
        device: rows::device(&row, 1 + rows::OPERATION)?,
    })
}

pub(super) async fn device(
    session: &Session,
    institution: &InstitutionId,
    device: DeviceId,
) -> Result<DeviceView, Failure> {
    let (institution, device) = (institution.as_str(), device.uuid());
    let row = session.one(DEVICE, &[&institution, &device]).await?;
    let Count(generation) = row.try_get(0)?;
    Ok(DeviceView {
        generation,
        device: rows::device(&row, 1)?,
        acceptance: rows::acceptance(&row, 1 + rows::DEVICE)?,
    })
}
