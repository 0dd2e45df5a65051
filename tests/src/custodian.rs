//! A custodian: a person whose own key approves changes of what rules an institution, and asks the service to.

use semops_objects::{
    InstitutionId,
    change::{Approval, Attachment, AttachmentKind, Decision, DocumentKind, PersonId, Proposal},
    jws,
    key::KeyId,
};
use semops_pki::local_key::LocalKey;
use semops_proto::v1;

use crate::{deployment::unix_now, failure::Failure};

/// A proposal with what accompanies it.
#[derive(Clone, Debug)]
pub struct Motion {
    /// What is proposed.
    pub proposal: Proposal,
    /// The documents that it names.
    pub attachments: Vec<Attachment>,
}

impl Motion {
    /// The name of the change.
    #[must_use]
    pub fn change_id(&self) -> Vec<u8> {
        self.proposal.id().as_bytes().to_vec()
    }

    /// What shows it.
    #[must_use]
    pub fn request(&self) -> v1::GetChangeRequest {
        v1::GetChangeRequest {
            change_id: self.change_id(),
        }
    }
}

/// A person with an approval key.
#[derive(Debug)]
pub struct Custodian {
    /// Of which institution.
    pub institution: InstitutionId,
    /// Who.
    pub person: PersonId,
    /// The approval key.
    pub key: LocalKey,
}

impl Custodian {
    /// The `kid` of what the key signs.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        KeyId::of(self.key.public_key())
    }

    /// The decision about a proposal as a compact JWS, made now.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn decides(&self, proposal: &Proposal, decision: Decision) -> Result<String, Failure> {
        self.signs(&Approval::signing_input(
            self.kid(),
            &self.person,
            &self.institution,
            proposal.id(),
            decision,
            u64::try_from(unix_now()?)?,
        ))
    }

    /// A compact JWS over anything: for approvals that no honest person makes.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn signs(&self, signing_input: &str) -> Result<String, Failure> {
        let signature = self.key.sign_raw(signing_input.as_bytes())?;
        Ok(jws::compact(signing_input, &signature))
    }

    /// Asks for a change, and approves it.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn proposes(&self, motion: &Motion) -> Result<v1::ProposeChangeRequest, Failure> {
        let documents = motion.attachments.iter().filter_map(document);
        Ok(v1::ProposeChangeRequest {
            proposal: motion.proposal.bytes().to_vec(),
            documents: documents.collect(),
            approval: self.decides(&motion.proposal, Decision::Approve)?,
            ..Default::default()
        })
    }

    /// Approves a change.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn approves(&self, motion: &Motion) -> Result<v1::ApproveChangeRequest, Failure> {
        Ok(v1::ApproveChangeRequest {
            change_id: motion.change_id(),
            approval: self.decides(&motion.proposal, Decision::Approve)?,
        })
    }

    /// Is against a change.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn rejects(&self, motion: &Motion) -> Result<v1::RejectChangeRequest, Failure> {
        Ok(v1::RejectChangeRequest {
            change_id: motion.change_id(),
            approval: self.decides(&motion.proposal, Decision::Reject)?,
        })
    }
}

fn document(attachment: &Attachment) -> Option<v1::ChangeDocument> {
    let AttachmentKind::Document(kind) = attachment.kind else {
        return None;
    };
    let kind = match kind {
        DocumentKind::Policy => v1::DocumentKind::Policy,
        DocumentKind::Trust => v1::DocumentKind::Trust,
        DocumentKind::Callers => v1::DocumentKind::Callers,
        DocumentKind::Custodians => v1::DocumentKind::Custodians,
    };
    Some(v1::ChangeDocument {
        kind: kind.into(),
        content: attachment.content.clone().into_bytes(),
    })
}
