//! Owns the verbs that read what a CRL is made from.

use tokio_postgres::Row;

use crate::{
    clock::Timestamp,
    domain::key::KeyId,
    store::{
        CrlState, PublishedCrl, RevokedCertificate, columns,
        postgres::{
            columns::{Count, ReasonCode},
            error::Failure,
            rows::{self, operation_columns},
            session::{Parameter, Session},
        },
    },
};

pub(super) const STATE: &str = concat!(
    "SELECT (SELECT coalesce(max(number), 0) FROM crl WHERE issuer_key = $1), \
     (SELECT coalesce(max(sequence), 0) FROM revocation WHERE issuer_key = $1), \
     n.number, n.revocations, n.next_update, n.ended_at, n.artifact, ",
    operation_columns!(),
    " FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT l.number, l.revocations, l.next_update, s.ended_at, s.artifact \
     FROM crl l JOIN operation s ON s.id = l.operation WHERE l.issuer_key = $1 AND s.state = 'AUTHORIZED' \
     ORDER BY l.number DESC LIMIT 1) n ON true \
     LEFT JOIN LATERAL (SELECT * FROM operation WHERE key_id = $1 AND state = 'PENDING' AND kind = 'crl' \
     ORDER BY id DESC LIMIT 1) o ON true LEFT JOIN cosigned_order c ON c.operation = o.id"
);

pub(super) const REVOKED: &str = "SELECT serial, revoked_at, reason, sequence FROM revocation \
    WHERE issuer_key = $1 AND not_after >= $2 AND sequence <= $3 \
    UNION ALL SELECT serial, revoked_at, reason, NULL FROM listed WHERE issuer_key = $1 AND not_after >= $2 ORDER BY 4";

pub(super) async fn state(session: &Session, issuer: KeyId) -> Result<CrlState, Failure> {
    let row = session.one(STATE, &[&issuer.as_bytes().as_slice()]).await?;
    let (Count(last_number), Count(revocations)) = (row.try_get(0)?, row.try_get(1)?);
    Ok(CrlState {
        last_number,
        newest: published(&row)?,
        revocations,
        pending: rows::operation(&row, 7)?.and_then(|earlier| earlier.intent),
    })
}

fn published(row: &Row) -> Result<Option<PublishedCrl>, Failure> {
    let Some(Count(number)) = row.try_get(2)? else {
        return Ok(None);
    };
    let Count(revocations) = row.try_get(3)?;
    Ok(Some(PublishedCrl {
        number,
        revocations,
        next_update: row.try_get(4)?,
        signed_at: row.try_get(5)?,
        der: row.try_get(6)?,
    }))
}

pub(super) async fn revoked(
    session: &Session,
    issuer: KeyId,
    revocations: u64,
    since: Timestamp,
) -> Result<Vec<RevokedCertificate>, Failure> {
    let parameters: [Parameter<'_>; 3] = [
        &issuer.as_bytes().as_slice(),
        &since.micros(),
        &columns::version(revocations),
    ];
    let rows = session.query(REVOKED, &parameters).await?;
    let entry = |row: &Row| {
        let ReasonCode(reason) = row.try_get(2)?;
        Ok(RevokedCertificate {
            serial: row.try_get(0)?,
            at: row.try_get(1)?,
            reason,
        })
    };
    rows.iter().map(entry).collect()
}
