//! Owns the layout of a scheme's directory: where each file is, and when a folder is taken for one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use semops_objects::ca;
use semops_objects::change::{DocumentKind, PersonId};
use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::PublicKey;

use crate::error::SetupError;
use crate::scheme::Role;

/// Folders that a directory has besides those of its institutions. `tokens` is made first: whoever makes it owns the
/// directory.
const FOLDERS: [&str; 7] = [
    "pins",
    "offline",
    "tls",
    "callers",
    CUSTODIANS,
    "documents",
    "profiles",
];
const CUSTODIANS: &str = "custodians";
const TOKENS: &str = "tokens";
/// SoftHSM reads its configuration in lines of 1024 bytes.
const MAX_PATH: usize = 900;

/// One of the three hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// Device certificates.
    Device,
    /// Authorization certificates.
    Signing,
    /// Callers and servers.
    Tls,
}

impl Hierarchy {
    /// `device`, `signing` or `tls`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Signing => "signing",
            Self::Tls => "tls",
        }
    }
}

/// The files of one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerFiles {
    /// Its chain: leaf, then TLS CA (PEM).
    pub chain: PathBuf,
    /// Its private key (PEM of PKCS#8).
    pub key: PathBuf,
    /// Its connection profile.
    pub profile: PathBuf,
}

/// A scheme's directory. Its methods give absolute paths and read nothing.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory that `init` made at `path`.
    ///
    /// # Errors
    /// [`SetupError::NotStanding`] if there is no finished one: `signer.toml` comes last. [`SetupError::File`] if the
    /// folder cannot be read.
    pub fn open(path: &Path) -> Result<Self, SetupError> {
        let path = path.canonicalize().map_err(at(path))?;
        let directory = Self { path };
        let config = directory.config();
        if !config.is_file() {
            return Err(SetupError::NotStanding(directory.path));
        }
        Ok(directory)
    }

    /// Takes an empty or missing `path` for a new directory, for its owner alone.
    pub(crate) fn create(path: &Path) -> Result<Self, SetupError> {
        check_usable(&std::path::absolute(path).map_err(at(path))?)?;
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(at(path))?;
        let path = path.canonicalize().map_err(at(path))?;
        check_usable(&path)?;
        let occupied = || SetupError::NotEmpty {
            unfinished: path.join(TOKENS).exists() && !path.join("signer.toml").exists(),
            path: path.clone(),
        };
        if fs::read_dir(&path).map_err(at(&path))?.next().is_some() {
            return Err(occupied());
        }
        let tokens = path.join(TOKENS);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder
            .create(&tokens)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => occupied(),
                _ => at(&tokens)(error),
            })?;
        Ok(Self { path })
    }

    /// The folders of a directory that has none yet but that of the tokens.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        FOLDERS.into_iter().map(|folder| self.path.join(folder))
    }

    /// The folder of an institution.
    pub(crate) fn folder(&self, institution: &InstitutionId) -> PathBuf {
        self.path.join(institution.as_str())
    }

    /// Removes what a failed setup made; the folder itself stays, empty.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The directory itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The signer's configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join("signer.toml")
    }

    /// The configuration as long as the directory is not whole.
    pub(crate) fn unfinished_config(&self) -> PathBuf {
        self.path.join("signer.toml.unfinished")
    }

    /// The record, as the configuration names it.
    pub(crate) fn record(&self) -> PathBuf {
        self.path.join("signer.db")
    }

    /// SoftHSM's configuration: the value of SOFTHSM2_CONF for the signer.
    pub fn softhsm_configuration(&self) -> PathBuf {
        self.path.join("softhsm2.conf")
    }

    /// Where SoftHSM keeps its tokens.
    pub fn tokens(&self) -> PathBuf {
        self.path.join(TOKENS)
    }

    /// The file with the user PIN of an institution's token.
    pub fn pin(&self, institution: &InstitutionId) -> PathBuf {
        self.path.join("pins").join(institution.as_str())
    }

    /// The file with the PIN of the token's security officer, who can set a new user PIN. The signer never reads it.
    pub fn so_pin(&self, institution: &InstitutionId) -> PathBuf {
        self.path.join(format!("offline/{institution}-so-pin"))
    }

    /// The folder with what is taken offline.
    pub fn offline(&self) -> PathBuf {
        self.path.join("offline")
    }

    /// The root certificate of a hierarchy (PEM).
    pub fn root(&self, hierarchy: Hierarchy) -> PathBuf {
        self.path.join(format!("{}-root.pem", hierarchy.as_str()))
    }

    /// The CRL that a root issued at the ceremony (DER).
    pub fn root_crl(&self, hierarchy: Hierarchy) -> PathBuf {
        self.path
            .join(format!("{}-root-crl.der", hierarchy.as_str()))
    }

    /// The private key of a root (PEM of PKCS#8), to be taken offline.
    pub fn root_key(&self, hierarchy: Hierarchy) -> PathBuf {
        self.path
            .join(format!("offline/{}-root-key.pem", hierarchy.as_str()))
    }

    /// The certificate of an institution's CA in a hierarchy (PEM).
    pub fn ca(&self, hierarchy: Hierarchy, institution: &InstitutionId) -> PathBuf {
        self.of(institution, &format!("{}-ca.pem", hierarchy.as_str()))
    }

    /// The certificate of a CA that came after an institution's first (PEM).
    pub fn later_ca(
        &self,
        hierarchy: Hierarchy,
        institution: &InstitutionId,
        key: &PublicKey,
    ) -> PathBuf {
        let name = ca::common_name(hierarchy.as_str(), key).replace(' ', "-");
        self.of(
            institution,
            &format!("{}.pem", name.replacen("CA", "ca", 1)),
        )
    }

    /// The first CRL of an institution's device or signing CA (DER). TLS CAs issue none: a caller is removed from the
    /// register.
    pub fn ca_crl(&self, hierarchy: Hierarchy, institution: &InstitutionId) -> PathBuf {
        self.of(institution, &format!("{}-ca-crl.der", hierarchy.as_str()))
    }

    /// The private key of an institution's TLS CA (PEM of PKCS#8).
    pub fn tls_ca_key(&self, institution: &InstitutionId) -> PathBuf {
        self.of(institution, "tls-ca-key.pem")
    }

    /// The chain of an institution's authorization key: leaf, then signing CA (PEM).
    pub fn authorization_chain(&self, institution: &InstitutionId) -> PathBuf {
        self.of(institution, "authorization-chain.pem")
    }

    /// The server's chain: leaf, then the operator's TLS CA (PEM).
    pub fn server_chain(&self) -> PathBuf {
        self.path.join("tls/server-chain.pem")
    }

    /// The server's private key (PEM of PKCS#8).
    pub fn server_key(&self) -> PathBuf {
        self.path.join("tls/server-key.pem")
    }

    /// The first document of an institution.
    pub fn first_document(&self, institution: &InstitutionId, kind: DocumentKind) -> PathBuf {
        self.document(institution, kind.name())
    }

    /// The first policy document of an institution.
    pub fn policy(&self, institution: &InstitutionId) -> PathBuf {
        self.first_document(institution, DocumentKind::Policy)
    }

    /// The first trust document of an institution.
    pub fn trust(&self, institution: &InstitutionId) -> PathBuf {
        self.first_document(institution, DocumentKind::Trust)
    }

    /// The first callers document of an institution.
    pub fn callers(&self, institution: &InstitutionId) -> PathBuf {
        self.first_document(institution, DocumentKind::Callers)
    }

    /// The first register of custodians of an institution.
    pub fn custodians(&self, institution: &InstitutionId) -> PathBuf {
        self.first_document(institution, DocumentKind::Custodians)
    }

    /// The ceremony of an institution: change 1, with all that it brings.
    pub fn ceremony(&self, institution: &InstitutionId) -> PathBuf {
        self.documents()
            .join(format!("{institution}-ceremony.json"))
    }

    /// The scheme's first roots, which its custodians rule. Its register, its ceremony and their keys are those of the
    /// institution [`InstitutionId::of_scheme`], which is none.
    pub fn scheme_roots(&self) -> PathBuf {
        self.document(&InstitutionId::of_scheme(), "roots")
    }

    /// The folder with the approval keys of all custodians, until each has been handed over.
    pub fn custodians_folder(&self) -> PathBuf {
        self.path.join(CUSTODIANS)
    }

    /// That of an institution's custodians.
    pub fn approval_keys(&self, institution: &InstitutionId) -> PathBuf {
        self.custodians_folder().join(institution.as_str())
    }

    /// The approval key of a custodian (PEM of PKCS#8).
    pub fn approval_key(&self, institution: &InstitutionId, person: &PersonId) -> PathBuf {
        self.approval_keys(institution)
            .join(format!("{person}.key"))
    }

    /// The files of a caller, whether or not there is such a caller.
    pub fn caller(&self, institution: &InstitutionId, role: Role, name: &str) -> CallerFiles {
        let stem = format!("{institution}-{role}-{name}");
        CallerFiles {
            chain: self.path.join(format!("callers/{stem}-chain.pem")),
            key: self.path.join(format!("callers/{stem}-key.pem")),
            profile: self.path.join(format!("profiles/{stem}.toml")),
        }
    }

    /// The folder with the documents of all institutions.
    pub(crate) fn documents(&self) -> PathBuf {
        self.path.join("documents")
    }

    /// A later version of an institution's trust document.
    pub fn next_trust(&self, institution: &InstitutionId, version: u64) -> PathBuf {
        self.document(institution, &format!("trust-{version}"))
    }

    fn of(&self, institution: &InstitutionId, file: &str) -> PathBuf {
        self.folder(institution).join(file)
    }

    fn document(&self, institution: &InstitutionId, kind: &str) -> PathBuf {
        self.documents().join(format!("{institution}-{kind}.toml"))
    }
}

fn check_usable(path: &Path) -> Result<(), SetupError> {
    let text = path.to_str().filter(|text| text.len() <= MAX_PATH);
    let unusable = |c: char| c == '#' || c == '=' || c.is_control();
    if text.is_none_or(|text| text.contains(unusable)) {
        return Err(SetupError::UnusablePath(path.to_owned()));
    }
    Ok(())
}

/// Names the file in an I/O error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    let path = path.to_owned();
    move |source| SetupError::File { path, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_occupied_directory_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "x").unwrap();
        let refused = Directory::create(folder.path()).unwrap_err();
        assert!(matches!(
            refused,
            SetupError::NotEmpty {
                unfinished: false,
                ..
            }
        ));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_is_taken_once_and_clearing_leaves_it_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let directory = Directory::create(&path).unwrap();
        let refused = Directory::create(&path).unwrap_err();
        assert!(matches!(
            refused,
            SetupError::NotEmpty {
                unfinished: true,
                ..
            }
        ));
        let file = directory.config();
        fs::write(&file, "1").unwrap();
        assert!(Directory::open(&path).is_ok());
        directory.clear().unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        assert!(Directory::open(&path).is_err());
    }

    #[test]
    fn a_path_that_softhsm_cannot_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a#b", "a=b", "a\nb"] {
            let refused = Directory::create(&folder.path().join(name)).unwrap_err();
            assert!(matches!(refused, SetupError::UnusablePath(_)));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
