//! Owns ChangeService: its messages to and from the use cases.

use std::collections::BTreeSet;

use semops_objects::change::{
    Approval, Attachment, AttachmentKind, ChangeFile, ChangeId, Decision, MAX_DOCUMENT, Proposal,
};
use semops_pki::certificate::Certificate;
use semops_proto::v1::{self, change_service_server::ChangeService};
use tonic::{Request, Response, Status};

use crate::{
    authority::{ChangeShown, Deciding, Listing},
    domain::change::{ChangeState, StoredChange},
    error::Error,
    rpc::{
        call::Desk,
        documents::{kind, kind_code},
        field::{self, invalid},
    },
};

/// Answers ChangeService.
pub(crate) struct Changes(pub(crate) Desk);

#[tonic::async_trait]
impl ChangeService for Changes {
    async fn propose_change(
        &self,
        request: Request<v1::ProposeChangeRequest>,
    ) -> Result<Response<v1::ProposeChangeResponse>, Status> {
        self.0
            .run(request, proposing, |authority, ctx, ask| async move {
                let change = Some(shown(authority.propose_change(&ctx, ask).await?));
                Ok(v1::ProposeChangeResponse { change })
            })
            .await
    }

    async fn approve_change(
        &self,
        request: Request<v1::ApproveChangeRequest>,
    ) -> Result<Response<v1::ApproveChangeResponse>, Status> {
        self.0
            .run(request, approving, |authority, ctx, ask| async move {
                let change = Some(shown(authority.decide_change(&ctx, ask).await?));
                Ok(v1::ApproveChangeResponse { change })
            })
            .await
    }

    async fn reject_change(
        &self,
        request: Request<v1::RejectChangeRequest>,
    ) -> Result<Response<v1::RejectChangeResponse>, Status> {
        self.0
            .run(request, rejecting, |authority, ctx, ask| async move {
                let change = Some(shown(authority.decide_change(&ctx, ask).await?));
                Ok(v1::RejectChangeResponse { change })
            })
            .await
    }

    async fn get_change(
        &self,
        request: Request<v1::GetChangeRequest>,
    ) -> Result<Response<v1::GetChangeResponse>, Status> {
        self.0
            .run(request, change_request, |authority, ctx, id| async move {
                with_attachments(authority.change(&ctx, id).await?)
            })
            .await
    }

    async fn list_changes(
        &self,
        request: Request<v1::ListChangesRequest>,
    ) -> Result<Response<v1::ListChangesResponse>, Status> {
        self.0
            .run(request, listing, |authority, ctx, ask| async move {
                let changes = authority.changes(&ctx, ask).await?;
                Ok(v1::ListChangesResponse {
                    changes: changes.into_iter().map(shown).collect(),
                })
            })
            .await
    }
}

pub(super) fn proposing(message: v1::ProposeChangeRequest) -> Result<ChangeFile, Error> {
    let proposal = Proposal::parse(&message.proposal).map_err(|why| invalid("proposal", why))?;
    let mut kinds = BTreeSet::new();
    let mut attachments = Vec::with_capacity(message.documents.len());
    for (at, document) in message.documents.into_iter().enumerate() {
        let path = |member: &str| format!("documents[{at}].{member}");
        let kind = kind(&path("kind"), document.kind)?;
        if !kinds.insert(kind) {
            return Err(invalid(path("kind"), "stands there twice"));
        }
        if document.content.len() > MAX_DOCUMENT {
            return Err(invalid(path("content"), "must be at most 8 MiB long"));
        }
        let content = String::from_utf8(document.content);
        attachments.push(Attachment {
            kind: AttachmentKind::Document(kind),
            content: content.map_err(|_| invalid(path("content"), "must be UTF-8"))?,
        });
    }
    if !message.certificate.is_empty() {
        let certificate = Certificate::from_der(&message.certificate);
        attachments.push(Attachment {
            kind: AttachmentKind::Certificate,
            content: certificate
                .map_err(|why| invalid("certificate", why))?
                .to_pem(),
        });
    }
    Ok(ChangeFile {
        proposal,
        approvals: vec![decision(&message.approval, Decision::Approve)?],
        attachments,
    })
}

pub(super) fn approving(message: v1::ApproveChangeRequest) -> Result<Deciding, Error> {
    Ok(Deciding {
        change: id("change_id", &message.change_id)?,
        approval: decision(&message.approval, Decision::Approve)?,
    })
}

pub(super) fn rejecting(message: v1::RejectChangeRequest) -> Result<Deciding, Error> {
    Ok(Deciding {
        change: id("change_id", &message.change_id)?,
        approval: decision(&message.approval, Decision::Reject)?,
    })
}

pub(super) fn change_request(message: v1::GetChangeRequest) -> Result<ChangeId, Error> {
    id("change_id", &message.change_id)
}

pub(super) fn listing(message: v1::ListChangesRequest) -> Result<Listing, Error> {
    use v1::ChangeState as S;
    let state = match S::try_from(message.state) {
        Ok(S::Unspecified) => None,
        Ok(S::Pending) => Some(ChangeState::Pending),
        Ok(S::Executed) => Some(ChangeState::Executed),
        Ok(S::Rejected) => Some(ChangeState::Rejected),
        Ok(S::Superseded) => Some(ChangeState::Superseded),
        Ok(S::Expired) => Some(ChangeState::Expired),
        Err(_) => return Err(invalid("state", "must be one of ChangeState")),
    };
    let before = message.before.as_slice();
    let before = (!before.is_empty()).then(|| id("before", before));
    Ok(Listing {
        state,
        before: before.transpose()?,
    })
}

fn id(name: &str, octets: &[u8]) -> Result<ChangeId, Error> {
    let sha256 = octets.try_into().map(ChangeId::new);
    sha256.map_err(|_| {
        invalid(
            name,
            "must be 32 octets: the SHA-256 of the proposal's bytes",
        )
    })
}

/// An approval of this decision: whoever calls ApproveChange approves, and nothing else.
fn decision(jws: &str, decision: Decision) -> Result<Approval, Error> {
    let approval = Approval::parse(jws).map_err(|why| invalid("approval", why))?;
    if approval.decision() != decision {
        let rule = format!("must have the decision {:?}", decision.name());
        return Err(field::invalid("approval.payload.decision", rule));
    }
    Ok(approval)
}

fn shown(change: StoredChange) -> v1::Change {
    let decisions = change.decisions.into_iter();
    v1::Change {
        proposal: change.bytes,
        approvals: decisions.map(|decision| decision.jws).collect(),
        state: state(change.state).into(),
        proposed_at: change.proposed_at.seconds(),
        ended_at: change.ended_at.map_or(0, |at| at.seconds()),
    }
}

fn state(state: ChangeState) -> v1::ChangeState {
    match state {
        ChangeState::Pending => v1::ChangeState::Pending,
        ChangeState::Executed => v1::ChangeState::Executed,
        ChangeState::Rejected => v1::ChangeState::Rejected,
        ChangeState::Superseded => v1::ChangeState::Superseded,
        ChangeState::Expired => v1::ChangeState::Expired,
    }
}

fn with_attachments(change: ChangeShown) -> Result<v1::GetChangeResponse, Error> {
    let mut answer = v1::GetChangeResponse {
        change: Some(shown(change.change)),
        ..v1::GetChangeResponse::default()
    };
    for Attachment { kind, content } in change.attachments {
        match kind {
            AttachmentKind::Document(kind) => answer.documents.push(v1::ChangeDocument {
                kind: kind_code(kind).into(),
                content: content.into_bytes(),
            }),
            AttachmentKind::Certificate => {
                let certificate = Certificate::from_pem(&content).map_err(Error::internal)?;
                answer.certificate = certificate.der().to_vec();
            }
            AttachmentKind::Roots => {
                return Err(Error::internal("roots in an institution's record"));
            }
        }
    }
    Ok(answer)
}
