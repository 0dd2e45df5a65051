//! Owns what a proposal may ask for: a closed set of operations, each with its members in their order.

use semops_pki::certificate::Certificate;
use serde::Serialize;

use super::document::{DocumentKind, DocumentName, NameMembers, version_and_digest};
use super::key_life::KeyOperation;
use super::{Attachment, AttachmentKind, ChangeRefusal, Quorum};
use crate::base64url;
use crate::error::{ObjectError, Rule};
use crate::json::Object;
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

impl Rotation {
    /// The certificate that accompanies the proposal: the one with this SHA-256, of the key `to`. Whether its issuer may
    /// certify that key is for whoever knows the institution's CAs.
    pub fn certificate_in(&self, attachment: &Attachment) -> Result<Certificate, ChangeRefusal> {
        let malformed = |why: &str| ChangeRefusal::Certificate(why.to_owned());
        let certificate =
            Certificate::from_pem(&attachment.content).map_err(|e| malformed(&e.to_string()))?;
        if certificate.sha256() != self.certificate {
            return Err(malformed("its SHA-256 is not the one in the proposal"));
        }
        if KeyId::of(certificate.public_key()) != self.to {
            return Err(malformed("it certifies another key than `to`"));
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
    /// A rotation that is not to be, while the new key has not signed.
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
}

/// The order in which a ceremony names documents.
const CEREMONY: [DocumentKind; 4] = [
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
            Self::CallOffRotation { .. } => "call-off-rotation",
            Self::RecoverCustodians { .. } => "recover-custodians",
        }
    }

    /// The one document that it brings into force; a ceremony brings four.
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
            | Self::CallOffRotation { .. } => None,
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
            | Self::CallOffRotation { .. } => quorum.get(),
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
            Self::RotateKey(_) => vec![AttachmentKind::Certificate],
            Self::Key { .. } | Self::CallOffRotation { .. } => Vec::new(),
        }
    }

    pub(super) fn from_members(mut members: Object) -> Result<Self, ObjectError> {
        let operation = match members.text("name", Name::of)? {
            Name::Ceremony => Self::Ceremony {
                documents: ceremony_documents(&mut members)?,
                keys: ceremony_keys(&mut members)?,
            },
            Name::Document => Self::Document(DocumentName::from_members(&mut members)?),
            Name::RotateKey => Self::RotateKey(rotation(&mut members)?),
            Name::CallOffRotation => Self::CallOffRotation {
                to: members.text("to", key)?,
            },
            Name::RecoverCustodians => {
                let (version, sha256) = version_and_digest(&mut members)?;
                Self::RecoverCustodians { version, sha256 }
            }
            Name::ScheduleDestruction => Self::Key {
                key: members.text("key", key)?,
                operation: KeyOperation::ScheduleDestruction {
                    at: members.integer("at")?,
                },
            },
            Name::Key(operation) => Self::Key {
                key: members.text("key", key)?,
                operation,
            },
        };
        members.finish()?;
        Ok(operation)
    }

    pub(super) fn members(&self) -> Members {
        let name = self.name();
        match self {
            Self::Ceremony { documents, keys } => Members::Ceremony {
                name,
                documents: documents.iter().map(DocumentName::members).collect(),
                keys: keys.iter().map(CeremonyKey::members).collect(),
            },
            Self::Document(document) => Members::Document {
                name,
                document: document.members(),
            },
            Self::Key { operation, key } => Members::Key {
                name,
                key: key.to_string(),
                at: operation.time(),
            },
            Self::RotateKey(rotation) => Members::RotateKey {
                name,
                from: rotation.from.to_string(),
                to: rotation.to.to_string(),
                certificate: base64url::encode(&rotation.certificate),
                activate_at: rotation.activate_at,
                retire_at: rotation.retire_at,
            },
            Self::CallOffRotation { to } => Members::CallOffRotation {
                name,
                to: to.to_string(),
            },
            Self::RecoverCustodians { version, sha256 } => Members::RecoverCustodians {
                name,
                version: *version,
                sha256: base64url::encode(sha256),
            },
        }
    }
}

/// The names of operations, with what the name alone says.
enum Name {
    Ceremony,
    Document,
    RotateKey,
    CallOffRotation,
    RecoverCustodians,
    ScheduleDestruction,
    Key(KeyOperation),
}

impl Name {
    fn of(word: &str) -> Result<Self, Rule> {
        match word {
            "ceremony" => Ok(Self::Ceremony),
            "document" => Ok(Self::Document),
            "rotate-key" => Ok(Self::RotateKey),
            "call-off-rotation" => Ok(Self::CallOffRotation),
            "recover-custodians" => Ok(Self::RecoverCustodians),
            "schedule-destruction" => Ok(Self::ScheduleDestruction),
            _ => KeyOperation::named(word)
                .map(Self::Key)
                .ok_or(Rule::OneOf("the operations of this version")),
        }
    }
}

fn key(text: &str) -> Result<KeyId, Rule> {
    Ok(text.parse()?)
}

fn ceremony_documents(members: &mut Object) -> Result<[DocumentName; 4], ObjectError> {
    let mut names = Vec::new();
    for mut one in members.objects("documents")? {
        names.push(DocumentName::from_members(&mut one)?);
        one.finish()?;
    }
    <[DocumentName; 4]>::try_from(names)
        .ok()
        .filter(|names| names.map(|name| name.kind) == CEREMONY)
        .ok_or_else(|| members.blame("documents", Rule::CeremonyDocuments))
}

fn ceremony_keys(members: &mut Object) -> Result<Vec<CeremonyKey>, ObjectError> {
    let mut keys: Vec<CeremonyKey> = Vec::new();
    for mut one in members.objects("keys")? {
        keys.push(CeremonyKey {
            key: one.text("key", key)?,
            purpose: one.text("purpose", str::parse)?,
        });
        one.finish()?;
    }
    let each_once = keys
        .iter()
        .map(|one| one.key)
        .collect::<std::collections::HashSet<_>>();
    let sorted = keys.is_sorted_by_key(|one| (one.purpose, one.key));
    if !sorted || each_once.len() != keys.len() {
        return Err(members.blame("keys", Rule::CeremonyKeys));
    }
    Ok(keys)
}

fn rotation(members: &mut Object) -> Result<Rotation, ObjectError> {
    let rotation = Rotation {
        from: members.text("from", key)?,
        to: members.text("to", key)?,
        certificate: members.octets("certificate")?,
        activate_at: members.integer("activate_at")?,
        retire_at: members.integer("retire_at")?,
    };
    if rotation.to == rotation.from {
        return Err(members.blame("to", Rule::SameKey));
    }
    if rotation.retire_at < rotation.activate_at {
        return Err(members.blame("retire_at", Rule::RetiresEarly));
    }
    Ok(rotation)
}

impl CeremonyKey {
    fn members(&self) -> KeyMembers {
        KeyMembers {
            key: self.key.to_string(),
            purpose: self.purpose.name(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct KeyMembers {
    key: String,
    purpose: &'static str,
}

/// The members as they are written.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Members {
    Ceremony {
        name: &'static str,
        documents: Vec<NameMembers>,
        keys: Vec<KeyMembers>,
    },
    Document {
        name: &'static str,
        #[serde(flatten)]
        document: NameMembers,
    },
    Key {
        name: &'static str,
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
    },
    RotateKey {
        name: &'static str,
        from: String,
        to: String,
        certificate: String,
        activate_at: u64,
        retire_at: u64,
    },
    CallOffRotation {
        name: &'static str,
        to: String,
    },
    RecoverCustodians {
        name: &'static str,
        version: u64,
        sha256: String,
    },
}
