//! A clock that a test turns: the running `signer` reads it instead of the system's, by libfaketime, which stands between
//! the program and the C library. The monotonic clock goes on as it does when somebody sets a machine's time, and the
//! test's own clock stays true.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{failure::Failure, programs};

/// The hands of one program's clock, as long as this lives.
#[derive(Debug)]
pub struct Hands {
    library: PathBuf,
    folder: TempDir,
}

impl Hands {
    /// A clock that is right.
    ///
    /// # Errors
    /// libfaketime is missing.
    pub fn new() -> Result<Self, Failure> {
        let library = programs::libfaketime()?;
        let folder = tempfile::Builder::new()
            .prefix("semops-clock-")
            // PostgreSQL reads it as another user.
            .permissions(Permissions::from_mode(0o755))
            .tempdir()?;
        let hands = Self { library, folder };
        hands.set(0)?;
        Ok(hands)
    }

    /// The same command, by this clock.
    #[must_use]
    pub fn of(&self, mut command: Command) -> Command {
        command.envs(self.environment());
        command
    }

    /// What makes a program go by it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, OsString); 4] {
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().into()),
            // Read at each look at the clock.
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// Sets it so many seconds ahead of the right time, or behind it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, ahead: i64) -> Result<(), Failure> {
        // Whole at once: the program may read at any moment.
        let next = self.folder.path().join("next");
        fs::write(&next, format!("{ahead:+}s\n"))?;
        Ok(fs::rename(next, self.file())?)
    }

    fn file(&self) -> PathBuf {
        Path::join(self.folder.path(), "ahead")
    }
}
