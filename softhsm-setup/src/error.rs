//! What can go wrong in a ceremony, each with the way out.

use std::io;
use std::path::PathBuf;

use semops_objects::institution::InstitutionId;
use semops_pki::error::{BadSignature, CertificateError, CrlError, LocalKeyError, ProfileError};

use crate::scheme::SchemeError;

/// Why it was not done, and what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The directory is there and not empty.
    #[error(
        "{} is not empty, and nothing is ever overwritten: name another folder, or remove this one yourself{}",
        path.display(),
        if *.unfinished { " (it has no signer.toml: a setup was cut short there)" } else { "" }
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// Whether it looks like the rest of a setup that was killed.
        unfinished: bool,
    },
    /// There is no finished directory.
    #[error("{} holds no signer.toml: name a directory that `softhsm-setup init` made", .0.display())]
    NotStanding(PathBuf),
    /// SoftHSM's configuration cannot name this directory.
    #[error("{}: SoftHSM's configuration file cannot hold a path with '#', '=' or control characters, or over 900 bytes: name another folder", .0.display())]
    UnusablePath(PathBuf),
    /// A file or folder.
    #[error("{}: {source}{}", path.display(), way_out(source))]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the directory is not what a setup writes.
    #[error("{}: {what}", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file that declares a scheme or an institution.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
    /// The executable that holds a token does not start.
    #[error("{}: {source}: leave this program where it is while it runs", program.display())]
    Program {
        /// Which one.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The PKCS#11 module is missing.
    #[error("{} is missing: run softhsm-setup/install, or name SoftHSM's module in the scheme ([hsm] module)", .0.display())]
    NoModule(PathBuf),
    /// The program `signer` is missing.
    #[error(
        "{} is missing, the program that makes the record: build it (cargo build --release --workspace --bins), name it \
         with --signer PATH, or do that step yourself (--without-record says how)",
        .0.display()
    )]
    NoSigner(PathBuf),
    /// The program `signer` did not do its part.
    #[error("signer {arguments}: {said}")]
    Signer {
        /// What it was to do.
        arguments: String,
        /// What it said.
        said: String,
    },
    /// The directory belongs to another user, who could not read what is made here.
    #[error("{} belongs to the user with id {owner}: run this as that user, as whom the signer runs", path.display())]
    NotOwner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// The directory's root keys are where they belong: offline.
    #[error(
        "the roots do this, and their keys are not here: put back {}, and take them away again afterwards",
        list(.0)
    )]
    NoRootKeys(Vec<PathBuf>),
    /// An earlier ceremony for the same institution was cut short.
    #[error(
        "signer.toml names no {institution}, but it is not new here: an earlier `add` was killed. Nothing is ever \
         overwritten: remove {}, and its token if it has one (softhsm2-util --delete-token --token {institution}, with \
         SOFTHSM2_CONF set to the directory's softhsm2.conf)",
        list(paths)
    )]
    Remains {
        /// Whose.
        institution: InstitutionId,
        /// What is there.
        paths: Vec<PathBuf>,
    },
    /// The record has a history of an institution that is said to be new.
    #[error(
        "{0} has had its ceremony in this record, and no institution begins twice: name another id, or put back the files \
         and the [[institution]] of signer.toml that it had"
    )]
    HasHistory(InstitutionId),
    /// The ceremonies are made, and could not be loaded.
    #[error(
        "{source}\nsigner.toml names the ceremonies, and nothing is taken back: once that is mended, have the signer load {} \
         (signer --config signer.toml change load FILE)",
        list(left)
    )]
    NotLoaded {
        /// Why.
        source: Box<SetupError>,
        /// Those that are not in the record.
        left: Vec<PathBuf>,
    },
    /// Another ceremony is at work in the directory.
    #[error("another softhsm-setup is at work in {}: wait for its end", .0.display())]
    Busy(PathBuf),
    /// The caller of the ceremony wants it to end.
    #[error("interrupted: what was made is taken back")]
    Interrupted,
    /// It failed, and not all of what it had made could be removed.
    #[error(
        "{source}\nand these are left, which nothing names: remove {}",
        list(left)
    )]
    Left {
        /// Why it failed.
        source: Box<SetupError>,
        /// What is left.
        left: Vec<PathBuf>,
    },
    /// A token refused.
    #[error("token {token}: {reason} (SoftHSM tells syslog more)")]
    Token {
        /// Its label.
        token: String,
        /// Why, with the PKCS#11 function.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("the system's random source failed: try again when the machine is up")]
    Random,
    /// No such caller or institution in the directory.
    #[error("the directory holds no {0}: `[[institution]]` in signer.toml says which there are")]
    Unknown(String),
    /// A key in memory.
    #[error(transparent)]
    Key(#[from] LocalKeyError),
    /// A certificate or CRL would break its profile, and was not signed.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A certificate just made is not a good one.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A CRL just made is not a good one.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// A key answered with a signature that does not verify.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => ": put it back, or name another",
        io::ErrorKind::PermissionDenied => ": run this as the user who owns it",
        io::ErrorKind::AlreadyExists => ": nothing is ever overwritten; move it away first",
        io::ErrorKind::StorageFull => ": make room there",
        _ => "",
    }
}
