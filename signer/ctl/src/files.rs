//! Reading the small files that commands are given, and writing those that they leave.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process,
};

use zeroize::Zeroizing;

/// The longest file that is read: far above any object, request, chain or offer, no shorter than the longest document of
/// an institution, far below what would hurt.
pub const MAX_LENGTH: u64 = 8 << 20;

/// Longer than any private key or PIN.
const MAX_SECRET: usize = 16 << 10;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading failed.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Longer than such a file is.
    #[error("{path} is longer than {max} bytes: is it the right file?")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What it may have.
        max: u64,
    },
    /// A secret that others than its owner may read or write.
    #[error("{path} is open to others than its owner (mode {mode:03o}): chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not UTF-8 where text was expected.
    #[error("{path} is not text")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Writing failed.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The bytes of `path`.
///
/// # Errors
/// [`FileError::Read`], [`FileError::TooLong`].
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_up_to(path, MAX_LENGTH)
}

/// The bytes of `path`, at most `max` of them.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    let refused = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(refused)?;
    let length = file
        .take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(refused)?;
    if u64::try_from(length).is_ok_and(|length| length <= max) {
        return Ok(bytes);
    }
    Err(FileError::TooLong {
        path: path.to_owned(),
        max,
    })
}

/// The text of `path`.
///
/// # Errors
/// As [`read`], and [`FileError::NotText`].
pub fn read_text(path: &Path) -> Result<String, FileError> {
    String::from_utf8(read(path)?).map_err(|_| FileError::NotText {
        path: path.to_owned(),
    })
}

/// The text of the secret in `path`, which must be its owner's alone; wiped from memory when it is dropped.
///
/// # Errors
/// As [`read_text`], and [`FileError::Exposed`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let refused = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(refused)?;
    let mode = file.metadata().map_err(refused)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    // Made in full length, so that no copy stays behind when it grows.
    let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET));
    let limit = u64::try_from(MAX_SECRET).unwrap_or(u64::MAX);
    match file.take(limit).read_to_string(&mut text) {
        Ok(length) if length < MAX_SECRET => Ok(text),
        Ok(_) => Err(FileError::TooLong {
            path: path.to_owned(),
            max: limit,
        }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(FileError::NotText {
            path: path.to_owned(),
        }),
        Err(error) => Err(refused(error)),
    }
}

/// The compact JWS in `path`: its text without the line end that editors and shells add.
///
/// # Errors
/// As [`read_text`].
pub fn read_jws(path: &Path) -> Result<String, FileError> {
    let mut text = read_text(path)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// Writes public material to `path`, in place of what is there.
///
/// # Errors
/// [`FileError::Write`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    fs::write(path, bytes).map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Puts `bytes` in place of what is at `path`, at once: whoever reads finds the old or the new.
///
/// # Errors
/// [`FileError::Write`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let refused = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", process::id()));
    let next = path.with_file_name(name);
    let mut file = File::create(&next).map_err(refused)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&next, path))
        .map_err(refused)
}

/// Finds out that `path` can be written, and changes nothing that is there.
///
/// # Errors
/// [`FileError::Write`].
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    let opened = File::options().append(true).create(true).open(path);
    opened.map(drop).map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Writes a secret to a file that must not exist yet, readable by its owner alone from its first moment.
///
/// # Errors
/// [`FileError::Write`]; an existing file is one.
pub fn write_new_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let refused = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(refused)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(refused)
}

/// Writes public material to a file that must not exist yet.
///
/// # Errors
/// [`FileError::Write`]; an existing file is one.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let refused = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = File::create_new(path).map_err(refused)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(refused)
}

/// Makes the folder `path` unless it is there.
///
/// # Errors
/// [`FileError::Write`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn a_secret_is_its_owners_and_never_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_new_secret(&path, b"one").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(matches!(
            write_new_secret(&path, b"two"),
            Err(FileError::Write { .. })
        ));
        assert_eq!(read(&path).unwrap(), b"one");
    }

    #[test]
    fn a_secret_that_others_can_read_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_new_secret(&path, b"one").unwrap();
        assert_eq!(*read_secret(&path).unwrap(), "one");
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_secret(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:o}")), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(*read_secret(&path).unwrap(), "one");
        let long = folder.path().join("long");
        write_new_secret(&long, &vec![b'x'; MAX_SECRET]).unwrap();
        assert!(matches!(read_secret(&long), Err(FileError::TooLong { .. })));
    }

    #[test]
    fn a_jws_loses_its_line_end_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.jws");
        write(&path, b" a.b.c \r\n").unwrap();
        assert_eq!(read_jws(&path).unwrap(), " a.b.c ");
    }

    #[test]
    fn an_endless_file_is_refused() {
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(FileError::TooLong { .. })
        ));
    }
}
