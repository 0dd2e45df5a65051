//! Owns how an operation is written in a proposal and read from one: its members in their order.

use serde::Serialize;

use super::document::{DocumentName, NameMembers, version_and_digest};
use super::key_life::KeyOperation;
use super::operation::{Addition, CEREMONY, CeremonyKey, Operation, Rotation};
use super::scheme::{self, SchemeOperation};
use crate::base64url;
use crate::error::{ObjectError, Rule};
use crate::json::Object;
use crate::key::KeyId;

impl Operation {
    pub(super) fn from_members(mut members: Object) -> Result<Self, ObjectError> {
        let operation = match members.text("name", Name::of)? {
            Name::Ceremony => Self::Ceremony {
                documents: ceremony_documents(&mut members)?,
                keys: ceremony_keys(&mut members)?,
            },
            Name::Document => Self::Document(DocumentName::from_members(&mut members)?),
            Name::RotateKey => Self::RotateKey(rotation(&mut members)?),
            Name::AddKey => Self::AddKey(addition(&mut members)?),
            Name::CallOffRotation => Self::CallOffRotation {
                to: members.text("to", key)?,
            },
            Name::RecoverCustodians => {
                let (version, sha256) = version_and_digest(&mut members)?;
                Self::RecoverCustodians { version, sha256 }
            }
            Name::SchemeCeremony => Self::Scheme(SchemeOperation::ceremony(&mut members)?),
            Name::SchemeRoots => {
                Self::Scheme(SchemeOperation::Roots(scheme::version(&mut members)?))
            }
            Name::SchemeCustodians => {
                Self::Scheme(SchemeOperation::Custodians(scheme::version(&mut members)?))
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
            Self::RotateKey(rotation) => rotation.members(name),
            Self::AddKey(addition) => addition.members(name),
            Self::CallOffRotation { to } => Members::CallOffRotation {
                name,
                to: to.to_string(),
            },
            Self::RecoverCustodians { version, sha256 } => Members::RecoverCustodians {
                name,
                version: *version,
                sha256: base64url::encode(sha256),
            },
            Self::Scheme(operation) => Members::Scheme(operation.members()),
        }
    }
}

/// The names of operations, with what the name alone says.
enum Name {
    Ceremony,
    Document,
    RotateKey,
    AddKey,
    CallOffRotation,
    RecoverCustodians,
    SchemeCeremony,
    SchemeRoots,
    SchemeCustodians,
    ScheduleDestruction,
    Key(KeyOperation),
}

impl Name {
    fn of(word: &str) -> Result<Self, Rule> {
        match word {
            "ceremony" => Ok(Self::Ceremony),
            "document" => Ok(Self::Document),
            "rotate-key" => Ok(Self::RotateKey),
            "add-key" => Ok(Self::AddKey),
            "call-off-rotation" => Ok(Self::CallOffRotation),
            "recover-custodians" => Ok(Self::RecoverCustodians),
            scheme::CEREMONY => Ok(Self::SchemeCeremony),
            scheme::ROOTS => Ok(Self::SchemeRoots),
            scheme::CUSTODIANS => Ok(Self::SchemeCustodians),
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

fn addition(members: &mut Object) -> Result<Addition, ObjectError> {
    Ok(Addition {
        purpose: members.text("purpose", str::parse)?,
        key: members.text("key", key)?,
        certificate: members.octets("certificate")?,
        activate_at: members.integer("activate_at")?,
    })
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

impl Rotation {
    fn members(&self, name: &'static str) -> Members {
        Members::RotateKey {
            name,
            from: self.from.to_string(),
            to: self.to.to_string(),
            certificate: base64url::encode(&self.certificate),
            activate_at: self.activate_at,
            retire_at: self.retire_at,
        }
    }
}

impl Addition {
    fn members(&self, name: &'static str) -> Members {
        Members::AddKey {
            name,
            purpose: self.purpose.name(),
            key: self.key.to_string(),
            certificate: base64url::encode(&self.certificate),
            activate_at: self.activate_at,
        }
    }
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
    AddKey {
        name: &'static str,
        purpose: &'static str,
        key: String,
        certificate: String,
        activate_at: u64,
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
    Scheme(scheme::Members),
}
