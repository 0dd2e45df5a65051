//! Owns what a failure of SQLite means to the callers of the store, and what its operator can do about it.

use rusqlite::ErrorCode;

use crate::store::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return Self::Busy,
            Some(ErrorCode::ConstraintViolation) => return Self::Violated(error.to_string()),
            Some(ErrorCode::DiskFull) => {
                "its disk is full: free space there, nothing else is needed"
            }
            Some(ErrorCode::ReadOnly) => {
                "its file cannot be written: check the file's mode, its owner and the mount"
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                "its file cannot be opened: check that it and its folder belong to this user"
            }
            Some(ErrorCode::SystemIoFailure) => {
                "its disk fails or has become read-only: see the kernel's log, check the file system, mount it for writing"
            }
            Some(ErrorCode::OutOfMemory) => "no memory is left for it: give the service more",
            Some(ErrorCode::FileLockingProtocolFailed | ErrorCode::NoLargeFileSupport) => {
                "its file system does not lock as SQLite needs: use a local one"
            }
            _ => return Self::Corrupt(error.to_string()),
        };
        Self::Unavailable(format!("{advice} ({error})"))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn of(code: std::ffi::c_int) -> StoreError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn what_the_disk_does_is_unavailable_and_says_what_to_do() {
        for (code, advice) in [
            (ffi::SQLITE_FULL, "free space"),
            (ffi::SQLITE_READONLY, "check the file's mode"),
            (ffi::SQLITE_IOERR, "check the file system"),
            (ffi::SQLITE_IOERR_FSYNC, "check the file system"),
            (ffi::SQLITE_CANTOPEN, "belong to this user"),
        ] {
            assert!(
                matches!(of(code), StoreError::Unavailable(text) if text.contains(advice)),
                "{code}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_corrupt_and_what_is_locked_is_busy() {
        assert!(matches!(of(ffi::SQLITE_CORRUPT), StoreError::Corrupt(_)));
        assert!(matches!(of(ffi::SQLITE_NOTADB), StoreError::Corrupt(_)));
        assert!(matches!(of(ffi::SQLITE_BUSY), StoreError::Busy));
        assert!(matches!(
            of(ffi::SQLITE_CONSTRAINT_UNIQUE),
            StoreError::Violated(_)
        ));
    }
}
