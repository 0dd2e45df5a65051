//! Owns what is tested of this store alone, against a real server: the suite, replicas that write beside each other, a
//! server that goes and comes, commits without an answer, schemas, and the plans of the statements.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    any::Any,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use proptest::prelude::*;

use super::{connect::Connector, session::Session, *};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::contract::{
    Inside, Made, World, contract, history_model, lists, money, reopening,
};

mod outages;
mod plans;
mod quotas;
mod replicas;
mod schemas;
mod standbys;
mod tls;
mod turns;

// The same as for the scenarios, which drive the programs.
#[path = "../../../../tests/src/cluster.rs"]
#[allow(dead_code, unreachable_pub, reason = "not all of it is used here")]
mod cluster;

use cluster::Cluster;

/// The version of the schema that this program needs.
const VERSION: u32 = 8;

/// One server for all tests of the process; each has a database of its own.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start().unwrap());

fn settings(cluster: &Cluster, database: &str) -> Settings {
    Settings {
        hosts: vec![(cluster.socket().to_str().unwrap().to_owned(), cluster::PORT)],
        database: database.to_owned(),
        user: cluster::ROLE.to_owned(),
        password: None,
        tls: None,
        clock: Clock::system(),
        metrics: Metrics::none(),
    }
}

/// A new database without anything in it.
async fn empty(cluster: &Cluster) -> Settings {
    let name = cluster.name();
    let admin = Connector::new(settings(cluster, "postgres"));
    let session = admin.reach().await.unwrap();
    session
        .batch(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    settings(cluster, &name)
}

/// A new database in this program's schema, which no older one serves.
async fn database(cluster: &Cluster) -> Settings {
    let settings = empty(cluster).await;
    assert_eq!(migrate(settings.clone()).await.unwrap(), VERSION);
    contract(settings.clone()).await.unwrap();
    settings
}

async fn made(settings: Settings) -> Made {
    Made {
        store: Arc::new(PostgresStore::open(settings.clone()).await.unwrap()),
        inside: Arc::new(Database(settings)),
        keep: Box::new(()),
    }
}

async fn make() -> Made {
    made(database(&CLUSTER).await).await
}

/// The same database, through connections of their own.
struct Database(Settings);

impl Database {
    async fn session(&self) -> Session {
        Connector::new(self.0.clone()).reach().await.unwrap()
    }
}

#[async_trait]
impl Inside for Database {
    async fn audit(&self) -> Vec<(i64, Vec<u8>)> {
        let rows = self
            .session()
            .await
            .query("SELECT seq, leaf FROM audit ORDER BY seq", &[])
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.session().await.one(sql, &[]).await.unwrap().get(0)
    }

    async fn refuses(&self, sql: &'static str) -> bool {
        let refused = self.session().await.execute(sql, &[]).await;
        // A UNIQUE constraint's refusal is tried again elsewhere.
        let why = refused.map_err(error::Failure::into_error);
        matches!(why, Err(StoreError::Violated(_)))
    }

    async fn activate(&self) {
        let activate = "UPDATE key SET state = 'active'";
        self.session().await.execute(activate, &[]).await.unwrap();
    }

    async fn suspend(&self, key: KeyId) {
        let suspend = "UPDATE key SET state = 'suspended' WHERE id = $1";
        let session = self.session().await;
        let key = key.as_bytes().as_slice();
        assert_eq!(session.execute(suspend, &[&key]).await.unwrap(), 1);
    }

    async fn refuse_events(&self, refuse: bool) {
        let sql = if refuse {
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''injected''; END';
             CREATE TRIGGER refused BEFORE INSERT ON audit EXECUTE FUNCTION refuse()"
        } else {
            "DROP TRIGGER refused ON audit"
        };
        self.session().await.batch(sql).await.unwrap();
    }

    async fn hold(&self) -> Box<dyn Any + Send> {
        let session = self.session().await;
        let hold = "BEGIN; LOCK TABLE audit, operation IN EXCLUSIVE MODE";
        session.batch(hold).await.unwrap();
        Box::new(session)
    }
}

contract!(make().await);

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    #[test]
    fn money_limits_follow_the_model(steps in money::steps()) {
        run(async { money::limits_follow_the_model(World::start(make().await).await, steps).await });
    }

    #[test]
    fn nothing_is_opened_again(steps in reopening::steps()) {
        run(async { reopening::nothing_is_opened_again(World::start(make().await).await, steps).await });
    }

    #[test]
    fn changes_follow_the_model(steps in history_model::steps()) {
        run(async { history_model::the_record_follows_the_model(World::start(make().await).await, steps).await });
    }

    #[test]
    fn pages_fit_together_whatever_happens_between_them(changes in lists::changes()) {
        run(async { lists::pages_fit_together(World::start(make().await).await, changes).await });
    }
}
