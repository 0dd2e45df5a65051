//! Owns whether the files that were opened still stand at their path. SQLite in WAL mode writes on into files that were
//! moved or deleted, and what was answered would be gone with the process: so nothing is committed to such.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::store::StoreError;

/// The database and its write-ahead log, as they were when they were opened.
#[derive(Clone, Debug)]
pub(super) struct Place([File; 2]);

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    found: (u64, u64),
}

impl Place {
    /// Where the database `path` and its log are now; a connection to it must be open, for the log comes with it.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        // "The Write-Ahead Log": the database's name with "-wal" appended.
        let mut log = OsString::from(path);
        log.push("-wal");
        Ok(Self([File::at(path.into())?, File::at(log.into())?]))
    }

    /// Fails unless both are still there.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.0.iter().try_for_each(File::check)
    }
}

impl File {
    fn at(path: PathBuf) -> Result<Self, StoreError> {
        match identity(&path) {
            Ok(found) => Ok(Self { path, found }),
            Err(error) => Err(StoreError::Unavailable(format!(
                "{}: {error}",
                path.display()
            ))),
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Ok(found) if found == self.found => Ok(()),
            _ => Err(StoreError::Unavailable(format!(
                "{} is not the file that was opened: move that one back, nothing else is needed; if it was deleted, copy \
                 it from /proc/{}/fd before this process ends",
                self.path.display(),
                std::process::id()
            ))),
        }
    }
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
