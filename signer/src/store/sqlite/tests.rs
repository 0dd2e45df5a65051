//! Owns what is tested of this store alone: the suite, the plans of its statements, a crash, and other processes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{any::Any, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::{
    domain::document::{Document, DocumentKind},
    store::{
        Changes as _, Refusal,
        contract::{
            Inside, Made, T0, World, contract, history_model, lists, money, origin, reopening,
        },
    },
};

mod crash;
mod plans;

const READERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn make() -> Made {
    make_file().0
}

fn make_file() -> (Made, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signer.db");
    migrate(&path).unwrap();
    let store = Arc::new(SqliteStore::open(&path, READERS).unwrap());
    (
        Made {
            store,
            inside: Arc::new(File(path.clone())),
            keep: Box::new(folder),
        },
        path,
    )
}

/// The same file, through a connection of its own: another process as far as SQLite can tell.
struct File(PathBuf);

impl File {
    fn open(&self) -> Connection {
        schema::open(&self.0).unwrap()
    }
}

#[async_trait]
impl Inside for File {
    async fn audit(&self) -> Vec<(i64, Vec<u8>)> {
        let connection = self.open();
        let mut statement = connection
            .prepare("SELECT seq, leaf FROM audit ORDER BY seq")
            .unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.open().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    async fn refuses(&self, sql: &'static str) -> bool {
        let refused = self.open().execute(sql, []);
        matches!(refused, Err(rusqlite::Error::SqliteFailure(error, _))
            if error.code == rusqlite::ErrorCode::ConstraintViolation)
    }

    async fn activate(&self) {
        let activate = "UPDATE key SET state = 'active'";
        self.open().execute(activate, []).unwrap();
    }

    async fn suspend(&self, key: KeyId) {
        assert_eq!(
            self.open()
                .execute(
                    "UPDATE key SET state = 'suspended' WHERE id = ?1",
                    [key.as_bytes()]
                )
                .unwrap(),
            1
        );
    }

    async fn refuse_events(&self, refuse: bool) {
        let sql = if refuse {
            "CREATE TRIGGER refused BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'injected'); END"
        } else {
            "DROP TRIGGER refused"
        };
        self.open().execute_batch(sql).unwrap();
    }

    async fn hold(&self) -> Box<dyn Any + Send> {
        let connection = self.open();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(connection)
    }
}

contract!(make());

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn money_limits_follow_the_model(steps in money::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { money::limits_follow_the_model(World::start(make()).await, steps).await });
    }

    #[test]
    fn nothing_is_opened_again(steps in reopening::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { reopening::nothing_is_opened_again(World::start(make()).await, steps).await });
    }

    #[test]
    fn changes_follow_the_model(steps in history_model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { history_model::the_record_follows_the_model(World::start(make()).await, steps).await });
    }

    #[test]
    fn pages_fit_together_whatever_happens_between_them(changes in lists::changes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { lists::pages_fit_together(World::start(make()).await, changes).await });
    }
}

#[tokio::test]
async fn a_write_waits_for_another_process() {
    let made = make();
    let hold = made.inside.hold().await;
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(hold);
    });
    made.store.ping().await.unwrap();
    release.join().unwrap();
    // Reads never wait for a writer.
    let _hold = made.inside.hold().await;
    made.store.generation().await.unwrap();
}

#[tokio::test]
async fn what_another_process_loads_is_seen_at_once() {
    let (made, path) = make_file();
    let world = World::start(made).await;
    let device = world.accepted_phone().await;
    let operator = SqliteStore::open(&path, READERS).unwrap();
    let (institution, kind) = (world.alfa.clone(), DocumentKind::Policy);
    let document = Document {
        institution,
        kind,
        version: 1,
        bytes: b"policy".to_vec(),
    };
    let change = world.enacting(&document).await;
    operator.propose(change, origin(), T0).await.unwrap();
    assert_eq!(world.generation().await, 1);
    assert!(matches!(
        world.begin(world.order(device, T0), T0).await,
        Begun::Refused(Refusal::Stale)
    ));
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_passes() {
    let (made, path) = make_file();
    // The file is as large as it may be, which to SQLite is a full disk.
    let store = SqliteStore::open(&path, READERS).unwrap();
    let bound = |connection: &Connection| {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        Ok(connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
    };
    store.threads.write(bound).await.unwrap();
    let fill = |connection: &Connection| {
        Ok(connection.execute("INSERT INTO audit (leaf) VALUES (zeroblob(100000))", [])?)
    };
    let full = store.threads.write(fill).await;
    assert!(
        matches!(&full, Err(StoreError::Unavailable(text)) if text.contains("free space")),
        "{full:?}"
    );
    // Reads never stopped, and writes go on as soon as there is room.
    store.generation().await.unwrap();
    store.ping().await.unwrap();
    drop(made);
}

#[tokio::test]
async fn a_file_that_was_taken_away_takes_nothing_until_it_is_back() {
    let (made, path) = make_file();
    made.store.ping().await.unwrap();
    for name in ["signer.db", "signer.db-wal"] {
        let (file, aside) = (path.with_file_name(name), path.with_file_name("aside"));
        std::fs::rename(&file, &aside).unwrap();
        let gone = made.store.ping().await;
        assert!(
            matches!(&gone, Err(StoreError::Unavailable(text)) if text.contains(name) && text.contains("move that one back")),
            "{gone:?}"
        );
        // Another file at the path is not the one.
        std::fs::copy(&aside, &file).unwrap();
        assert!(matches!(
            made.store.ping().await,
            Err(StoreError::Unavailable(_))
        ));
        // What was recorded is still read.
        made.store.generation().await.unwrap();
        std::fs::rename(&aside, &file).unwrap();
        made.store.ping().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_unreadable_is_corrupt() {
    let (made, path) = make_file();
    let world = World::start(made).await;
    let device = world.phone().await;
    let connection = Connection::open(path).unwrap();
    connection
        .execute("UPDATE device SET subscriber = 'no reference'", [])
        .unwrap();
    let read = world.store.device(&world.alfa, device).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
}

#[tokio::test]
async fn no_replica_shares_a_file_so_nothing_is_lent_of_it() {
    let made = make();
    assert_eq!(
        made.store.lend(&[], crate::limits::lend).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn dropping_the_store_closes_the_file() {
    let (made, path) = make_file();
    made.store.ping().await.unwrap();
    let wal = path.with_extension("db-wal");
    assert!(wal.exists());
    drop(made.store);
    // The last connection to close puts the log into the file.
    assert!(!wal.exists());
}
