//! Where the record of a restore is, and what an operator types there: the copy, and putting it back.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{clock::Hands, cluster::Cluster, deployment::Deployment, failure::Failure};
use rusqlite::Connection;
use softhsm_setup::scheme::Scheme;

/// A deployment whose clock the test turns, and where its record is.
pub(super) struct Site {
    pub(super) deployment: Deployment,
    pub(super) hands: Hands,
    /// By the same clock; without it the record is a file.
    cluster: Option<Cluster>,
}

impl Site {
    pub(super) fn with_a_file() -> Result<Self, Failure> {
        Ok(Self {
            deployment: Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?,
            hands: Hands::new()?,
            cluster: None,
        })
    }

    pub(super) async fn with_a_database() -> Result<Self, Failure> {
        let hands = Hands::new()?;
        let cluster = Cluster::start_in(&hands.environment())?;
        let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
        deployment.keep_record_in(&cluster).await?;
        Ok(Self {
            deployment,
            hands,
            cluster: Some(cluster),
        })
    }

    /// The service, by the test's clock.
    pub(super) fn signer(&self) -> Result<Command, Failure> {
        Ok(self.hands.of(self.deployment.signer()?))
    }

    pub(super) fn backup(&self, to: &Path) -> Result<(), Failure> {
        let Some(cluster) = &self.cluster else {
            let connection = Connection::open(self.deployment.database())?;
            connection.execute("VACUUM INTO ?1", [to.to_str().unwrap()])?;
            return Ok(());
        };
        let mut dump = cluster.program("pg_dump")?;
        dump.args(["--format", "custom", &self.deployment.database_name()?]);
        ended(dump.stdout(File::create(to)?))
    }

    pub(super) fn put_back(&self, backup: &Path) -> Result<(), Failure> {
        let Some(cluster) = &self.cluster else {
            return put_file_back(&self.deployment.database(), backup);
        };
        let name = self.deployment.database_name()?;
        ended(cluster.program("dropdb")?.args(["--force", &name]))?;
        ended(cluster.program("createdb")?.arg(&name))?;
        let mut restore = cluster.program("pg_restore")?;
        restore.args(["--exit-on-error", "--dbname", &name]);
        ended(restore.stdin(File::open(backup)?))
    }

    /// What a statement that counts says.
    pub(super) async fn count(&self, sql: &str) -> Result<i64, Failure> {
        if self.cluster.is_some() {
            return self.deployment.count(sql).await;
        }
        let connection = Connection::open(self.deployment.database())?;
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    }
}

fn ended(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{command:?}: {status}")))
}

fn put_file_back(database: &Path, backup: &Path) -> Result<(), Failure> {
    for end in ["-wal", "-shm"] {
        let beside = PathBuf::from(format!("{}{end}", database.display()));
        if beside.exists() {
            fs::remove_file(beside)?;
        }
    }
    fs::copy(backup, database)?;
    Ok(())
}
