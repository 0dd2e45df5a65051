//! Owns the quotas that replicas share: their rows, locked while it is decided what is lent of them. Time is the server's.
//!
//! A moment read before the locks were granted is early rather than late: less has come back by it than has in truth.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::{
        limit::MAX_WINDOWS,
        quota::{Arrivals, Lend, Lent, QuotaAsk},
    },
    store::postgres::{
        columns::Count,
        error::Failure,
        record::column,
        session::{Parameter, Session},
    },
};

pub(super) const STAND: &str = "SELECT w.n, q.arrival_1, q.arrival_2, q.arrival_3, q.arrival_4 \
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (institution, scope, windows, n) \
    JOIN quota q ON q.institution = w.institution AND q.scope = w.scope AND q.windows = w.windows \
    ORDER BY w.n FOR NO KEY UPDATE OF q";

pub(super) const SPEND: &str = "UPDATE quota q SET arrival_1 = w.a1, arrival_2 = w.a2, arrival_3 = w.a3, arrival_4 = w.a4, \
    recovered_at = greatest(w.a1, w.a2, w.a3, w.a4) \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
    AS w (institution, scope, windows, a1, a2, a3, a4) \
    WHERE q.institution = w.institution AND q.scope = w.scope AND q.windows = w.windows";

// Where another replica was first it fails, and is decided again by what stands then.
pub(super) const SPEND_FIRST: &str = "INSERT INTO quota (institution, scope, windows, arrival_1, arrival_2, arrival_3, \
    arrival_4, recovered_at) SELECT institution, scope, windows, a1, a2, a3, a4, greatest(a1, a2, a3, a4) \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
    AS w (institution, scope, windows, a1, a2, a3, a4)";

// Two for each that comes, so that there are never many; those in another's hands stay.
pub(super) const FORGET: &str = "DELETE FROM quota q USING (SELECT institution, scope, windows FROM quota \
    WHERE recovered_at <= $1 ORDER BY recovered_at LIMIT 2 * $2::bigint FOR UPDATE SKIP LOCKED) w \
    WHERE q.institution = w.institution AND q.scope = w.scope AND q.windows = w.windows";

/// A quota as its row names it: institution, scope, windows.
type Name = (String, String, String);

/// What stands of a quota.
#[derive(Default)]
struct Page {
    arrivals: Option<Arrivals>,
    /// Whether there is a row.
    stood: bool,
    changed: bool,
}

/// What is lent to each ask, in order; those that come later see what was lent before.
pub(super) async fn lend(
    session: &Session,
    asks: &[QuotaAsk],
    decide: Lend,
) -> Result<Vec<Lent>, Failure> {
    let now = session.opened().at;
    let mut book = stand(session, asks).await?;
    let mut lent = Vec::with_capacity(asks.len());
    for ask in asks {
        let page = book.entry(name(ask)).or_default();
        let made = decide(ask, page.arrivals, now);
        if made.requests > 0 {
            page.arrivals = Some(made.arrivals);
            page.changed = true;
        }
        lent.push(made);
    }
    let (old, new): (Vec<_>, Vec<_>) = book
        .into_iter()
        .filter(|(_, page)| page.changed)
        .partition(|(_, page)| page.stood);
    if !old.is_empty() {
        write(session, SPEND, &old).await?;
    }
    if !new.is_empty() {
        write(session, SPEND_FIRST, &new).await?;
        let count = i64::try_from(new.len()).unwrap_or(i64::MAX);
        session.execute(FORGET, &[&nanos(now), &count]).await?;
    }
    Ok(lent)
}

fn name(ask: &QuotaAsk) -> Name {
    let quota = &ask.quota;
    (
        quota.institution.to_string(),
        quota.scope.to_string(),
        quota.windows.to_string(),
    )
}

/// What stands of the quotas that are asked, locked in the order of their names.
async fn stand(session: &Session, asks: &[QuotaAsk]) -> Result<BTreeMap<Name, Page>, Failure> {
    let mut book: BTreeMap<Name, Page> = BTreeMap::new();
    for ask in asks {
        book.entry(name(ask)).or_default();
    }
    let names: Vec<&Name> = book.keys().collect();
    let parameters: [Parameter<'_>; 3] = [
        &column(&names, |(institution, ..)| institution.as_str()),
        &column(&names, |(_, scope, _)| scope.as_str()),
        &column(&names, |(.., windows)| windows.as_str()),
    ];
    let rows = session.query(STAND, &parameters).await?;
    let mut pages: Vec<&mut Page> = book.values_mut().collect();
    for row in rows {
        let Count(number) = row.try_get(0)?;
        let mut arrivals = [Duration::ZERO; MAX_WINDOWS];
        for (arrival, at) in arrivals.iter_mut().zip(1..) {
            let Count(nanos) = row.try_get::<usize, _>(at)?;
            *arrival = Duration::from_nanos(nanos);
        }
        // WITH ORDINALITY counts from 1.
        let place = usize::try_from(number).unwrap_or_default();
        if let Some(page) = place.checked_sub(1).and_then(|place| pages.get_mut(place)) {
            page.arrivals = Some(arrivals);
            page.stood = true;
        }
    }
    Ok(book)
}

async fn write(
    session: &Session,
    sql: &'static str,
    pages: &[(Name, Page)],
) -> Result<(), Failure> {
    let arrival = |window: usize| {
        column(pages, move |(_, page)| {
            let arrivals = page.arrivals.unwrap_or_default();
            nanos(arrivals.get(window).copied().unwrap_or_default())
        })
    };
    let parameters: [Parameter<'_>; 7] = [
        &column(pages, |((institution, ..), _)| institution.as_str()),
        &column(pages, |((_, scope, _), _)| scope.as_str()),
        &column(pages, |((.., windows), _)| windows.as_str()),
        &arrival(0),
        &arrival(1),
        &arrival(2),
        &arrival(3),
    ];
    session.execute(sql, &parameters).await.map(drop)
}

/// As a column can hold it, for some 260 years yet.
fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
