//! Owns change files: a proposal with its approvals and all that accompanies it, in one file.

use serde::Serialize;

use super::approval::Approval;
use super::custodians::MAX_PERSONS;
use super::document::{Attachment, AttachmentKind};
use super::operation::Operation;
use super::proposal::Proposal;
use super::{ChangeRefusal, DocumentKind};
use crate::base64url;
use crate::error::{ObjectError, Rule};
use crate::json::Object;

/// The longest change file, in octets.
pub const MAX_CHANGE_FILE: usize = 40 << 20;

/// A change as it is kept in a file. Nothing in it is approved for being there: it is judged like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeFile {
    /// The proposal.
    pub proposal: Proposal,
    /// The decisions about it.
    pub approvals: Vec<Approval>,
    /// What accompanies it.
    pub attachments: Vec<Attachment>,
}

#[derive(Serialize)]
struct Members<'a> {
    v: u8,
    proposal: String,
    approvals: Vec<&'a str>,
    documents: Vec<AttachmentMembers<'a>>,
}

#[derive(Serialize)]
struct AttachmentMembers<'a> {
    kind: &'static str,
    content: &'a str,
}

impl<'a> AttachmentMembers<'a> {
    fn of(attachment: &'a Attachment) -> Self {
        Self {
            kind: attachment.kind.name(),
            content: &attachment.content,
        }
    }
}

impl ChangeFile {
    /// Reads a change file (JSON, at most [`MAX_CHANGE_FILE`] octets).
    pub fn parse(json: &[u8]) -> Result<Self, ObjectError> {
        if json.len() > MAX_CHANGE_FILE {
            let max = MAX_CHANGE_FILE;
            return Err(ObjectError::new("file", Rule::TooLong { max }));
        }
        let mut members = Object::parse("file", json)?;
        if members.integer("v")? != 1 {
            return Err(members.blame("v", Rule::Format));
        }
        let proposal = Proposal::parse(&members.text("proposal", base64url::decode)?)?;
        let approvals = members.texts("approvals", |jws| Ok(jws.to_owned()))?;
        if approvals.len() > MAX_PERSONS {
            return Err(members.blame("approvals", Rule::TooMany { max: MAX_PERSONS }));
        }
        let mut attachments = Vec::new();
        for mut one in members.objects("documents")? {
            attachments.push(Attachment {
                kind: one.text("kind", str::parse)?,
                content: one.text("content", |text| Ok(text.to_owned()))?,
            });
            one.finish()?;
        }
        members.finish()?;
        let approvals: Result<_, _> = approvals.iter().map(|jws| Approval::parse(jws)).collect();
        Ok(Self {
            proposal,
            approvals: approvals?,
            attachments,
        })
    }

    /// The file.
    #[expect(
        clippy::expect_used,
        reason = "serde_json fails on maps with keys that are no strings and on failing Serialize implementations; there are none here"
    )]
    pub fn to_json(&self) -> String {
        let members = Members {
            v: 1,
            proposal: base64url::encode(self.proposal.bytes()),
            approvals: self.approvals.iter().map(Approval::compact).collect(),
            documents: self.attachments.iter().map(AttachmentMembers::of).collect(),
        };
        serde_json::to_string(&members).expect("plain members serialize")
    }

    /// The bytes of a document in it.
    pub fn document(&self, kind: DocumentKind) -> Option<&[u8]> {
        let found = self.attachment(AttachmentKind::Document(kind));
        found.map(|one| one.content.as_bytes())
    }

    /// What accompanies it of this kind.
    pub(super) fn attachment(&self, kind: AttachmentKind) -> Option<&Attachment> {
        self.attachments.iter().find(|one| one.kind == kind)
    }
}

impl Proposal {
    /// Refuses attachments that are not exactly what the proposal names, each of them once. Documents are then of its
    /// institution and of their versions; what else they say is for the parser of their kind.
    pub fn check_attachments(&self, attachments: &[Attachment]) -> Result<(), ChangeRefusal> {
        let mut expected = self.operation().attachments();
        for attachment in attachments {
            let kind = attachment.kind;
            let found = expected.iter().position(|one| *one == kind);
            let found = found.ok_or(ChangeRefusal::AttachmentUnexpected(kind))?;
            expected.swap_remove(found);
            self.check_attachment(attachment)?;
        }
        match expected.first() {
            None => Ok(()),
            Some(missing) => Err(ChangeRefusal::AttachmentMissing(*missing)),
        }
    }

    fn check_attachment(&self, attachment: &Attachment) -> Result<(), ChangeRefusal> {
        let names = match self.operation() {
            Operation::Ceremony { documents, .. } => documents.to_vec(),
            Operation::RotateKey(_) | Operation::AddKey(_) => {
                let published = self.operation().publication();
                let published = published.map(|key| key.certificate_in(attachment).map(drop));
                return published.unwrap_or(Ok(()));
            }
            Operation::Scheme(operation) => {
                if let (Some(roots), AttachmentKind::Roots) = (operation.roots(), attachment.kind) {
                    return roots.read(self.scheme(), attachment).map(drop);
                }
                operation.custodians().into_iter().collect()
            }
            other => other.document().into_iter().collect(),
        };
        let of_kind = |kind| AttachmentKind::Document(kind) == attachment.kind;
        let mut named = names.iter().filter(|name| of_kind(name.kind));
        named.try_for_each(|name| name.check(self.institution(), attachment.content.as_bytes()))
    }
}
