//! A deployment whose record is a PostgreSQL database. The checks read a copy of it in the form of the embedded store, made
//! in one transaction, so that one set of rules judges both.

use std::{fs, path::PathBuf};

use rusqlite::types::Value;
use tokio_postgres::{Client, NoTls, Row, types::Type};
use uuid::Uuid;

use crate::{
    cluster::{Cluster, PORT, ROLE},
    deployment::Deployment,
    failure::Failure,
    recheck::COPY,
};

/// Where the record is.
#[derive(Clone, Debug)]
pub(super) struct Database {
    /// Of the primary.
    socket: String,
    name: String,
}

impl Database {
    async fn client(&self, name: &str) -> Result<Client, Failure> {
        let (client, connection) = tokio_postgres::Config::new()
            .host(&self.socket)
            .port(PORT)
            .user(ROLE)
            .dbname(name)
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn store(&self, clusters: &[&Cluster]) -> String {
        let host = |cluster: &&Cluster| format!("{}:{PORT}", cluster.socket().display());
        let hosts: Vec<String> = clusters.iter().map(host).collect();
        format!(
            "[store.postgres]\nhosts = {hosts:?}\ndatabase = \"{}\"\nuser = \"{ROLE}\"",
            self.name
        )
    }
}

impl Deployment {
    /// Has a deployment that never ran keep its record in a new database of `cluster`, with the ceremonies of its institutions.
    ///
    /// # Errors
    /// A step failed.
    pub async fn keep_record_in(&mut self, cluster: &Cluster) -> Result<(), Failure> {
        self.keep_record_in_one_of(&[cluster]).await
    }

    /// The same with a primary and its standbys.
    ///
    /// # Errors
    /// A step failed.
    pub async fn keep_record_in_one_of(&mut self, clusters: &[&Cluster]) -> Result<(), Failure> {
        let cluster = clusters.first();
        let cluster = cluster.ok_or_else(|| Failure::new("there is no primary"))?;
        let database = Database {
            socket: cluster.socket().display().to_string(),
            name: cluster.name(),
        };
        let create = format!("CREATE DATABASE {}", database.name);
        database
            .client("postgres")
            .await?
            .batch_execute(&create)
            .await?;
        self.configure("[store]\nsqlite = \"signer.db\"", &database.store(clusters))?;
        self.run(&["migrate"])?;
        for id in self.institutions()? {
            let ceremony = self.directory.ceremony(&id);
            self.run(&["change", "load", &ceremony.to_string_lossy()])?;
        }
        self.database = Some(database);
        Ok(())
    }

    /// Has the checks look for the record where it is now.
    ///
    /// # Errors
    /// The record is a file.
    pub fn record_moved_to(&mut self, cluster: &Cluster) -> Result<(), Failure> {
        let database = self.database.as_mut();
        let database = database.ok_or_else(|| Failure::new("the record is a file"))?;
        database.socket = cluster.socket().display().to_string();
        Ok(())
    }

    /// The name of the record's database.
    ///
    /// # Errors
    /// The record is a file.
    pub fn database_name(&self) -> Result<String, Failure> {
        let database = self.database.as_ref();
        let database = database.ok_or_else(|| Failure::new("the record is a file"))?;
        Ok(database.name.clone())
    }

    /// A file in the form of the embedded store with all of the record as it stands now.
    ///
    /// # Errors
    /// It cannot be read or copied.
    pub async fn record(&self) -> Result<PathBuf, Failure> {
        let Some(database) = &self.database else {
            return Ok(self.database());
        };
        let name = format!("record-{}.db", Uuid::new_v4());
        let file = self.directory.path().join(name);
        copy(&database.client(&database.name).await?, &file).await?;
        Ok(file)
    }

    /// What a statement that counts says in the record's database.
    ///
    /// # Errors
    /// The database does not take it, or the record is a file.
    pub async fn count(&self, sql: &str) -> Result<i64, Failure> {
        Ok(self.inside().await?.query_one(sql, &[]).await?.try_get(0)?)
    }

    /// Runs statements in the record's database.
    ///
    /// # Errors
    /// The database does not take them, or the record is a file.
    pub async fn execute(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.inside().await?.batch_execute(sql).await?)
    }

    async fn inside(&self) -> Result<Client, Failure> {
        let database = self.database.as_ref();
        let database = database.ok_or_else(|| Failure::new("the record is a file"))?;
        database.client(&database.name).await
    }

    /// Has the record's database do something.
    ///
    /// # Errors
    /// It does not take it, or the record is a file.
    pub async fn tell(&self, sql: &str) -> Result<(), Failure> {
        let database = self.database.as_ref();
        let database = database.ok_or_else(|| Failure::new("the record is a file"))?;
        let client = database.client(&database.name).await?;
        Ok(client.batch_execute(sql).await?)
    }
}

/// What makes a record of the embedded store.
const SCHEMA: [&str; 7] = [
    include_str!("../../../signer/migrations/sqlite/0001_record.sql"),
    include_str!("../../../signer/migrations/sqlite/0002_lists.sql"),
    include_str!("../../../signer/migrations/sqlite/0003_restore.sql"),
    include_str!("../../../signer/migrations/sqlite/0004_retention.sql"),
    include_str!("../../../signer/migrations/sqlite/0005_changes.sql"),
    include_str!("../../../signer/migrations/sqlite/0006_keys.sql"),
    include_str!("../../../signer/migrations/sqlite/0007_purposes.sql"),
];

/// Each table of the record with its columns there, and what they are here where that differs.
const TABLES: [(&str, &str, &str); 19] = [
    (
        "key",
        "id, institution, purpose, state, registered_at, active_from, active_until, destruction_begun_at, destroyed_at, signatures",
        "key JOIN key_use ON key_id = id",
    ),
    (
        "document",
        "institution, kind, version, bytes, loaded_at",
        "document",
    ),
    (
        "operation",
        "id, institution, kind, content, state, key_id, to_be_signed, expires_at, sign_by, object, device, policy, actor, \
         request, begun_at, ended_at, artifact, reason",
        "operation",
    ),
    (
        "new_key",
        "institution, request, purpose, asked_at, key_id, public_key, operation",
        "new_key",
    ),
    (
        "device",
        "id, operation, issuer, issuer_key, request, public_key, subscriber, serial, not_after, certificate_sha256",
        "device",
    ),
    (
        "cosigned_order",
        "operation, institution, device, jti, order_jws, currency, minor, reserved_at",
        "cosigned_order",
    ),
    (
        "acceptance",
        "institution, device, account, accepted_at",
        "acceptance",
    ),
    (
        "revocation",
        "issuer_key, sequence, device, serial, not_after, reason, revoked_at",
        "revocation",
    ),
    (
        "reissue",
        "operation, device, replaces, serial, not_after, replaced_sha256, replaced_at",
        "reissue",
    ),
    (
        "crl",
        "issuer_key, number, operation, revocations, next_update",
        "crl",
    ),
    (
        "listed",
        "issuer_key, serial, not_after, reason, revoked_at",
        "listed",
    ),
    (
        "pruned_order",
        "institution, device, jti, content, state, reason, ended_at",
        "pruned_order",
    ),
    ("removed", "key_id, kind, operations, signatures", "removed"),
    (
        "audit_prefix",
        "through, leaves, sha256, before, one",
        "(SELECT through, leaves, sha256, before, one::bigint AS one FROM audit_prefix) p",
    ),
    ("key_certificate", "key_id, der", "key_certificate"),
    (
        "change",
        "number, institution, id, sequence, state, proposed_at, expires_at, ended_at, bytes",
        "change",
    ),
    ("change_document", "change, kind, bytes", "change_document"),
    ("approval", "change, person, decision, jws, at", "approval"),
    ("audit", "seq, leaf", "audit"),
];

async fn copy(from: &Client, file: &std::path::Path) -> Result<(), Failure> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    from.batch_execute(begin).await?;
    let mut rows = Vec::new();
    for (_, columns, source) in TABLES {
        let sql = format!("SELECT {columns} FROM {source}");
        rows.push(from.query(&sql, &[]).await?);
    }
    from.batch_execute("COMMIT").await?;
    fs::File::create_new(file)?;
    let mut to = rusqlite::Connection::open(file)?;
    to.execute_batch("PRAGMA synchronous = OFF")?;
    let transaction = to.transaction()?;
    for sql in SCHEMA {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "application_id", COPY)?;
    transaction.execute("DELETE FROM audit_prefix", [])?;
    for ((table, columns, _), rows) in TABLES.into_iter().zip(rows) {
        let places = vec!["?"; columns.split(',').count()].join(", ");
        let sql = format!("INSERT INTO {table} ({columns}) VALUES ({places})");
        let mut insert = transaction.prepare(&sql)?;
        for row in &rows {
            insert.execute(rusqlite::params_from_iter(values(row)?))?;
        }
    }
    Ok(transaction.commit()?)
}

fn values(row: &Row) -> Result<Vec<Value>, Failure> {
    let value = |(place, column): (usize, &tokio_postgres::Column)| {
        let value = match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(place)?.map(Value::Integer),
            Type::TEXT => row.try_get::<_, Option<String>>(place)?.map(Value::Text),
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(place)?.map(Value::Blob),
            Type::UUID => {
                let uuid: Option<Uuid> = row.try_get(place)?;
                uuid.map(|uuid| Value::Blob(uuid.as_bytes().to_vec()))
            }
            _ => return Err(Failure::new(format!("{column:?} has no form in the copy"))),
        };
        Ok(value.unwrap_or(Value::Null))
    };
    row.columns().iter().enumerate().map(value).collect()
}
