//! Owns how a database is brought to this program's schema, and which schemas it serves. One SQL file per version; a
//! version that was released never changes. Each file says itself which version it makes, and which programs may go on.

use crate::store::{
    StoreError,
    postgres::{
        connect::{Connector, Settings},
        error::Failure,
        session::Session,
    },
};

/// The versions, from 1.
const MIGRATIONS: [&str; 4] = [
    include_str!("../../../migrations/postgres/0001_record.sql"),
    include_str!("../../../migrations/postgres/0002_leader.sql"),
    include_str!("../../../migrations/postgres/0003_restore.sql"),
    include_str!("../../../migrations/postgres/0004_quota.sql"),
];

const MADE: &str = "SELECT to_regclass('schema_version') IS NOT NULL";
const VERSION: &str = "SELECT version, serves_from FROM schema_version WHERE one = 1";
// Of two that migrate at once one waits, and finds nothing left to do.
const ALONE: &str = "SELECT pg_advisory_xact_lock(1397050704, 2)";

/// The version of the schema that this program reads and writes.
fn needed() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Brings the database to the schema of this program, all or nothing. Doing it again changes nothing, also beside running
/// servers. Answers the version.
///
/// # Errors
/// [`StoreError::Schema`] when a newer program has been here, [`StoreError::Unavailable`] when it is not reached.
pub async fn migrate(settings: Settings) -> Result<u32, StoreError> {
    apply(settings, &MIGRATIONS)
        .await
        .map_err(Failure::into_error)
}

async fn apply(settings: Settings, migrations: &[&str]) -> Result<u32, Failure> {
    let session = Connector::new(settings).reach().await?;
    session.batch("BEGIN").await?;
    session.query(ALONE, &[]).await?;
    let made: bool = session.one(MADE, &[]).await?.try_get(0)?;
    let found = if made { version(&session).await?.0 } else { 0 };
    let needed = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let missing = usize::try_from(found)
        .ok()
        .and_then(|found| migrations.get(found..));
    for sql in missing.ok_or(StoreError::Schema { found, needed })? {
        session.batch(sql).await?;
    }
    session.batch("COMMIT").await?;
    Ok(needed)
}

/// Whether this program may serve what the database holds.
pub(super) async fn check(session: &Session) -> Result<(), Failure> {
    let made: bool = session.one(MADE, &[]).await?.try_get(0)?;
    let (found, serves_from) = if made {
        version(session).await?
    } else {
        (0, 0)
    };
    let needed = needed();
    if (serves_from..=found).contains(&needed) {
        return Ok(());
    }
    Err(StoreError::Schema { found, needed }.into())
}

/// The version, and the lowest that a program may have been built for.
async fn version(session: &Session) -> Result<(u32, u32), Failure> {
    let row = session.one(VERSION, &[]).await?;
    let number = |number: i32| {
        u32::try_from(number).map_err(|_| StoreError::Corrupt("its version is negative".to_owned()))
    };
    Ok((number(row.try_get(0)?)?, number(row.try_get(1)?)?))
}
