//! Owns what a ceremony makes: each file and folder is new, for nothing is ever overwritten, and all of it can be taken
//! back.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::directory::at;
use crate::error::SetupError;

/// Who may read a file.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// Its owner alone: mode 0600.
    Owner,
    /// Everybody who may enter the directory: mode 0644.
    All,
}

/// What was made so far.
pub(crate) struct Made {
    paths: Vec<PathBuf>,
    tokens: PathBuf,
    /// What is in `tokens` of others. SoftHSM names the folder of a new token itself.
    older_tokens: BTreeSet<OsString>,
}

impl Made {
    /// Nothing yet; tokens will come in the folder `tokens`.
    pub(crate) fn nothing(tokens: PathBuf) -> Result<Self, SetupError> {
        let older_tokens = names(&tokens).map_err(at(&tokens))?;
        Ok(Self {
            paths: Vec::new(),
            tokens,
            older_tokens,
        })
    }

    /// Makes a folder that is not there yet, for its owner alone.
    pub(crate) fn folder(&mut self, path: &Path) -> Result<(), SetupError> {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(at(path))?;
        self.paths.push(path.to_owned());
        Ok(())
    }

    /// Writes a file that is not there yet.
    pub(crate) fn file(
        &mut self,
        path: &Path,
        access: Access,
        content: &[u8],
    ) -> Result<(), SetupError> {
        let mode = match access {
            Access::Owner => 0o600,
            Access::All => 0o644,
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(path).map_err(at(path))?;
        self.paths.push(path.to_owned());
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(at(path))
    }

    /// Removes a file that was needed for a while only.
    pub(crate) fn remove(&mut self, path: &Path) -> Result<(), SetupError> {
        fs::remove_file(path).map_err(at(path))?;
        self.paths.retain(|made| made != path);
        Ok(())
    }

    /// Takes everything back; gives what could not be removed.
    pub(crate) fn take_back(self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        for path in self.paths.iter().rev() {
            let removed = match path.symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
                _ => fs::remove_file(path),
            };
            if removed.is_err() {
                left.push(path.clone());
            }
        }
        let tokens = names(&self.tokens).unwrap_or_default();
        for token in tokens.difference(&self.older_tokens) {
            let path = self.tokens.join(token);
            if fs::remove_dir_all(&path).is_err() {
                left.push(path);
            }
        }
        left
    }
}

fn names(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_was_there_stays_and_what_was_made_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("tokens/older")).unwrap();
        fs::write(path("mine"), "mine").unwrap();
        let mut made = Made::nothing(path("tokens")).unwrap();
        let refused = made
            .file(&path("mine"), Access::All, b"theirs")
            .unwrap_err();
        assert!(
            refused.to_string().contains("ever overwritten"),
            "{refused}"
        );
        made.folder(&path("new")).unwrap();
        assert!(made.folder(&path("new")).is_err());
        made.file(&path("new/file"), Access::Owner, b"1").unwrap();
        made.file(&path("passing"), Access::All, b"2").unwrap();
        made.remove(&path("passing")).unwrap();
        fs::create_dir_all(path("tokens/newer/keys")).unwrap();
        assert!(made.take_back().is_empty());
        let left: Vec<_> = ["mine", "new", "passing", "tokens/older", "tokens/newer"]
            .map(|name| path(name).exists())
            .into();
        assert_eq!(left, [true, false, false, true, false]);
        assert_eq!(fs::read(path("mine")).unwrap(), b"mine");
    }

    #[test]
    fn what_cannot_be_removed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("tokens")).unwrap();
        let mut made = Made::nothing(path("tokens")).unwrap();
        made.folder(&path("new")).unwrap();
        fs::write(path("new/of another"), "").unwrap();
        assert_eq!(made.take_back(), [path("new")]);
    }
}
