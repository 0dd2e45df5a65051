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
    // Reads go on, for what is shown is there, and quotas are lent.
    world.store.generation().await.unwrap();
    let ask = quotas::ask("alfa", 1, &[(1, 1, 60)], 1);
    for left in [1, 0] {
        let lent = quotas::lent(&*world.store, std::slice::from_ref(&ask)).await;
        assert_eq!(lent[0].requests, left);
    }
    // After a crash what nobody was told is shown as well, so nothing is, until the standby has it.
    drop(admin);
    cluster.kill().unwrap();
    cluster.start_again().unwrap();
    let shown = world.store.generation().await;
    assert!(
        matches!(&shown, Err(StoreError::Unavailable(text)) if text.contains("does not answer")),
        "{shown:?}"
    );
    let admin = Database(settings).session().await;
    let count = "SELECT 1 FROM operation WHERE kind = 'authorization' AND state = 'PENDING' HAVING count(*) = 2";
    assert!(!admin.query(count, &[]).await.unwrap().is_empty());
    let _standby = Standby::of(&cluster);
    until(
        &admin,
        "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
    )
    .await;
    world.store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_primaries_of_one_timeline_none_is_taken() {
    let (one, two) = (Cluster::start().unwrap(), Cluster::start().unwrap());
    let (mut both, other) = (database(&one).await, database(&two).await);
    assert_eq!(both.database, other.database);
    // The same server twice is one.
    both.hosts = [both.hosts.clone(), both.hosts].concat();
    PostgresStore::open(both.clone()).await.unwrap();
    both.hosts.extend(other.hosts);
    let refused = PostgresStore::open(both).await.err().unwrap();
    let why = "two servers say that they are the primary of timeline 1";
    assert!(refused.to_string().contains(why), "{refused}");
}
