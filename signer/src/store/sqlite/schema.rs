//! Owns how a database file is made, brought to this program's schema, and opened. One SQL file per version; a version
//! that was released never changes.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use crate::store::StoreError;

/// The versions, from 1.
const MIGRATIONS: [&str; 7] = [
    include_str!("../../../migrations/sqlite/0001_record.sql"),
    include_str!("../../../migrations/sqlite/0002_lists.sql"),
    include_str!("../../../migrations/sqlite/0003_restore.sql"),
    include_str!("../../../migrations/sqlite/0004_retention.sql"),
    include_str!("../../../migrations/sqlite/0005_changes.sql"),
    include_str!("../../../migrations/sqlite/0006_keys.sql"),
    include_str!("../../../migrations/sqlite/0007_purposes.sql"),
];

/// How long a transaction waits for another process (an operator's command) that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// More than the statements of all verbs.
const CACHED_STATEMENTS: usize = 128;

/// Memory for pages, of each connection that needs as much; negative as SQLite counts KiB.
const CACHE_KIB: i64 = -64 * 1024;

/// Pages in the log before they are copied into the file: 32 MiB, replayed in a fraction of a second after a crash.
const CHECKPOINT_PAGES: u32 = 8 * 1024;

/// The version of the schema that this program reads and writes.
fn needed() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Makes the file if it is not there (mode 0600) and brings it to the schema of this program, all or nothing. Doing it
/// again changes nothing, also beside a running server. Answers the version.
///
/// # Errors
/// [`StoreError::Schema`] when a newer program has been here, [`StoreError::Unavailable`] when the file cannot be written.
pub fn migrate(path: &Path) -> Result<u32, StoreError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            StoreError::Unavailable(format!(
                "{} cannot be made: {error}; check its folder",
                path.display()
            ))
        })?;
    let mut connection = connect(path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let Some(missing) = usize::try_from(found)
        .ok()
        .and_then(|found| MIGRATIONS.get(found..))
    else {
        return Err(StoreError::Schema {
            found,
            needed: needed(),
        });
    };
    for sql in missing {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "user_version", needed())?;
    transaction.commit()?;
    Ok(needed())
}

/// Opens the file, which must be there in the schema of this program.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        let text = format!(
            "{} does not exist: put it back if it ever was there, or make a new one with `signer --config FILE migrate`",
            path.display()
        );
        return Err(StoreError::Unavailable(text));
    }
    let connection = connect(path)?;
    let found = version(&connection)?;
    if found == needed() {
        Ok(connection)
    } else {
        Err(StoreError::Schema {
            found,
            needed: needed(),
        })
    }
}

fn version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let text = format!(
            "its file system offers journal mode {mode} only, and WAL is needed: use a local one"
        );
        return Err(StoreError::Unavailable(text));
    }
    // A commit that was answered survives the loss of power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // An index is entered at random places: its pages are kept, and copied from the log into the file more seldom.
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is not kept any longer does not stand on in pages that are free.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Otherwise a cached statement is parsed and planned again for each new value that is bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn migrating_is_idempotent_and_the_file_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.db");
        assert_eq!(migrate(&path).unwrap(), 7);
        let connection = open(&path).unwrap();
        connection
            .execute("UPDATE generation SET value = 7", [])
            .unwrap();
        assert_eq!(migrate(&path).unwrap(), 7);
        let kept: u64 = connection
            .query_row("SELECT value FROM generation", [], |row| row.get(0))
            .map(i64::cast_unsigned)
            .unwrap();
        assert_eq!(kept, 7);
        for name in ["signer.db", "signer.db-wal", "signer.db-shm"] {
            let mode = folder
                .path()
                .join(name)
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn another_schema_is_refused_by_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.db");
        migrate(&path).unwrap();
        open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 8)
            .unwrap();
        assert!(matches!(
            open(&path),
            Err(StoreError::Schema {
                found: 8,
                needed: 7
            })
        ));
        assert!(matches!(
            migrate(&path),
            Err(StoreError::Schema {
                found: 8,
                needed: 7
            })
        ));
    }

    #[test]
    fn what_was_never_migrated_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.db");
        assert!(
            matches!(open(&path), Err(StoreError::Unavailable(text)) if text.contains("migrate"))
        );
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(
            open(&path),
            Err(StoreError::Schema {
                found: 0,
                needed: 7
            })
        ));
        std::fs::write(&path, [7; 4096]).unwrap();
        assert!(matches!(open(&path), Err(StoreError::Corrupt(_))));
        assert!(matches!(
            migrate(&folder.path().join("no/signer.db")),
            Err(StoreError::Unavailable(_))
        ));
    }

    /// A file of version 1 with an order that was signed, one that was not, and a CRL.
    fn version_1(path: &Path) {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection
            .execute_batch(
                "INSERT INTO key VALUES (zeroblob(32), 'alfa', 'authorization', 'suspended'),
                     (CAST(zeroblob(31) || x'01' AS BLOB), 'alfa', 'device-ca', 'active'),
                     (CAST(zeroblob(31) || x'02' AS BLOB), 'alfa', 'signing-ca', 'active');
                 INSERT INTO operation SELECT seq, 'alfa', kind, zeroblob(32), state, key_id, x'00', 9, 9, seq, NULL, NULL,
                     'schedule', 'r', 1, 2, artifact, reason FROM (
                     SELECT 1 AS seq, 'authorization' AS kind, 'AUTHORIZED' AS state, zeroblob(32) AS key_id,
                         x'11' AS artifact, NULL AS reason
                     UNION ALL SELECT 2, 'authorization', 'AUTHORIZED', zeroblob(32), x'12', NULL
                     UNION ALL SELECT 3, 'authorization', 'FAILED', zeroblob(32), NULL, 'OVERDUE'
                     UNION ALL SELECT 4, 'crl', 'AUTHORIZED', CAST(zeroblob(31) || x'01' AS BLOB), x'13', NULL);
                 PRAGMA user_version = 1;",
            )
            .unwrap();
    }

    #[test]
    fn version_1_is_refused_until_it_is_brought_here_with_all_that_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.db");
        version_1(&path);
        let refused = open(&path).unwrap_err();
        assert!(matches!(
            refused,
            StoreError::Schema {
                found: 1,
                needed: 7
            }
        ));
        assert!(refused.to_string().contains("migrate"), "{refused}");
        for _ in 0..2 {
            assert_eq!(migrate(&path).unwrap(), 7);
        }
        let connection = open(&path).unwrap();
        let keys: Vec<(String, String, i64, Option<i64>)> = connection
            .prepare("SELECT purpose, state, signatures, registered_at FROM key ORDER BY id")
            .unwrap()
            .query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let key = |purpose: &str, state: &str, signatures| {
            (purpose.to_owned(), state.to_owned(), signatures, None)
        };
        assert_eq!(
            keys,
            [
                key("authorization", "suspended", 2),
                key("device-ca", "active", 1),
                key("signing-ca", "active", 0)
            ]
        );
        let operations: i64 = connection
            .query_row("SELECT count(*) FROM operation", [], |row| row.get(0))
            .unwrap();
        assert_eq!(operations, 4);
    }

    #[test]
    fn keys_and_documents_have_the_new_words_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.db");
        version_1(&path);
        migrate(&path).unwrap();
        let connection = open(&path).unwrap();
        let states = [
            ("pre-activation", true),
            ("active", true),
            ("suspended", true),
            ("deactivated", true),
            ("compromised", true),
            ("destroyed", true),
            ("retired", false),
        ];
        for (state, known) in states {
            let taken = connection.execute("UPDATE key SET state = ?1", [state]);
            assert_eq!(taken.is_ok(), known, "{state}");
        }
        for (kind, known) in [("custodians", true), ("callers", true), ("keys", false)] {
            let insert = "INSERT INTO document VALUES ('alfa', ?1, 1, x'', 1)";
            assert_eq!(connection.execute(insert, [kind]).is_ok(), known, "{kind}");
        }
        for purpose in ["ocsp", "audit", "statement", "device-ca", "other"] {
            let taken = connection.execute("UPDATE key SET purpose = ?1", [purpose]);
            assert_eq!(taken.is_ok(), purpose != "other", "{purpose}");
            let asked = "INSERT INTO new_key (institution, request, purpose, asked_at) \
                VALUES ('alfa', randomblob(16), ?1, 1)";
            let asked = connection.execute(asked, [purpose]);
            assert_eq!(asked.is_ok(), purpose != "other", "{purpose}");
        }
        for kind in ["key-certificate", "certification-request", "ocsp-response"] {
            let taken = connection.execute("UPDATE operation SET kind = ?1", [kind]);
            assert_eq!(taken.is_ok(), kind != "ocsp-response", "{kind}");
        }
        let whole: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(whole, "ok");
    }

    #[test]
    fn the_old_program_can_still_write_what_the_new_one_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.db");
        migrate(&path).unwrap();
        let connection = open(&path).unwrap();
        // Version 1's own statements name every column that they set.
        for sql in [
            "INSERT INTO key (id, institution, purpose, state) VALUES (zeroblob(32), 'alfa', 'device-ca', 'active')",
            "INSERT INTO document (institution, kind, version, bytes, loaded_at) VALUES ('alfa', 'policy', 1, x'', 1)",
        ] {
            connection.execute(sql, []).unwrap();
        }
    }
}
