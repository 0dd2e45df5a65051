//! A folder of evidence: written whole or not at all, with a list of digests that `sha256sum -c` takes, and compared with it
//! ever after.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use semops_pki::algorithm::sha256;

use crate::{
    failure::Failure,
    files::{self, FileError},
    output::text::hexadecimal,
};

/// The digest and the name of each other file in the folder, as sha256sum writes them.
const DIGESTS: &str = "SHA256SUMS";

/// What is written: bytes by the name, which may have folders before it.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    /// Nothing is there yet.
    Missing,
    /// What there is to save is not complete, and why.
    NotYet(String),
    /// These are missing, or changed since.
    Damaged(Vec<String>),
    /// As it was saved.
    Whole {
        /// How many files, the list beside them.
        files: usize,
        /// SHA-256 of the list, hexadecimal: whoever notes it down can tell later that nothing was exchanged.
        sha256: String,
    },
}

impl Folder {
    /// What is at `path`.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn look(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            return Ok(Self::Missing);
        }
        let list = match read(&path.join(DIGESTS))? {
            Some(list) => list,
            None => return Ok(Self::Damaged(vec![DIGESTS.to_owned()])),
        };
        let text = String::from_utf8_lossy(&list);
        let mut damaged = Vec::new();
        for line in text.lines() {
            let Some((digest, name)) = line.split_once("  ") else {
                return Ok(Self::Damaged(vec![DIGESTS.to_owned()]));
            };
            let found = read(&path.join(name))?;
            if found.is_none_or(|bytes| hexadecimal(&sha256(&bytes)) != digest) {
                damaged.push(name.to_owned());
            }
        }
        if !damaged.is_empty() {
            return Ok(Self::Damaged(damaged));
        }
        Ok(Self::Whole {
            files: text.lines().count(),
            sha256: hexadecimal(&sha256(&list)),
        })
    }

    /// Writes `contents` to `path`, which must not be there. What a run that died has left beside it goes.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(path: &Path, contents: &Files) -> Result<(), Failure> {
        let unfinished = unfinished(path);
        let refused = |source: io::Error| {
            Failure::from(FileError::Write {
                path: path.to_owned(),
                source,
            })
        };
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        let mut list = String::new();
        for (name, bytes) in contents {
            let file = unfinished.join(name);
            if let Some(folder) = file.parent() {
                files::make_folder(folder)?;
            }
            files::write_new(&file, bytes)?;
            list += &format!("{}  {name}\n", hexadecimal(&sha256(bytes)));
        }
        files::write_new(&unfinished.join(DIGESTS), list.as_bytes())?;
        fs::rename(&unfinished, path).map_err(refused)
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole { .. })
    }

    /// What is to be known of it.
    pub(super) fn detail(&self) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::NotYet(why) => Some(why.clone()),
            Self::Damaged(names) => Some(format!(
                "missing, or changed since: {}; keep the folder as it is, and save the evidence in another one",
                names.join(", ")
            )),
            Self::Whole { files, sha256 } => {
                Some(format!("{files} files, SHA-256 of {DIGESTS} {sha256}"))
            }
        }
    }
}

/// Where it is written until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    path.with_file_name(name)
}

/// The bytes, if the file is there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read {
            path: path.to_owned(),
            source,
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn contents() -> Files {
        let files = [("a/one.json", "1"), ("a/-two.der", "2"), ("three.csv", "3")];
        let files = files.map(|(name, bytes)| (name.to_owned(), bytes.into()));
        files.into()
    }

    #[test]
    fn what_was_saved_is_whole_until_a_file_changes_or_goes() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("evidence");
        assert_eq!(Folder::look(&path).unwrap(), Folder::Missing);
        Folder::save(&path, &contents()).unwrap();
        let whole = Folder::look(&path).unwrap();
        assert!(whole.is_whole());
        // Once it is there, nothing takes its place.
        assert!(Folder::save(&path, &contents()).is_err());
        assert_eq!(Folder::look(&path).unwrap(), whole);

        fs::write(path.join("a/one.json"), "0").unwrap();
        fs::remove_file(path.join("three.csv")).unwrap();
        let names = ["a/one.json", "three.csv"].map(str::to_owned).to_vec();
        assert_eq!(Folder::look(&path).unwrap(), Folder::Damaged(names));
        for list in ["no digest\n", "\u{0}"] {
            fs::write(path.join(DIGESTS), list).unwrap();
            let names = vec![DIGESTS.to_owned()];
            assert_eq!(Folder::look(&path).unwrap(), Folder::Damaged(names));
        }
        fs::remove_file(path.join(DIGESTS)).unwrap();
        assert!(!Folder::look(&path).unwrap().is_whole());
    }

    #[test]
    fn what_a_run_that_died_has_left_is_no_evidence() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("evidence");
        fs::create_dir(unfinished(&path)).unwrap();
        fs::write(unfinished(&path).join("old"), "old").unwrap();
        assert_eq!(Folder::look(&path).unwrap(), Folder::Missing);
        Folder::save(&path, &contents()).unwrap();
        assert!(Folder::look(&path).unwrap().is_whole());
        assert!(!path.join("old").exists() && !unfinished(&path).exists());
    }
}
