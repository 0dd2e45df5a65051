//! Owns what a proposal may ask for in a scheme itself: who rules it, and on which roots it stands.

use serde::Serialize;

use super::document::{AttachmentKind, DocumentKind, DocumentName, version_and_digest};
use crate::base64url;
use crate::error::ObjectError;
use crate::json::Object;

/// The names of the operations.
pub(super) const CEREMONY: &str = "scheme-ceremony";
pub(super) const ROOTS: &str = "scheme-roots";
pub(super) const CUSTODIANS: &str = "scheme-custodians";

/// One version of the scheme's roots or of its register by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemeVersion {
    /// Which version, from 1.
    pub version: u64,
    /// The SHA-256 of its exact bytes.
    pub sha256: [u8; 32],
}

/// What is to be done in a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemeOperation {
    /// The first change: who rules the scheme, and its roots.
    Ceremony {
        /// The register of custodians.
        custodians: SchemeVersion,
        /// The roots.
        roots: SchemeVersion,
    },
    /// The next version of the roots.
    Roots(SchemeVersion),
    /// The next version of the register of custodians.
    Custodians(SchemeVersion),
}

impl SchemeOperation {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ceremony { .. } => CEREMONY,
            Self::Roots(_) => ROOTS,
            Self::Custodians(_) => CUSTODIANS,
        }
    }

    /// The roots that it brings into force.
    pub fn roots(&self) -> Option<SchemeVersion> {
        match self {
            Self::Ceremony { roots, .. } | Self::Roots(roots) => Some(*roots),
            Self::Custodians(_) => None,
        }
    }

    /// The register of custodians that it brings into force.
    pub fn custodians(&self) -> Option<DocumentName> {
        let (Self::Ceremony { custodians, .. } | Self::Custodians(custodians)) = self else {
            return None;
        };
        Some(DocumentName {
            kind: DocumentKind::Custodians,
            version: custodians.version,
            sha256: custodians.sha256,
        })
    }

    pub(super) fn attachments(&self) -> Vec<AttachmentKind> {
        let register = AttachmentKind::Document(DocumentKind::Custodians);
        let register = self.custodians().map(|_| register);
        let roots = self.roots().map(|_| AttachmentKind::Roots);
        register.into_iter().chain(roots).collect()
    }

    /// The members of a ceremony.
    pub(super) fn ceremony(members: &mut Object) -> Result<Self, ObjectError> {
        let mut of = |name| {
            let mut one = members.object(name)?;
            let named = version(&mut one)?;
            one.finish()?;
            Ok(named)
        };
        Ok(Self::Ceremony {
            custodians: of("custodians")?,
            roots: of("roots")?,
        })
    }

    pub(super) fn members(&self) -> Members {
        let name = self.name();
        match self {
            Self::Ceremony { custodians, roots } => Members::Ceremony {
                name,
                custodians: custodians.members(),
                roots: roots.members(),
            },
            Self::Roots(named) | Self::Custodians(named) => Members::Version {
                name,
                named: named.members(),
            },
        }
    }
}

/// `version` and `sha256` of an object.
pub(super) fn version(members: &mut Object) -> Result<SchemeVersion, ObjectError> {
    let (version, sha256) = version_and_digest(members)?;
    Ok(SchemeVersion { version, sha256 })
}

impl SchemeVersion {
    fn members(&self) -> VersionMembers {
        VersionMembers {
            version: self.version,
            sha256: base64url::encode(&self.sha256),
        }
    }
}

#[derive(Serialize)]
pub(super) struct VersionMembers {
    version: u64,
    sha256: String,
}

/// The members as they are written.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Members {
    Ceremony {
        name: &'static str,
        custodians: VersionMembers,
        roots: VersionMembers,
    },
    Version {
        name: &'static str,
        #[serde(flatten)]
        named: VersionMembers,
    },
}
