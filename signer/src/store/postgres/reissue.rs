//! Owns the certificates of devices that replace others: what stands about one, its record, and what its end brings about.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::Event,
        device::DeviceId,
        key::KeyId,
        operation::{Kind, ReissueRecord},
        outcome::Ending,
    },
    store::{
        Completion, Refusal, ReissueRecall, Reissues, StoreError,
        ending::{Pending, of_reissue},
        postgres::{
            PostgresStore, audit,
            begin::Placed,
            columns::{Count, Octets, Text},
            error::Failure,
            facts::{self, Facts, Subjects, key_of},
            locks,
            record::column,
            rows::{self, device_columns, operation_columns},
            session::{Parameter, Session},
            trial::on,
        },
        reissue::{Replaced, SUPERSEDED},
    },
};

pub(super) const RECALL: &str = concat!(
    "SELECT g.value, m.content, ",
    device_columns!(),
    " FROM generation g LEFT JOIN device d ON d.id = $2 AND d.issuer = $1 AND d.certificate_sha256 IS NOT NULL \
     LEFT JOIN operation m ON m.id = d.operation LEFT JOIN revocation r ON r.device = d.id WHERE g.one = 1"
);

// What is to replace the certificate, or the one in force if that is another by now.
pub(super) const FACTS: &str = concat!(
    "SELECT ",
    operation_columns!(),
    ", k.purpose, d.id IS NULL OR r.device IS NOT NULL \
     FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::bytea[]) WITH ORDINALITY \
     AS w (institution, key_id, device, replaces, n) \
     LEFT JOIN device d ON d.id = w.device AND d.issuer = w.institution AND d.certificate_sha256 IS NOT NULL \
     LEFT JOIN revocation r ON r.device = d.id LEFT JOIN reissue x ON x.replaces = d.operation \
     LEFT JOIN operation o ON o.id = CASE WHEN d.certificate_sha256 <> w.replaces THEN d.operation ELSE x.operation END \
     LEFT JOIN cosigned_order c ON c.operation = o.id",
    key_of!(
        "w.key_id",
        "k.state = 'active' AND coalesce(k.active_from <= $5, true) AND coalesce($5 < k.active_until, true)"
    ),
    " ORDER BY w.n"
);

pub(super) const RECORD: &str = "INSERT INTO reissue (operation, device, replaces, serial, not_after) \
    SELECT w.operation, d.id, d.operation, w.serial, w.not_after \
    FROM unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::bigint[]) AS w (operation, device, serial, not_after) \
    JOIN device d ON d.id = w.device";

pub(super) const LOCKED: &str = "SELECT d.id, d.issuer_key FROM reissue x JOIN device d ON d.id = x.device \
    WHERE x.operation = ANY($1::bigint[])";

pub(super) const REVOKED: &str = "SELECT x.operation FROM reissue x JOIN revocation r ON r.device = x.device \
    WHERE x.operation = ANY($1::bigint[])";

pub(super) const REPLACED: &str = "SELECT x.operation, d.issuer, d.id, d.issuer_key, o.object FROM reissue x \
    JOIN device d ON d.id = x.device JOIN operation o ON o.id = d.operation WHERE x.operation = ANY($1::bigint[]) \
    ORDER BY x.operation";

// A group numbers what it revokes of one key in the order of its operations.
pub(super) const REVOKE: &str = "INSERT INTO revocation (issuer_key, sequence, device, serial, not_after, reason, revoked_at) \
    SELECT w.issuer_key, w.n + (SELECT coalesce(max(sequence), 0) FROM revocation r WHERE r.issuer_key = w.issuer_key), \
    NULL, w.serial, w.not_after, $2, $3 FROM (SELECT d.issuer_key, d.serial, d.not_after, \
    row_number() OVER (PARTITION BY d.issuer_key ORDER BY x.operation) AS n \
    FROM reissue x JOIN device d ON d.id = x.device WHERE x.operation = ANY($1::bigint[])) w";

pub(super) const KEEP: &str = "UPDATE reissue x SET replaced_at = $2, replaced_sha256 = d.certificate_sha256 \
    FROM device d WHERE d.id = x.device AND x.operation = ANY($1::bigint[])";

pub(super) const REPLACE: &str = "UPDATE device d SET operation = x.operation, issuer_key = o.key_id, serial = x.serial, \
    not_after = x.not_after, certificate_sha256 = w.sha256 \
    FROM unnest($1::bigint[], $2::bytea[]) AS w (operation, sha256) JOIN reissue x ON x.operation = w.operation \
    JOIN operation o ON o.id = x.operation WHERE d.id = x.device";

pub(super) const GIVE_UP: &str =
    "UPDATE reissue SET replaces = NULL WHERE operation = ANY($1::bigint[])";

#[async_trait]
impl Reissues for PostgresStore {
    async fn recall_reissue(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
    ) -> Result<ReissueRecall, StoreError> {
        on!(self.reads, s => recall(&s, institution, device))
    }
}

async fn recall(
    session: &Session,
    institution: &InstitutionId,
    device: DeviceId,
) -> Result<ReissueRecall, Failure> {
    let parameters: [Parameter<'_>; 2] = [&institution.as_str(), &device.uuid()];
    let row = session.one(RECALL, &parameters).await?;
    let Count(generation) = row.try_get(0)?;
    let content: Option<Octets<32>> = row.try_get(1)?;
    let device = rows::device(&row, 2)?;
    Ok(ReissueRecall {
        generation,
        device: device.zip(content.map(|Octets(content)| content)),
    })
}

/// What stands about each of a wave, by its place.
pub(super) async fn of(
    session: &Session,
    reissues: &Subjects<'_, ReissueRecord>,
    now: Timestamp,
) -> Result<Vec<(usize, Facts)>, Failure> {
    let devices = reissues.iter().map(|(_, device)| device.device.uuid());
    let replaces = reissues
        .iter()
        .map(|(_, device)| device.replaces.as_slice());
    let parameters: [Parameter<'_>; 5] = [
        &facts::institutions(reissues),
        &facts::keys(reissues),
        &devices.collect::<Vec<_>>(),
        &replaces.collect::<Vec<_>>(),
        &now.micros(),
    ];
    let rows = session.query(FACTS, &parameters).await?;
    let read = |((place, _), _): &(Placed<'_>, &ReissueRecord), row: &Row| {
        let revoked: bool = row.try_get(rows::OPERATION + 1)?;
        let inactive = facts::key_refusal(row, rows::OPERATION, Kind::DeviceCertificate)?;
        let facts = Facts {
            earlier: rows::operation(row, 0)?,
            refusal: inactive.or_else(|| revoked.then_some(Refusal::DeviceRevoked)),
            stop: None,
        };
        Ok((*place, facts))
    };
    reissues
        .iter()
        .zip(&rows)
        .map(|(reissue, row)| read(reissue, row))
        .collect()
}

pub(super) async fn record(
    session: &Session,
    reissues: &[(i64, &ReissueRecord)],
) -> Result<(), Failure> {
    let parameters: [Parameter<'_>; 4] = [
        &column(reissues, |(id, _)| *id),
        &column(reissues, |(_, reissue)| -> Uuid { reissue.device.uuid() }),
        &column(reissues, |(_, reissue)| reissue.serial.as_slice()),
        &column(reissues, |(_, reissue)| reissue.not_after.micros()),
    ];
    session.execute(RECORD, &parameters).await.map(drop)
}

/// How these ends come to be once the devices' revocations count. Whatever is signed of a device that has a certificate is
/// ended under the locks of a revocation.
pub(super) async fn ending(
    session: &Session,
    intent: &Pending,
    completion: &Completion,
) -> Result<Ending, Failure> {
    let ending = completion.ending.clone();
    if intent.kind != Kind::DeviceCertificate || !matches!(ending, Ending::Signed(_)) {
        return Ok(ending);
    }
    let ids = vec![intent.id];
    let found = session.query(LOCKED, &[&ids]).await?;
    let Some(row) = found.first() else {
        return Ok(ending);
    };
    let device: Uuid = row.try_get(0)?;
    let key = row.try_get(1).map(|Octets(id)| KeyId::new(id))?;
    locks::issuing_keys(session, &[key]).await?;
    locks::devices(session, &[device]).await?;
    let revoked = session.query(REVOKED, &[&ids]).await?;
    Ok(of_reissue(!revoked.is_empty(), ending))
}

/// Puts the certificates of those operations that replace one in their places; the ones before are revoked as superseded.
pub(super) async fn replace(
    session: &Session,
    signed: &[(i64, &[u8], &Origin)],
    now: Timestamp,
) -> Result<(), Failure> {
    let ids = column(signed, |(id, ..)| *id);
    let mut events: Vec<Event> = Vec::new();
    for row in session.query(REPLACED, &[&ids]).await? {
        let (id, replaced) = replaced(&row)?;
        let of = signed.iter().find(|(operation, ..)| *operation == id);
        events.extend(of.map(|(.., origin)| replaced.told(origin)));
    }
    let reason = i64::from(SUPERSEDED.code());
    let revoke: [Parameter<'_>; 3] = [&ids, &reason, &now.micros()];
    session.execute(REVOKE, &revoke).await?;
    session.execute(KEEP, &[&ids, &now.micros()]).await?;
    let digests = column(signed, |(_, sha256, _)| *sha256);
    session.execute(REPLACE, &[&ids, &digests]).await?;
    audit::append(session, &events, now).await
}

fn replaced(row: &Row) -> Result<(i64, Replaced), Failure> {
    let Text(issuer) = row.try_get(1)?;
    let replaced = Replaced {
        issuer,
        device: row.try_get(2)?,
        key: row.try_get(3).map(|Octets(id)| KeyId::new(id))?,
        object: row.try_get(4)?,
    };
    Ok((row.try_get(0)?, replaced))
}
