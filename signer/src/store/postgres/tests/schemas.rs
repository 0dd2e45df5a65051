//! Owns what is tested of schemas: made once, refused when they do not fit, and served by two versions at a time.

use super::*;
use uuid::Uuid;

use crate::{
    domain::key::Purpose,
    store::{Asked, KeyAsk, StoreError},
};

async fn said(settings: &Settings, sql: &str) {
    let session = Database(settings.clone()).session().await;
    session.batch(sql).await.unwrap();
}

async fn refused(settings: &Settings) -> StoreError {
    match PostgresStore::open(settings.clone()).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn migrating_is_idempotent_also_at_once_and_beside_a_server() {
    let settings = empty(&CLUSTER).await;
    let unmade = refused(&settings).await;
    assert!(matches!(
        unmade,
        StoreError::Schema {
            found: 0,
            needed: VERSION
        }
    ));
    assert!(unmade.to_string().contains("migrate"), "{unmade}");
    let migrations = (0..4).map(|_| tokio::spawn(migrate(settings.clone())));
    for migration in migrations.collect::<Vec<_>>() {
        assert_eq!(migration.await.unwrap().unwrap(), VERSION);
    }
    let store = PostgresStore::open(settings.clone()).await.unwrap();
    said(&settings, "UPDATE generation SET value = 7").await;
    assert_eq!(migrate(settings).await.unwrap(), VERSION);
    assert_eq!(store.generation().await.unwrap(), 7);
}

/// What a next version would be: a column that the old program does not name.
const EXPAND: &str = "ALTER TABLE cosigned_order ADD COLUMN note text; UPDATE schema_version SET version = version + 1";
/// And, once no old program serves any more, what it would not know.
const CONTRACT: &str = "ALTER TABLE cosigned_order ALTER COLUMN note SET DEFAULT ''; UPDATE schema_version \
    SET version = version + 1, serves_from = version";

#[tokio::test]
async fn an_expanded_schema_is_served_and_a_contracted_one_is_not() {
    let settings = database(&CLUSTER).await;
    let world = World::start(made(settings.clone()).await).await;
    said(&settings, EXPAND).await;
    // One that ran before goes on, one that starts now does too.
    let device = world.accepted_phone().await;
    world
        .record(
            world.order(device, crate::store::contract::T0),
            crate::store::contract::T0,
        )
        .await;
    PostgresStore::open(settings.clone()).await.unwrap();
    said(&settings, CONTRACT).await;
    let refused = refused(&settings).await;
    let contracted = VERSION + 2;
    assert!(matches!(
        refused,
        StoreError::Schema {
            found,
            needed: VERSION
        } if found == contracted
    ));
    // Nor does the old program take the database back.
    let back = migrate(settings).await;
    assert!(matches!(
        back,
        Err(StoreError::Schema {
            found,
            needed: VERSION
        }) if found == contracted
    ));
}

#[tokio::test]
async fn a_server_that_would_lose_commits_is_refused() {
    let cluster = Cluster::start_with(&["synchronous_commit=off"]).unwrap();
    let settings = empty(&cluster).await;
    migrate(settings.clone()).await.unwrap();
    let early = refused(&settings).await;
    assert!(
        early.to_string().contains("synchronous_commit = on"),
        "{early}"
    );
    let sql = format!(
        "ALTER DATABASE {} SET synchronous_commit = on",
        settings.database
    );
    said(&settings, &sql).await;
    PostgresStore::open(settings.clone()).await.unwrap();
    // What is not there, or does not let in, is told apart from what cannot be read.
    for (other, advice) in [
        (
            Settings {
                database: "none".into(),
                ..settings.clone()
            },
            "createdb",
        ),
        (
            Settings {
                user: "nobody".into(),
                ..settings.clone()
            },
            "pg_hba.conf",
        ),
        (
            Settings {
                hosts: vec![("/nowhere".into(), 1)],
                ..settings
            },
            "not reached",
        ),
    ] {
        let error = refused(&other).await;
        assert!(
            matches!(&error, StoreError::Unavailable(text) if text.contains(advice)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn keys_of_new_purposes_come_after_the_programs_that_cannot_read_them() {
    let settings = empty(&CLUSTER).await;
    migrate(settings.clone()).await.unwrap();
    let world = World::start(made(settings.clone()).await).await;
    let asked = async |request: u128, purpose| {
        let ask = KeyAsk {
            institution: "alfa".parse().unwrap(),
            request: Uuid::from_u128(request),
            purpose,
            generation: world.store.generation().await.unwrap(),
        };
        let (origin, now) = (crate::store::contract::origin(), crate::store::contract::T0);
        let asked = world.store.ask_for_key(ask, origin, now);
        asked.await.unwrap()
    };
    for (number, purpose) in (1..).zip(Purpose::ALL) {
        let early = asked(number, purpose).await == Asked::Early;
        let new = matches!(purpose, Purpose::Ocsp | Purpose::Audit | Purpose::Statement);
        assert_eq!(early, new, "{purpose:?}");
    }
    contract(settings).await.unwrap();
    for (number, purpose) in (1..).zip(Purpose::ALL) {
        assert!(matches!(asked(number, purpose).await, Asked::Asked(_)));
    }
}
