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
const MIGRATIONS: [&str; 8] = [
    include_str!("../../../migrations/postgres/0001_record.sql"),
    include_str!("../../../migrations/postgres/0002_leader.sql"),
    include_str!("../../../migrations/postgres/0003_restore.sql"),
    include_str!("../../../migrations/postgres/0004_quota.sql"),
    include_str!("../../../migrations/postgres/0005_retention.sql"),
    include_str!("../../../migrations/postgres/0006_changes.sql"),
    include_str!("../../../migrations/postgres/0007_keys.sql"),
    include_str!("../../../migrations/postgres/0008_purposes.sql"),
];

const MADE: &str = "SELECT to_regclass('schema_version') IS NOT NULL";
const VERSION: &str = "SELECT version, serves_from FROM schema_version WHERE one = 1";
const CONTRACT: &str =
    "UPDATE schema_version SET serves_from = greatest(serves_from, $1) WHERE one = 1";
const SERVES_FROM: &str = "SELECT serves_from FROM schema_version WHERE one = 1";

/// The first version whose programs look for what stays of an order that was removed.
const KNOWS_REMOVED: i32 = 5;
/// The first version whose programs can read keys for OCSP, audit and statements, and the changes that take them up.
const KNOWS_PURPOSES: i32 = 8;

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

/// Shuts out the programs of before this one's schema, once the database has it: none may be running any more.
///
/// # Errors
/// [`StoreError::Schema`] when it is not migrated yet, [`StoreError::Unavailable`] when it is not reached.
pub async fn contract(settings: Settings) -> Result<(), StoreError> {
    let contracted = async {
        let session = Connector::new(settings).reach().await?;
        check(&session).await?;
        let needed = i32::try_from(needed()).unwrap_or(i32::MAX);
        session.execute(CONTRACT, &[&needed]).await.map(drop)
    };
    contracted.await.map_err(Failure::into_error)
}

/// Whether no program can serve that would take the jti of an order that was removed for a new one.
pub(super) async fn may_remove(session: &Session) -> Result<bool, Failure> {
    Ok(serves_from(session).await? >= KNOWS_REMOVED)
}

/// Whether no program can serve that knows the purposes of the ceremony's keys alone.
pub(super) async fn all_know_purposes(session: &Session) -> Result<bool, Failure> {
    Ok(serves_from(session).await? >= KNOWS_PURPOSES)
}

async fn serves_from(session: &Session) -> Result<i32, Failure> {
    Ok(session.one(SERVES_FROM, &[]).await?.try_get(0)?)
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
