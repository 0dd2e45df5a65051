//! Owns the lease of the replica that does the scheduled work. Time is the server's: replicas need not agree on theirs.

use uuid::Uuid;

use crate::{
    domain::operation::Term,
    store::postgres::{
        columns::Count,
        error::Failure,
        session::{Parameter, Session},
    },
};

/// How long a lease lasts that is not renewed: after so much time another replica takes over from one that died.
const SECONDS: f64 = 5.0;

const LEAD: &str = "UPDATE lease SET term = term + CASE WHEN holder = $1 THEN 0 ELSE 1 END, holder = $1, \
    expires_at = clock_timestamp() + make_interval(secs => $2) \
    WHERE one = 1 AND (holder = $1 OR expires_at <= clock_timestamp()) RETURNING term";

// The term goes on by one, so that whoever comes next is not in the term of what this replica had prepared.
const STEP_DOWN: &str = "UPDATE lease SET term = term + 1, holder = NULL, expires_at = '-infinity' \
    WHERE one = 1 AND holder = $1";

pub(super) async fn lead(session: &Session, replica: Uuid) -> Result<Option<Term>, Failure> {
    let parameters: [Parameter<'_>; 2] = [&replica, &SECONDS];
    match session.query(LEAD, &parameters).await?.first() {
        Some(row) => {
            let Count(term) = row.try_get(0)?;
            Ok(Some(Term(term)))
        }
        None => Ok(None),
    }
}

pub(super) async fn step_down(session: &Session, replica: Uuid) -> Result<(), Failure> {
    session.execute(STEP_DOWN, &[&replica]).await.map(drop)
}
