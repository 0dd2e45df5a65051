//! Owns the roots document: the offline roots on which a scheme stands, and whether a trust document rests on them.

use std::collections::HashSet;
use std::fmt::Write as _;

use semops_pki::algorithm::sha256;
use semops_pki::certificate::Certificate;
use semops_pki::error::{CertificateError, ProfileError};
use semops_pki::profile;
use serde::Deserialize;

use super::document::Attachment;
use super::{ChangeRefusal, SchemeVersion};
use crate::key::KeyId;
use crate::trust::TrustDocument;

/// The longest roots document, in octets.
pub const MAX_ROOTS: usize = 64 << 10;

/// The most roots of one hierarchy: the one in use, the one that follows it, and those that were before.
const MOST: usize = 4;

/// One version of the roots of a scheme: those of the device hierarchy and those of the signing hierarchy, which have no
/// key in common.
#[derive(Clone, Debug)]
pub struct Roots {
    scheme: String,
    named: SchemeVersion,
    device: Vec<Certificate>,
    signing: Vec<Certificate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    scheme: String,
    version: u64,
    device_roots: Vec<String>,
    signing_roots: Vec<String>,
}

/// Why a document does not say which roots a scheme has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// Its form is wrong.
    #[error("the roots document is not accepted: {0}")]
    Form(String),
    /// No root, or too many.
    #[error("{member}: {found} roots: give 1 to {MOST}")]
    Number {
        /// `device_roots` or `signing_roots`.
        member: &'static str,
        /// How many there are.
        found: usize,
    },
    /// What stands there is no root.
    #[error("{member}[{at}]: {why}")]
    Root {
        /// `device_roots` or `signing_roots`.
        member: &'static str,
        /// Which, from 0.
        at: usize,
        /// What is wrong with it.
        why: RootMistake,
    },
    /// The bytes are not those that are named.
    #[error("the roots document is not the one whose SHA-256 is in the proposal")]
    Digest,
    /// Not the version that is named, or not the next one.
    #[error("version {found} of the roots: it must be {expected}")]
    Version {
        /// The version found.
        found: u64,
        /// The version that it must be.
        expected: u64,
    },
}

/// What is wrong with a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootMistake {
    /// It cannot be read, or is not signed with its own key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It is not what a root must be.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Its key stands there already; hierarchies are never mixed.
    #[error("its key is that of another root in this document")]
    KeyTwice,
}

impl RootsError {
    /// A stable word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Form(_) | Self::Number { .. } | Self::Root { .. } => "DOCUMENT_INVALID",
            Self::Digest | Self::Version { .. } => "DOCUMENT_MISMATCH",
        }
    }
}

impl Roots {
    /// Reads and checks a roots document (TOML, UTF-8, at most [`MAX_ROOTS`] octets). Validity is looked at when a root is
    /// used.
    pub fn parse(bytes: &[u8]) -> Result<Self, RootsError> {
        let form = read(bytes)?;
        let mut keys = HashSet::new();
        let device = hierarchy("device_roots", &form.device_roots, &mut keys)?;
        let signing = hierarchy("signing_roots", &form.signing_roots, &mut keys)?;
        Ok(Self {
            scheme: form.scheme,
            named: SchemeVersion {
                version: form.version,
                sha256: sha256(bytes),
            },
            device,
            signing,
        })
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Its version, with the SHA-256 of its exact bytes.
    pub fn named(&self) -> SchemeVersion {
        self.named
    }

    /// The roots of the device hierarchy, in the document's order.
    pub fn device(&self) -> &[Certificate] {
        &self.device
    }

    /// The roots of the signing hierarchy, in the document's order.
    pub fn signing(&self) -> &[Certificate] {
        &self.signing
    }

    /// Refuses a trust document with a root that is none of these.
    ///
    /// # Errors
    /// [`ChangeRefusal::RootNotApproved`].
    pub fn check_trust(&self, trust: &TrustDocument) -> Result<(), ChangeRefusal> {
        check("device_root", trust.device_root(), &self.device)?;
        check("signing_root", trust.signing_root(), &self.signing)
    }
}

fn check(
    member: &'static str,
    root: &Certificate,
    approved: &[Certificate],
) -> Result<(), ChangeRefusal> {
    if approved.iter().any(|one| one == root) {
        return Ok(());
    }
    let mut hexadecimal = String::new();
    for octet in root.sha256() {
        // Writing to a String does not fail.
        let _ = write!(hexadecimal, "{octet:02x}");
    }
    let root = hexadecimal;
    Err(ChangeRefusal::RootNotApproved { member, root })
}

fn read(bytes: &[u8]) -> Result<Form, RootsError> {
    let wrong = |why: &str| RootsError::Form(why.to_owned());
    if bytes.len() > MAX_ROOTS {
        return Err(wrong("it is longer than 64 KiB"));
    }
    let text = str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let form: Form = toml::from_str(text).map_err(|error| wrong(error.message()))?;
    if form.version == 0 {
        return Err(wrong("version = 0: versions begin with 1"));
    }
    Ok(form)
}

fn hierarchy(
    member: &'static str,
    pems: &[String],
    keys: &mut HashSet<KeyId>,
) -> Result<Vec<Certificate>, RootsError> {
    if !(1..=MOST).contains(&pems.len()) {
        let found = pems.len();
        return Err(RootsError::Number { member, found });
    }
    let roots = pems.iter().enumerate().map(|(at, pem)| {
        let root = root(pem, keys);
        root.map_err(|why| RootsError::Root { member, at, why })
    });
    roots.collect()
}

fn root(pem: &str, keys: &mut HashSet<KeyId>) -> Result<Certificate, RootMistake> {
    let root = Certificate::from_pem(pem)?;
    profile::check_root(&root)?;
    root.verify_issued_by(&root)?;
    if keys.insert(KeyId::of(root.public_key())) {
        Ok(root)
    } else {
        Err(RootMistake::KeyTwice)
    }
}

impl SchemeVersion {
    /// The roots with these bytes, if they are those that are named, of this scheme.
    pub(super) fn read(
        &self,
        scheme: &str,
        attachment: &Attachment,
    ) -> Result<Roots, ChangeRefusal> {
        let bytes = attachment.content.as_bytes();
        if sha256(bytes) != self.sha256 {
            return Err(RootsError::Digest.into());
        }
        let roots = Roots::parse(bytes)?;
        if roots.scheme != scheme {
            return Err(ChangeRefusal::OtherScheme(roots.scheme));
        }
        let (found, expected) = (roots.named.version, self.version);
        if found != expected {
            return Err(RootsError::Version { found, expected }.into());
        }
        Ok(roots)
    }
}
