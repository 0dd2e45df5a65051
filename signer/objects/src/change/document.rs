//! Owns the names of an institution's documents, and what accompanies a proposal that names them.

use std::str::FromStr;

use semops_pki::algorithm::sha256;
use serde::{Deserialize, Serialize};

use super::ChangeRefusal;
use crate::base64url;
use crate::error::{ObjectError, Rule};
use crate::institution::InstitutionId;
use crate::json::Object;

/// The longest document, in octets.
pub const MAX_DOCUMENT: usize = 8 << 20;

/// Which of the documents that rule an institution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// What the institution co-signs and enrols, with its money limits.
    Policy,
    /// Whose certificates it relies on.
    Trust,
    /// Who may call for it.
    Callers,
    /// Which persons together may change any of these.
    Custodians,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Policy, Self::Trust, Self::Callers, Self::Custodians];

    /// The word in proposals, in the store, on the command line and in audit events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Trust => "trust",
            Self::Callers => "callers",
            Self::Custodians => "custodians",
        }
    }
}

impl FromStr for DocumentKind {
    type Err = Rule;

    fn from_str(word: &str) -> Result<Self, Rule> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == word);
        found.ok_or(Rule::OneOf("policy, trust, callers, custodians"))
    }
}

/// One version of a document by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentName {
    /// Which document.
    pub kind: DocumentKind,
    /// Which version of it, from 1.
    pub version: u64,
    /// The SHA-256 of its exact bytes.
    pub sha256: [u8; 32],
}

/// What every document says of itself.
#[derive(Deserialize)]
struct Head {
    institution: InstitutionId,
    version: u64,
}

impl DocumentName {
    /// The name of the document with these bytes, and the institution that it says it is of. What else it says is for
    /// the parser of its kind.
    pub fn of(kind: DocumentKind, bytes: &[u8]) -> Result<(InstitutionId, Self), ChangeRefusal> {
        let malformed = |why: &str| ChangeRefusal::DocumentForm {
            kind,
            why: why.to_owned(),
        };
        if bytes.len() > MAX_DOCUMENT {
            return Err(malformed("it is longer than 8 MiB"));
        }
        let text = str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let head: Head = toml::from_str(text).map_err(|error| malformed(error.message()))?;
        let name = Self {
            kind,
            version: head.version,
            sha256: sha256(bytes),
        };
        Ok((head.institution, name))
    }

    /// Refuses bytes that are not those of this version of this institution's document.
    pub fn check(&self, institution: &InstitutionId, bytes: &[u8]) -> Result<(), ChangeRefusal> {
        let kind = self.kind;
        if sha256(bytes) != self.sha256 {
            return Err(ChangeRefusal::DocumentDigest { kind });
        }
        let (said, name) = Self::of(kind, bytes)?;
        if said != *institution {
            return Err(ChangeRefusal::OtherInstitution(said));
        }
        if name.version != self.version {
            return Err(ChangeRefusal::DocumentVersion {
                kind,
                found: name.version,
                expected: self.version,
            });
        }
        Ok(())
    }

    /// `kind`, `version` and `sha256` of an object.
    pub(super) fn from_members(members: &mut Object) -> Result<Self, ObjectError> {
        let kind = members.text("kind", str::parse)?;
        let (version, sha256) = version_and_digest(members)?;
        Ok(Self {
            kind,
            version,
            sha256,
        })
    }

    pub(super) fn members(&self) -> NameMembers {
        NameMembers {
            kind: self.kind.name(),
            version: self.version,
            sha256: base64url::encode(&self.sha256),
        }
    }
}

/// `version` and `sha256` of an object.
pub(super) fn version_and_digest(members: &mut Object) -> Result<(u64, [u8; 32]), ObjectError> {
    let version = members.integer("version")?;
    if version == 0 {
        return Err(members.blame("version", Rule::Zero));
    }
    Ok((version, members.octets("sha256")?))
}

#[derive(Serialize)]
pub(super) struct NameMembers {
    kind: &'static str,
    version: u64,
    sha256: String,
}

/// What an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttachmentKind {
    /// A document of the institution.
    Document(DocumentKind),
    /// The certificate of the key to which a rotation goes.
    Certificate,
    /// The roots of the scheme.
    Roots,
}

impl AttachmentKind {
    /// Its word in a change file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Document(kind) => kind.name(),
            Self::Certificate => "certificate",
            Self::Roots => "roots",
        }
    }
}

impl FromStr for AttachmentKind {
    type Err = Rule;

    fn from_str(word: &str) -> Result<Self, Rule> {
        let others = [Self::Certificate, Self::Roots];
        if let Some(found) = others.into_iter().find(|kind| kind.name() == word) {
            return Ok(found);
        }
        let rule = Rule::OneOf("policy, trust, callers, custodians, certificate, roots");
        word.parse().map(Self::Document).map_err(|_| rule)
    }
}

/// What a proposal names by its digest and is sent along with it: TOML of a document or of roots, PEM of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What it is.
    pub kind: AttachmentKind,
    /// Its exact text.
    pub content: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const POLICY: &[u8] = b"institution = \"alfa\"\nversion = 7\n[more]\nx = 1\n";

    #[test]
    fn a_document_is_named_by_its_bytes() {
        let (institution, name) = DocumentName::of(DocumentKind::Policy, POLICY).unwrap();
        assert_eq!((institution.as_str(), name.version), ("alfa", 7));
        assert_eq!(name.sha256, sha256(POLICY));
        assert_eq!(name.check(&institution, POLICY), Ok(()));
        let beta = "beta".parse().unwrap();
        let refused = |name: DocumentName, of: &InstitutionId, bytes: &[u8]| {
            let refusal = name.check(of, bytes).unwrap_err();
            refusal.reason()
        };
        assert_eq!(refused(name, &institution, b"x"), "DOCUMENT_MISMATCH");
        assert_eq!(refused(name, &beta, POLICY), "OTHER_INSTITUTION");
        let eight = DocumentName { version: 8, ..name };
        assert_eq!(refused(eight, &institution, POLICY), "DOCUMENT_MISMATCH");
        for bytes in [
            &b"\xff"[..],
            b"x",
            b"version = 1",
            b"institution = \"alfa\"",
        ] {
            assert!(DocumentName::of(DocumentKind::Policy, bytes).is_err());
        }
    }

    #[test]
    fn kinds_have_one_word_each() {
        for kind in DocumentKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(kind.name().parse(), Ok(AttachmentKind::Document(kind)));
        }
        assert_eq!("certificate".parse(), Ok(AttachmentKind::Certificate));
        assert_eq!("roots".parse(), Ok(AttachmentKind::Roots));
        assert!("Policy".parse::<DocumentKind>().is_err());
        assert!("certificate".parse::<DocumentKind>().is_err());
    }
}
