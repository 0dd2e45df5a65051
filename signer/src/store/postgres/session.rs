//! Owns one connection to the server: its prepared statements, and the transaction that is open on it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row, Statement, types::ToSql};

use crate::{
    clock::{Clock, Timestamp},
    store::{StoreError, postgres::error::Failure},
};

/// A value that a statement is given.
pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);

const START: &str =
    "SELECT pg_current_xact_id()::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// How far the server's clock may be from this host's.
const APART: Duration = Duration::from_secs(1);

/// A connection. Dropped, it is closed at once; the server rolls back what was open on it.
pub(super) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    statements: Mutex<HashMap<&'static str, Statement>>,
    open: Mutex<Open>,
    clock: Clock,
}

/// What the open transaction is known by if its commit is not answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    /// Its number.
    pub(super) number: String,
    /// When it was opened, on the server's clock, since 1970.
    pub(super) at: Duration,
    /// How far the clocks were apart at least when it was opened.
    apart: Duration,
    /// The last audit event that it wrote: every transaction that changes anything writes one.
    pub(super) event: Option<(i64, Vec<u8>)>,
}

impl Session {
    pub(super) fn new(client: Client, connection: JoinHandle<()>, clock: Clock) -> Self {
        Self {
            client,
            connection,
            statements: Mutex::default(),
            open: Mutex::default(),
            clock,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) async fn query(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.query(&statement, parameters).await?)
    }

    /// The first row of a statement that always gives one.
    pub(super) async fn one(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Row, Failure> {
        let mut rows = self.query(sql, parameters).await?.into_iter();
        let missing = || StoreError::Corrupt(format!("no row where there is always one: {sql}"));
        Ok(rows.next().ok_or_else(missing)?)
    }

    /// Answers how many rows were changed.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<u64, Failure> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.execute(&statement, parameters).await?)
    }

    /// Runs statements that take nothing and give nothing.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// The first column of what a statement without parameters gives.
    #[cfg(test)]
    pub(super) async fn plain(&self, sql: &str) -> Result<Vec<String>, Failure> {
        use tokio_postgres::SimpleQueryMessage::Row;
        let said = self.client.simple_query(sql).await?;
        let column = |message| match message {
            Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(said.into_iter().filter_map(column).collect())
    }

    async fn prepare(&self, sql: &'static str) -> Result<Statement, Failure> {
        let known = self.statements().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements().insert(sql, statement.clone());
        Ok(statement)
    }

    fn statements(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a transaction.
    pub(super) async fn begin(&self) -> Result<(), Failure> {
        let before = self.clock.now();
        // In this order, without waiting for the first answer.
        let (begun, started) = tokio::join!(
            biased;
            self.batch("BEGIN ISOLATION LEVEL READ COMMITTED"),
            self.one(START, &[])
        );
        begun?;
        let started = started?;
        let after = self.clock.now();
        let (number, theirs): (String, Timestamp) = (started.try_get(0)?, started.try_get(1)?);
        self.note(Open {
            number,
            at: Timestamp::from_micros(0).until(theirs),
            // Theirs was read between the two.
            apart: theirs.until(before).max(after.until(theirs)),
            event: None,
        });
        Ok(())
    }

    /// How far the clocks were apart at least when the transaction was opened.
    pub(super) fn apart(&self) -> Duration {
        self.opened().apart
    }

    /// Whether the clocks agreed when the transaction was opened.
    pub(super) fn in_time(&self) -> Result<(), Failure> {
        match self.apart() {
            apart if apart > APART => Err(StoreError::Clock(apart).into()),
            _ => Ok(()),
        }
    }

    /// Notes the last audit event of the open transaction.
    pub(super) fn mark(&self, seq: i64, leaf: Vec<u8>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.event = Some((seq, leaf));
    }

    /// What the open transaction is known by.
    pub(super) fn opened(&self) -> Open {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, now: Open) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
