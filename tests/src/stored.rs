//! Single facts of the database while the service runs: how far an operation has come. The whole record is judged by
//! [`crate::recheck`].

use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use uuid::Uuid;

use crate::{deployment::Deployment, failure::Failure, until::until};

/// How long something recorded may take to appear.
const RECORDED: Duration = Duration::from_secs(20);

/// An operation as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// PENDING, AUTHORIZED, DENIED, EXPIRED or FAILED.
    pub state: String,
    /// Why it ended without a signature.
    pub reason: Option<String>,
    /// What is, or was, to be signed.
    pub to_be_signed: Vec<u8>,
    /// The signed object.
    pub artifact: Option<Vec<u8>>,
}

/// The newest operation of this kind (`authorization`, `device-certificate`, `crl`) about this object (an order's `jti`,
/// a serial number, a CRLNumber), or about any.
///
/// # Errors
/// The database cannot be read.
pub fn operation(
    deployment: &Deployment,
    kind: &str,
    object: Option<&str>,
) -> Result<Option<Operation>, Failure> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Operation {
            state: row.get(0)?,
            reason: row.get(1)?,
            to_be_signed: row.get(2)?,
            artifact: row.get(3)?,
        })
    };
    let sql = "SELECT state, reason, to_be_signed, artifact FROM operation \
               WHERE kind = ?1 AND (?2 IS NULL OR object = ?2) ORDER BY id DESC LIMIT 1";
    let found = open(deployment)?.query_row(sql, (kind, object), read);
    Ok(found.optional()?)
}

/// How many operations of this kind are in this state.
///
/// # Errors
/// The database cannot be read.
pub fn count(deployment: &Deployment, kind: &str, state: &str) -> Result<u32, Failure> {
    let sql = "SELECT count(*) FROM operation WHERE kind = ?1 AND state = ?2";
    Ok(open(deployment)?.query_row(sql, (kind, state), |row| row.get(0))?)
}

/// How many orders of this device are signed.
///
/// # Errors
/// The database cannot be read, or that is no device id.
pub fn orders_of(deployment: &Deployment, device: &str) -> Result<u32, Failure> {
    let sql = "SELECT count(*) FROM operation \
               WHERE kind = 'authorization' AND device = ?1 AND state = 'AUTHORIZED'";
    let device = Uuid::parse_str(device)?;
    Ok(open(deployment)?.query_row(sql, [device.as_bytes()], |row| row.get(0))?)
}

/// Waits until that operation is in this state, and gives it.
///
/// # Errors
/// It does not come there in time.
pub async fn in_state(
    deployment: &Deployment,
    kind: &str,
    object: Option<&str>,
    state: &str,
) -> Result<Operation, Failure> {
    let what = format!("{kind} {} {state}", object.unwrap_or("of any object"));
    until(&what, RECORDED, async || {
        Ok(operation(deployment, kind, object)?.filter(|found| found.state == state))
    })
    .await
}

/// The audit events in the order of their commits.
///
/// # Errors
/// The database cannot be read.
pub fn events(deployment: &Deployment) -> Result<Vec<serde_json::Value>, Failure> {
    let connection = open(deployment)?;
    let mut statement = connection.prepare("SELECT leaf FROM audit ORDER BY seq")?;
    let leaves = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    leaves
        .map(|leaf| Ok(serde_json::from_slice(&leaf?)?))
        .collect()
}

/// Changes the record as another process would; `sql` takes one value. Gives the number of rows.
///
/// # Errors
/// The database does not take it.
pub fn change(deployment: &Deployment, sql: &str, value: &str) -> Result<usize, Failure> {
    let connection = Connection::open(deployment.database())?;
    connection.busy_timeout(RECORDED)?;
    Ok(connection.execute(sql, [value])?)
}

fn open(deployment: &Deployment) -> Result<Connection, Failure> {
    let path = deployment.database();
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(RECORDED)?;
    Ok(connection)
}
