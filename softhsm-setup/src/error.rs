//! What can go wrong in a ceremony.

use std::io;
use std::path::PathBuf;

use semops_pki::error::{BadSignature, CertificateError, CrlError, LocalKeyError, ProfileError};

/// Why there is no directory, or no certificate, and what to try.
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
    /// SoftHSM's configuration cannot name this directory.
    #[error("{}: SoftHSM's configuration file cannot hold a path with '#', '=' or control characters, or over 900 bytes", .0.display())]
    UnusablePath(PathBuf),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
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
    /// The executable that holds a token does not start.
    #[error("{}: {source}", program.display())]
    Program {
        /// Which one.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The PKCS#11 module is missing.
    #[error("{} is missing: run softhsm-setup/install, or name SoftHSM's module in the scheme ([hsm] module)", .0.display())]
    NoModule(PathBuf),
    /// A token refused.
    #[error("token {token}: {reason}")]
    Token {
        /// Its label.
        token: String,
        /// Why, with the PKCS#11 function.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    Random,
    /// No such caller or institution in the directory.
    #[error("the directory holds no {0}")]
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
