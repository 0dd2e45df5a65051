//! Owns what accompanies a change: that it is exactly what the proposal names, that each document says something, and its
//! form in the record.

use std::sync::Arc;

use semops_objects::{
    change::{
        Attachment, AttachmentKind, ChangeRefusal, Custodians, DocumentKind, DocumentName,
        Operation, Proposal, Publication,
    },
    trust::TrustDocument,
};
use semops_pki::certificate::Certificate;

use crate::{
    authority::gather_keys::Grounds,
    domain::change::Enclosed,
    policy::{Policy, Register},
};

/// What a document says.
#[derive(Debug)]
pub(in crate::authority) enum Content {
    /// What may be co-signed and enrolled.
    Policy(Arc<Policy>),
    /// Whom the institution trusts.
    Trust(Arc<TrustDocument>),
    /// Who may call.
    Callers(Arc<Register>),
    /// Who may change any of these.
    Custodians,
}

impl Content {
    /// Reads a document. What a trust document rests on is the scheme's.
    pub(in crate::authority) fn parse(
        kind: DocumentKind,
        bytes: &[u8],
        grounds: Grounds<'_>,
    ) -> Result<Self, ChangeRefusal> {
        let refused = |why: &dyn std::fmt::Display| ChangeRefusal::DocumentForm {
            kind,
            why: why.to_string(),
        };
        Ok(match kind {
            DocumentKind::Policy => {
                let policy = Policy::parse(bytes).map_err(|e| refused(&e))?;
                Self::Policy(Arc::new(policy))
            }
            DocumentKind::Trust => {
                let trust = TrustDocument::parse(bytes, grounds.oids).map_err(|e| refused(&e))?;
                grounds.roots.check_trust(&trust)?;
                Self::Trust(Arc::new(trust))
            }
            DocumentKind::Callers => {
                let register = Register::parse(bytes).map_err(|e| refused(&e))?;
                Self::Callers(Arc::new(register))
            }
            DocumentKind::Custodians => {
                Custodians::parse(bytes)?;
                Self::Custodians
            }
        })
    }
}

/// The documents that an operation brings into force.
pub(super) fn named(operation: &Operation) -> Vec<DocumentName> {
    match operation {
        Operation::Ceremony { documents, .. } => documents.to_vec(),
        other => other.document().into_iter().collect(),
    }
}

/// Refuses what accompanies a proposal unless it is all that it names and nothing else, and says what it should.
pub(super) fn check(
    proposal: &Proposal,
    attachments: &[Attachment],
    grounds: Grounds<'_>,
) -> Result<(), ChangeRefusal> {
    proposal.check_attachments(attachments)?;
    for Attachment { kind, content } in attachments {
        if let AttachmentKind::Document(kind) = kind {
            Content::parse(*kind, content.as_bytes(), grounds)?;
        }
    }
    Ok(())
}

/// The certificate of the key that a change publishes.
pub(super) fn certificate(
    attachments: &[Attachment],
    publication: &Publication,
) -> Result<Certificate, ChangeRefusal> {
    let mut all = attachments.iter();
    let attached = all.find(|one| one.kind == AttachmentKind::Certificate);
    let missing = ChangeRefusal::AttachmentMissing(AttachmentKind::Certificate);
    publication.certificate_in(attached.ok_or(missing)?)
}

/// The bytes of the register of custodians, if it is among them.
pub(super) fn custodians(attachments: &[Attachment]) -> Option<&[u8]> {
    let register = AttachmentKind::Document(DocumentKind::Custodians);
    let found = attachments.iter().find(|one| one.kind == register);
    found.map(|one| one.content.as_bytes())
}

/// As the record keeps them: the exact bytes of documents, the DER of a certificate.
pub(super) fn stored(
    attachments: &[Attachment],
) -> Result<Vec<(Enclosed, Vec<u8>)>, ChangeRefusal> {
    let stored = attachments.iter().map(|one| match one.kind {
        AttachmentKind::Document(kind) => {
            let bytes = one.content.clone().into_bytes();
            Ok((Enclosed::Document(kind), bytes))
        }
        AttachmentKind::Certificate => {
            let certificate = Certificate::from_pem(&one.content)
                .map_err(|e| ChangeRefusal::Certificate(e.to_string()))?;
            Ok((Enclosed::Certificate, certificate.der().to_vec()))
        }
        // What rules the scheme is kept in files, and in no institution's record.
        AttachmentKind::Roots => Err(ChangeRefusal::AttachmentUnexpected(one.kind)),
    });
    stored.collect()
}

/// The same from the record.
pub(super) fn attachments(stored: Vec<(Enclosed, Vec<u8>)>) -> Result<Vec<Attachment>, String> {
    let attached = stored.into_iter().map(|(enclosed, bytes)| match enclosed {
        Enclosed::Document(kind) => Ok(Attachment {
            kind: AttachmentKind::Document(kind),
            content: String::from_utf8(bytes).map_err(|e| e.to_string())?,
        }),
        Enclosed::Certificate => Ok(Attachment {
            kind: AttachmentKind::Certificate,
            content: Certificate::from_der(&bytes)
                .map_err(|e| e.to_string())?
                .to_pem(),
        }),
    });
    attached.collect()
}
