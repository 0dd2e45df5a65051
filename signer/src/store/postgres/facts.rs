//! Owns what stands about the operations of a wave, under the locks of their group: one statement for the orders, one for
//! the enrolments, one for the CRLs.

use std::collections::HashMap;

use tokio_postgres::Row;

use crate::{
    clock::Timestamp,
    domain::{
        key::KeyId,
        operation::{
            CertificateRecord, CrlRecord, DeviceRecord, Kind, MONEY_WINDOW_SECONDS, OrderRecord,
            Subject, Term,
        },
    },
    store::{
        Begun, Earlier, Limit, Refusal, columns,
        decision::{Day, Standing, Uses, limited, may_be_signed_of, may_sign},
        postgres::{
            begin::Placed,
            columns::{Count, Octets},
            error::Failure,
            reissue,
            rows::{self, operation_columns, order_columns},
            session::{Parameter, Session},
        },
    },
};

/// What stands about one operation.
#[derive(Default)]
pub(super) struct Facts {
    /// What was recorded under its idempotency key.
    pub(super) earlier: Option<Earlier>,
    /// Why the record does not allow it, with the recorded key if it is pending.
    pub(super) refusal: Option<Refusal>,
    /// What else stands in the way of what is new.
    pub(super) stop: Option<Begun>,
}

// The key that counts is the recorded one of what is pending.
macro_rules! key_of {
    ($own:literal, $state:literal) => {
        concat!(
            " LEFT JOIN key k ON k.id = CASE o.state WHEN 'PENDING' THEN o.key_id ELSE ",
            $own,
            " END AND k.institution = w.institution AND ",
            $state
        )
    };
}

pub(super) use key_of;

pub(super) const ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    ", k.purpose, d.id IS NOT NULL, r.device IS NOT NULL, a.device IS NOT NULL, s.orders, s.billions, s.units \
     FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bytea[], $5::text[]) WITH ORDINALITY \
     AS w (institution, device, jti, key_id, currency, n) \
     LEFT JOIN cosigned_order c ON c.institution = w.institution AND c.device = w.device AND c.jti = w.jti \
     LEFT JOIN operation o ON o.id = c.operation \
     LEFT JOIN pruned_order t ON t.institution = w.institution AND t.device = w.device AND t.jti = w.jti",
    key_of!(
        "w.key_id",
        "k.state = 'active' AND coalesce(k.active_from <= $7, true) AND coalesce($7 < k.active_until, true)"
    ),
    " LEFT JOIN device d ON d.id = w.device AND d.certificate_sha256 IS NOT NULL \
     LEFT JOIN revocation r ON r.device = d.id \
     LEFT JOIN acceptance a ON a.institution = w.institution AND a.device = d.id \
     CROSS JOIN LATERAL (SELECT count(*) AS orders, \
     coalesce(sum(minor / 1000000000) FILTER (WHERE currency = w.currency), 0)::bigint AS billions, \
     coalesce(sum(minor % 1000000000) FILTER (WHERE currency = w.currency), 0)::bigint AS units \
     FROM cosigned_order WHERE institution = w.institution AND device = w.device AND reserved_at > $6) s ORDER BY w.n"
);

pub(super) const ENROLLMENTS: &str = concat!(
    "SELECT ",
    operation_columns!(),
    ", k.purpose, s.devices, EXISTS (SELECT 1 FROM device p WHERE p.public_key = w.public_key) \
     FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::bytea[]) WITH ORDINALITY \
     AS w (institution, request, key_id, subscriber, public_key, n) \
     LEFT JOIN device e ON e.issuer = w.institution AND e.request = w.request \
     LEFT JOIN operation o ON o.id = e.operation LEFT JOIN cosigned_order c ON c.operation = o.id",
    key_of!(
        "w.key_id",
        "k.state = 'active' AND coalesce(k.active_from <= $6, true) AND coalesce($6 < k.active_until, true)"
    ),
    " CROSS JOIN LATERAL (SELECT count(*) AS devices FROM device d WHERE d.issuer = w.institution \
     AND d.subscriber = w.subscriber AND d.public_key IS NOT NULL \
     AND (d.certificate_sha256 IS NULL OR d.not_after >= $6) \
     AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.device = d.id)) s ORDER BY w.n"
);

pub(super) const CRLS: &str = concat!(
    "SELECT ",
    operation_columns!(),
    ", k.purpose, (SELECT coalesce(max(x.number), 0) FROM crl x WHERE x.issuer_key = w.key_id), \
     (SELECT term FROM lease WHERE one = 1) \
     FROM unnest($1::text[], $2::bytea[], $3::bigint[]) WITH ORDINALITY AS w (institution, key_id, number, n) \
     LEFT JOIN crl l ON l.issuer_key = w.key_id AND l.number = w.number \
     LEFT JOIN operation o ON o.id = l.operation LEFT JOIN cosigned_order c ON c.operation = o.id",
    // Retired, a CA issues nothing more and goes on listing what it has revoked.
    key_of!(
        "w.key_id",
        "(k.state IN ('active', 'deactivated') OR k.state = 'suspended' AND k.active_until <= $4) AND coalesce(k.active_from <= $4, true)"
    ),
    " ORDER BY w.n"
);

pub(super) const NEW_KEYS: &str = concat!(
    "SELECT ",
    operation_columns!(),
    ", CASE WHEN w.key_id = w.new_key THEN m.purpose WHEN m.id IS NOT NULL THEN k.purpose END, m.purpose \
     FROM unnest($1::text[], $2::bytea[], $3::bytea[]) WITH ORDINALITY AS w (institution, key_id, new_key, n) \
     LEFT JOIN new_key i ON i.key_id = w.new_key \
     LEFT JOIN operation o ON o.id = i.operation AND o.state IN ('PENDING', 'AUTHORIZED') \
     LEFT JOIN cosigned_order c ON c.operation = o.id \
     LEFT JOIN key m ON m.id = w.new_key AND m.institution = w.institution AND m.state = 'pre-activation'",
    key_of!(
        "w.key_id",
        "k.state = 'active' AND coalesce(k.active_from <= $4, true) AND coalesce($4 < k.active_until, true)"
    ),
    " ORDER BY w.n"
);

pub(super) const USES: &str = "SELECT u.key_id, u.signatures + (SELECT count(*) FROM operation o \
    WHERE o.state = 'PENDING' AND o.key_id = u.key_id) FROM key_use u WHERE u.key_id = ANY($1::bytea[])";

/// How often the keys have signed whose lifetime is limited, under the locks of their rows.
pub(super) async fn uses(session: &Session, wave: &[Placed<'_>]) -> Result<Uses, Failure> {
    let keys = limited(wave.iter().map(|(_, operation)| *operation));
    if keys.is_empty() {
        return Ok(Uses::default());
    }
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes().as_slice()).collect();
    let mut uses = Vec::new();
    for row in session.query(USES, &[&keys]).await? {
        let (Octets(key), Count(count)) = (row.try_get(0)?, row.try_get(1)?);
        uses.push((KeyId::new(key), count));
    }
    Ok(Uses::new(uses))
}

/// What stands about each, by its place.
pub(super) async fn of(
    session: &Session,
    wave: &[Placed<'_>],
    now: Timestamp,
) -> Result<HashMap<usize, Facts>, Failure> {
    let (mut orders, mut enrollments, mut crls) = (Vec::new(), Vec::new(), Vec::new());
    let (mut new_keys, mut reissues) = (Vec::new(), Vec::new());
    for placed in wave {
        match &placed.1.subject {
            Subject::Authorization(order) => orders.push((*placed, order)),
            Subject::DeviceCertificate(device) => enrollments.push((*placed, device)),
            Subject::Reissue(device) => reissues.push((*placed, device)),
            Subject::Crl(crl) => crls.push((*placed, crl)),
            Subject::AuthorizationCertificate(CertificateRecord { key, .. })
            | Subject::KeyCertificate(CertificateRecord { key, .. })
            | Subject::CertificationRequest(key) => new_keys.push((*placed, key)),
        }
    }
    let mut facts = HashMap::with_capacity(wave.len());
    if !orders.is_empty() {
        facts.extend(of_orders(session, &orders, now).await?);
    }
    if !enrollments.is_empty() {
        facts.extend(of_enrollments(session, &enrollments, now).await?);
    }
    if !crls.is_empty() {
        facts.extend(of_crls(session, &crls, now).await?);
    }
    if !reissues.is_empty() {
        facts.extend(reissue::of(session, &reissues, now).await?);
    }
    if !new_keys.is_empty() {
        facts.extend(of_new_keys(session, &new_keys, now).await?);
    }
    Ok(facts)
}

/// An operation with what its subject records.
pub(super) type Subjects<'a, R> = [(Placed<'a>, &'a R)];

pub(super) fn institutions<'a, R>(subjects: &Subjects<'a, R>) -> Vec<&'a str> {
    let of = |((_, operation), _): &(Placed<'a>, _)| operation.institution.as_str();
    subjects.iter().map(of).collect()
}

pub(super) fn keys<'a, R>(subjects: &Subjects<'a, R>) -> Vec<&'a [u8]> {
    let of = |((_, operation), _): &(Placed<'a>, _)| operation.key.as_bytes().as_slice();
    subjects.iter().map(of).collect()
}

async fn of_orders(
    session: &Session,
    orders: &Subjects<'_, OrderRecord>,
    now: Timestamp,
) -> Result<Vec<(usize, Facts)>, Failure> {
    let devices: Vec<_> = orders
        .iter()
        .map(|(_, order)| order.device.uuid())
        .collect();
    let jtis: Vec<_> = orders.iter().map(|(_, order)| order.jti).collect();
    let currencies = orders
        .iter()
        .map(|(_, order)| order.amount.currency().code());
    let parameters: [Parameter<'_>; 7] = [
        &institutions(orders),
        &devices,
        &jtis,
        &keys(orders),
        &currencies.collect::<Vec<&str>>(),
        &now.plus_seconds(-MONEY_WINDOW_SECONDS).micros(),
        &now.micros(),
    ];
    let rows = session.query(ORDERS, &parameters).await?;
    let read = |((place, _), order): &(Placed<'_>, &OrderRecord), row: &Row| {
        Ok((*place, order_facts(row, order)?))
    };
    orders
        .iter()
        .zip(&rows)
        .map(|(order, row)| read(order, row))
        .collect()
}

fn order_facts(row: &Row, order: &OrderRecord) -> Result<Facts, Failure> {
    let at = rows::ORDER + 1;
    let certified: bool = row.try_get(at)?;
    let standing = Standing {
        revoked: row.try_get(at + 1)?,
        accepted: row.try_get(at + 2)?,
    };
    let (Count(orders), Count(billions), Count(units)) = (
        row.try_get(at + 3)?,
        row.try_get(at + 4)?,
        row.try_get(at + 5)?,
    );
    let day = Day {
        orders,
        billions,
        units,
    };
    let refusal = key_refusal(row, rows::ORDER, Kind::Authorization)?;
    Ok(Facts {
        earlier: rows::order(row, 0)?,
        refusal: refusal.or_else(|| Standing::refusal(certified.then_some(standing))),
        stop: day.limit(order).map(Begun::OverLimit),
    })
}

pub(super) fn key_refusal(row: &Row, at: usize, kind: Kind) -> Result<Option<Refusal>, Failure> {
    let purpose: Option<&str> = row.try_get(at)?;
    Ok((!may_sign(kind, purpose)).then_some(Refusal::KeyNotActive))
}

async fn of_enrollments(
    session: &Session,
    enrollments: &Subjects<'_, DeviceRecord>,
    now: Timestamp,
) -> Result<Vec<(usize, Facts)>, Failure> {
    let records = || enrollments.iter().map(|(_, device)| device);
    let parameters: [Parameter<'_>; 6] = [
        &institutions(enrollments),
        &records().map(|d| d.request.as_slice()).collect::<Vec<_>>(),
        &keys(enrollments),
        &records().map(|d| d.subscriber.as_str()).collect::<Vec<_>>(),
        &records()
            .map(|d| d.public_key.as_slice())
            .collect::<Vec<_>>(),
        &now.micros(),
    ];
    let rows = session.query(ENROLLMENTS, &parameters).await?;
    let read = |((place, _), device): &(Placed<'_>, &DeviceRecord), row: &Row| {
        let Count(devices) = row.try_get(rows::OPERATION + 1)?;
        let taken: bool = row.try_get(rows::OPERATION + 2)?;
        let stop = if devices >= device.devices_per_subscriber {
            Some(Begun::OverLimit(Limit::DevicesPerSubscriber))
        } else {
            taken.then_some(Begun::Refused(Refusal::PublicKeyTaken))
        };
        let facts = Facts {
            earlier: rows::operation(row, 0)?,
            refusal: key_refusal(row, rows::OPERATION, Kind::DeviceCertificate)?,
            stop,
        };
        Ok((*place, facts))
    };
    enrollments
        .iter()
        .zip(&rows)
        .map(|(enrollment, row)| read(enrollment, row))
        .collect()
}

async fn of_crls(
    session: &Session,
    crls: &Subjects<'_, CrlRecord>,
    now: Timestamp,
) -> Result<Vec<(usize, Facts)>, Failure> {
    let numbers = crls.iter().map(|(_, crl)| columns::version(crl.number));
    let parameters: [Parameter<'_>; 4] = [
        &institutions(crls),
        &keys(crls),
        &numbers.collect::<Vec<i64>>(),
        &now.micros(),
    ];
    let rows = session.query(CRLS, &parameters).await?;
    let read = |((place, _), crl): &(Placed<'_>, &CrlRecord), row: &Row| {
        let Count(last) = row.try_get(rows::OPERATION + 1)?;
        let Count(term) = row.try_get(rows::OPERATION + 2)?;
        let stop = if crl.term != Term(term) {
            Some(Begun::Refused(Refusal::NotLeader))
        } else {
            (crl.number <= last).then_some(Begun::Refused(Refusal::CrlNumberTaken))
        };
        let facts = Facts {
            earlier: rows::operation(row, 0)?,
            refusal: key_refusal(row, rows::OPERATION, Kind::Crl)?,
            stop,
        };
        Ok((*place, facts))
    };
    crls.iter()
        .zip(&rows)
        .map(|(crl, row)| read(crl, row))
        .collect()
}

async fn of_new_keys(
    session: &Session,
    new: &Subjects<'_, KeyId>,
    now: Timestamp,
) -> Result<Vec<(usize, Facts)>, Failure> {
    let ids: Vec<&[u8]> = new
        .iter()
        .map(|(_, key)| key.as_bytes().as_slice())
        .collect();
    let parameters: [Parameter<'_>; 4] = [&institutions(new), &keys(new), &ids, &now.micros()];
    let rows = session.query(NEW_KEYS, &parameters).await?;
    let read = |((place, operation), _): &(Placed<'_>, &KeyId), row: &Row| {
        let (kind, at) = (operation.subject.kind(), rows::OPERATION);
        let (signs, new) = (row.try_get(at)?, row.try_get(at + 1)?);
        let stands = may_be_signed_of(kind, signs, new);
        let facts = Facts {
            earlier: rows::operation(row, 0)?,
            refusal: key_refusal(row, at, kind)?.or((!stands).then_some(Refusal::KeyNotActive)),
            stop: None,
        };
        Ok((*place, facts))
    };
    new.iter()
        .zip(&rows)
        .map(|(key, row)| read(key, row))
        .collect()
}
