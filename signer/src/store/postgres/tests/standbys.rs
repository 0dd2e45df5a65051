//! Owns what is tested of a primary with a standby: a commit is answered only when both have it, or nothing is recorded.

use std::{
    process::{Child, Stdio},
    time::Duration,
};

use super::*;
use crate::store::{StoreError, contract::T0};

/// What takes a primary's log as a standby does, until it is dropped.
struct Standby(Child);

impl Standby {
    fn of(cluster: &Cluster) -> Self {
        let mut command = cluster.program("pg_receivewal").unwrap();
        command.args(["--directory=standby", "--synchronous"]);
        // By its own name the signer takes it for what backups are made with.
        command.env("PGAPPNAME", "standby");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(child.spawn().unwrap())
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn until(session: &Session, sql: &'static str) {
    while session.query(sql, &[]).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_waited_for_or_the_primary_refused() {
    let cluster = Cluster::start().unwrap();
    let settings = database(&cluster).await;
    let admin = Database(settings.clone()).session().await;
    let standby = Standby::of(&cluster);
    until(
        &admin,
        "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'",
    )
    .await;
    let refused = PostgresStore::open(settings.clone()).await.err().unwrap();
    assert!(
        refused.to_string().contains("synchronous_standby_names"),
        "{refused}"
    );

    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = 'standby'",
        "SELECT pg_reload_conf()",
    ] {
        admin.batch(sql).await.unwrap();
    }
    until(
        &admin,
        "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
    )
    .await;
    let world = World::start(made(settings.clone()).await).await;
    let device = world.accepted_phone().await;
    world.record(world.order(device, T0), T0).await;

    // Nobody is told that something is recorded which the standby does not have.
    drop(standby);
    until(
        &admin,
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_replication)",
    )
    .await;
    let begun = world.store.begin(vec![world.order(device, T0)], T0).await;
    assert!(
        matches!(&begun, Err(StoreError::Unavailable(text)) if text.contains("does not answer")),
        "{begun:?}"
    );
    // Reads go on, and so does everything when it is back.
    world.store.generation().await.unwrap();
    let _standby = Standby::of(&cluster);
    until(
        &admin,
        "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
    )
    .await;
    world.store.ping().await.unwrap();
}
