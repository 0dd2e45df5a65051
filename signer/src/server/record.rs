//! Owns the opening and migrating of the store that the configuration names.

use std::{num::NonZeroUsize, sync::Arc};

use crate::{
    clock::Clock,
    config,
    store::{
        Store, StoreError,
        postgres::{self, PostgresStore, Settings},
        sqlite::{self, SqliteStore},
    },
};

/// Opens it; `readers` is the number of threads that read a file.
///
/// # Errors
/// It is not there, is of another schema, or would lose what it answers.
pub async fn open(
    store: &config::Store,
    readers: NonZeroUsize,
    clock: Clock,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match store {
        config::Store::Sqlite(file) => Arc::new(SqliteStore::open(file, readers)?),
        config::Store::Postgres(postgres) => {
            Arc::new(PostgresStore::open(of(postgres, clock)).await?)
        }
    })
}

/// Makes it, or brings it to the schema of this program. Answers the version.
///
/// # Errors
/// A newer program has been here, or it cannot be written.
pub async fn migrate(store: &config::Store, clock: Clock) -> Result<u32, StoreError> {
    match store {
        config::Store::Sqlite(file) => sqlite::migrate(file),
        config::Store::Postgres(postgres) => postgres::migrate(of(postgres, clock)).await,
    }
}

fn of(postgres: &config::Postgres, clock: Clock) -> Settings {
    Settings {
        hosts: postgres.hosts.clone(),
        database: postgres.database.clone(),
        user: postgres.user.clone(),
        password: postgres.password.clone(),
        tls: postgres.tls.clone(),
        clock,
    }
}
