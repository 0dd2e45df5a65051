//! Owns what a proposal may ask for: a closed set of operations, each with its members in their order.

use semops_pki::certificate::Certificate;

use super::document::{DocumentKind, DocumentName};
use super::key_life::KeyOperation;
use super::scheme::SchemeOperation;
use super::{Attachment, AttachmentKind, ChangeRefusal, Quorum};
use crate::key::{KeyId, Purpose};

/// A key that the ceremony puts into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CeremonyKey {
    /// The key.
    pub key: KeyId,
    /// What it may sign.
    pub purpose: Purpose,
}

/// From one key to the next of the same purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key that signs until then.
    pub from: KeyId,
    /// The key that signs from then on.
    pub to: KeyId,
    /// SHA-256 of the DER of its certificate, which accompanies the proposal.
    pub certificate: [u8; 32],
    /// When `to` begins to sign, in Unix seconds; at once if that is before the change is executed.
    pub activate_at: u64,
    /// When `from` may sign no more, in Unix seconds: not before `activate_at`.
    pub retire_at: u64,
}

/// A key beside those that sign for the purpose already: it replaces none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// What it is to sign.
    pub purpose: Purpose,
    /// The key.
    pub key: KeyId,
    /// SHA-256 of the DER of its certificate, which accompanies the proposal.
    pub certificate: [u8; 32],
    /// When it begins to sign, in Unix seconds; at once if that is before the change is executed.
    pub activate_at: u64,
}

/// What a change publishes: a key that signs from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The key.
    pub key: KeyId,
    /// SHA-256 of the DER of its certificate, which accompanies the proposal.
    pub certificate: [u8; 32],
    /// When it begins to sign, in Unix seconds.
    pub activate_at: u64,
    /// The key in whose place it signs, if it is not beside the others.
    pub replaces: Option<KeyId>,
}

impl Publication {
    /// The certificate that accompanies the proposal: the one with this SHA-256, of the key that is published. Whether its
    /// issuer may certify that key is for whoever knows the institution's CAs.
    pub fn certificate_in(&self, attachment: &Attachment) -> Result<Certificate, ChangeRefusal> {
        let malformed = |why: &str| ChangeRefusal::Certificate(why.to_owned());
        let certificate =
            Certificate::from_pem(&attachment.content).map_err(|e| malformed(&e.to_string()))?;
        if certificate.sha256() != self.certificate {
            return Err(malformed("its SHA-256 is not the one in the proposal"));
        }
        if KeyId::of(certificate.public_key()) != self.key {
            return Err(malformed(
                "it certifies another key than the one that is named",
            ));
        }
        Ok(certificate)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The first change: everything that stands at the beginning.
    Ceremony {
        /// Custodians, policy, trust and callers, in this order.
        documents: [DocumentName; 4],
        /// The keys in use, by purpose and id.
        keys: Vec<CeremonyKey>,
    },
    /// A new version of a document.
    Document(DocumentName),
    /// Something in the life of a key.
    Key {
        /// What.
        operation: KeyOperation,
        /// Of which key.
        key: KeyId,
    },
    /// A new key, published from now on and signing from a time on.
    RotateKey(Rotation),
    /// A new key beside the others, published from now on and signing from a time on.
    AddKey(Addition),
    /// A rotation, or an addition, that is not to be, while the new key has not signed.
    CallOffRotation {
        /// The new key.
        to: KeyId,
    },
    /// A new register of custodians, by the sealed recovery key and after a delay.
    RecoverCustodians {
        /// The document's version.
        version: u64,
        /// SHA-256 of the document's exact bytes.
        sha256: [u8; 32],
    },
    /// Something in what rules the scheme itself, and no institution.
    Scheme(SchemeOperation),
}

/// The order in which a ceremony names documents.
pub(super) const CEREMONY: [DocumentKind; 4] = [
    DocumentKind::Custodians,
    DocumentKind::Policy,
    DocumentKind::Trust,
    DocumentKind::Callers,
];

impl Operation {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ceremony { .. } => "ceremony",
            Self::Document(_) => "document",
            Self::Key { operation, .. } => operation.name(),
            Self::RotateKey(_) => "rotate-key",
            Self::AddKey(_) => "add-key",
            Self::CallOffRotation { .. } => "call-off-rotation",
            Self::RecoverCustodians { .. } => "recover-custodians",
            Self::Scheme(operation) => operation.name(),
        }
    }

    /// Whether a history begins with it, and only begins with it.
    pub fn is_ceremony(&self) -> bool {
        matches!(
            self,
            Self::Ceremony { .. } | Self::Scheme(SchemeOperation::Ceremony { .. })
        )
    }

    /// The one document of an institution that it brings into force; a ceremony brings four.
    pub fn document(&self) -> Option<DocumentName> {
        match self {
            Self::Document(name) => Some(*name),
            Self::RecoverCustodians { version, sha256 } => Some(DocumentName {
                kind: DocumentKind::Custodians,
                version: *version,
                sha256: *sha256,
            }),
            Self::Ceremony { .. }
            | Self::Key { .. }
            | Self::RotateKey(_)
            | Self::AddKey(_)
            | Self::CallOffRotation { .. }
            | Self::Scheme(_) => None,
        }
    }

    /// The key that it publishes.
    pub fn publication(&self) -> Option<Publication> {
        match self {
            Self::RotateKey(rotation) => Some(Publication {
                key: rotation.to,
                certificate: rotation.certificate,
                activate_at: rotation.activate_at,
                replaces: Some(rotation.from),
            }),
            Self::AddKey(addition) => Some(Publication {
                key: addition.key,
                certificate: addition.certificate,
                activate_at: addition.activate_at,
                replaces: None,
            }),
            _ => None,
        }
    }

    /// How many must approve it: the quorum of persons; one for the suspension of a key, which is for emergencies and
    /// takes nothing away for good; for a recovery the recovery key alone.
    pub fn threshold(&self, quorum: Quorum) -> u8 {
        match self {
            Self::Key {
                operation: KeyOperation::Suspend,
                ..
            }
            | Self::RecoverCustodians { .. } => 1,
            Self::Ceremony { .. }
            | Self::Document(_)
            | Self::Key { .. }
            | Self::RotateKey(_)
            | Self::AddKey(_)
            | Self::CallOffRotation { .. }
            | Self::Scheme(_) => quorum.get(),
        }
    }

    /// What must accompany its proposal, each once.
    pub fn attachments(&self) -> Vec<AttachmentKind> {
        match self {
            Self::Ceremony { .. } => CEREMONY.map(AttachmentKind::Document).to_vec(),
            Self::Document(DocumentName { kind, .. }) => vec![AttachmentKind::Document(*kind)],
            Self::RecoverCustodians { .. } => {
                vec![AttachmentKind::Document(DocumentKind::Custodians)]
            }
            Self::RotateKey(_) | Self::AddKey(_) => vec![AttachmentKind::Certificate],
            Self::Key { .. } | Self::CallOffRotation { .. } => Vec::new(),
            Self::Scheme(operation) => operation.attachments(),
        }
    }
}
