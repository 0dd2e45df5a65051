//! Owns the opening and migrating of the store that the configuration names.

use std::{num::NonZeroUsize, sync::Arc};

use crate::{
    clock::Clock,
    config,
    metrics::Metrics,
    store::{
        Store, StoreError,
        postgres::{self, PostgresStore, Settings},
        sqlite::{self, SqliteStore},
    },
};

/// Opens it for an operator's command, of which nothing is measured; `readers` is the number of threads that read a file.
///
/// # Errors
/// It is not there, is of another schema, or would lose what it answers.
pub async fn open(
    store: &config::Store,
    readers: NonZeroUsize,
    clock: Clock,
) -> Result<Arc<dyn Store>, StoreError> {
    open_measured(store, readers, clock, Metrics::none()).await
}

/// Opens it for the service.
///
/// # Errors
/// As for [`open`].
pub(super) async fn open_measured(
    store: &config::Store,
    readers: NonZeroUsize,
    clock: Clock,
    metrics: Metrics,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match store {
        config::Store::Sqlite(file) => Arc::new(SqliteStore::open(file, readers)?),
        config::Store::Postgres(postgres) => {
            Arc::new(PostgresStore::open(of(postgres, clock, metrics)).await?)
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
        config::Store::Postgres(postgres) => {
            postgres::migrate(of(postgres, clock, Metrics::none())).await
        }
    }
}

/// Shuts out programs of before this one's schema. Of a file there is nothing to do: one program serves it.
///
/// # Errors
/// It is not migrated yet, or cannot be written.
pub async fn contract(store: &config::Store, clock: Clock) -> Result<(), StoreError> {
    match store {
        config::Store::Sqlite(_) => Ok(()),
        config::Store::Postgres(postgres) => {
            postgres::contract(of(postgres, clock, Metrics::none())).await
        }
    }
}

fn of(postgres: &config::Postgres, clock: Clock, metrics: Metrics) -> Settings {
    Settings {
        hosts: postgres.hosts.clone(),
        database: postgres.database.clone(),
        user: postgres.user.clone(),
        password: postgres.password.clone(),
        tls: postgres.tls.clone(),
        clock,
        metrics,
    }
}
