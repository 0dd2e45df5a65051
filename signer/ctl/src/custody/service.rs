//! What is fetched to verify an institution's history, and the documents that it names.

use std::path::{Path, PathBuf};

use semops_objects::change::{
    Attachment, AttachmentKind, ChangeFile, ChangeId, DocumentKind, DocumentName, MAX_CHANGE_FILE,
};
use semops_pki::{algorithm::sha256, certificate::Certificate};
use semops_proto::{
    client::Client,
    v1::{self, ChangeState, GetChangeRequest, GetDocumentRequest, ListChangesRequest},
};

use super::{
    Untrue,
    history::{History, Registers},
    seen,
    told::{Told, register},
};
use crate::{failure::Failure, files, profile::Profile};

/// Which ceremony is the base.
#[derive(Debug, clap::Args)]
pub struct BaseArgs {
    /// Your institution's ceremony file, instead of the profile's `ceremony`
    #[arg(long, value_name = "FILE")]
    ceremony: Option<PathBuf>,
}

impl BaseArgs {
    /// The ceremony file.
    ///
    /// # Errors
    /// None is named.
    pub fn path<'a>(&'a self, profile: &'a Profile) -> Result<&'a Path, Failure> {
        let named = self.ceremony.as_deref().or(profile.ceremony());
        named.ok_or_else(|| {
            Failure::usage(
                "no ceremony file is named, so that nothing that the service shows could be verified",
                "put `ceremony = \"FILE\"` into the profile, or give --ceremony FILE: your institution's own copy",
            )
        })
    }

    /// The institution's history as the service shows it, verified from the ceremony on, and no shorter than before.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::NotApproved`] if something is shown that was not approved.
    pub async fn history(&self, profile: &Profile, client: &Client) -> Result<History, Failure> {
        let path = self.path(profile)?;
        let ceremony = change_file(path)?;
        let told = executed(client).await?;
        let mut registers = Registers::new();
        // The ceremony's is in the file.
        for change in told
            .iter()
            .skip(1)
            .filter(|change| change.brings_register())
        {
            let (_, attachments) = shown(change.id(), client).await?;
            if let Some(bytes) = register(&attachments) {
                registers.insert(change.id(), bytes.to_vec());
            }
        }
        let history = History::verify(&ceremony, told, &registers)?;
        seen::compare(path, &history)?;
        Ok(history)
    }
}

/// Reads a change file.
///
/// # Errors
/// [`Failure::Usage`].
pub fn change_file(path: &Path) -> Result<ChangeFile, Failure> {
    let max = u64::try_from(MAX_CHANGE_FILE).unwrap_or(u64::MAX);
    ChangeFile::parse(&files::read_up_to(path, max)?).map_err(|error| {
        Failure::usage(
            format!("{}: not a change file: {error}", path.display()),
            "the ceremony made it, or `semopsctl change export`: name that file, unchanged",
        )
    })
}

/// The executed changes, the ceremony first.
async fn executed(client: &Client) -> Result<Vec<Told>, Failure> {
    let mut told = listed(ChangeState::Executed, client).await?;
    told.reverse();
    Ok(told)
}

/// Every change in this state, newest first.
///
/// # Errors
/// [`Failure`].
pub async fn listed(state: ChangeState, client: &Client) -> Result<Vec<Told>, Failure> {
    let mut all: Vec<Told> = Vec::new();
    let mut before = Vec::new();
    loop {
        let request = ListChangesRequest {
            state: state.into(),
            before,
        };
        let page = client.list_changes(request).await?.changes;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        before = sha256(&last.proposal).to_vec();
        for change in &page {
            let told = Told::of(change)?;
            if told.state != state || all.iter().any(|known| known.id() == told.id()) {
                return Err(Failure::bad_answer("other changes than asked for"));
            }
            all.push(told);
        }
    }
}

/// One change with what it names: none of it, or exactly that.
///
/// # Errors
/// [`Failure`].
pub async fn shown(id: ChangeId, client: &Client) -> Result<(Told, Vec<Attachment>), Failure> {
    let request = GetChangeRequest {
        change_id: id.as_bytes().to_vec(),
    };
    let answer = client.get_change(request).await?;
    let change = answer.change;
    let told = Told::of(&change.ok_or_else(|| Failure::bad_answer("the change is missing"))?)?;
    if told.id() != id {
        return Err(Untrue::new(format!("it shows change {} as {id}", told.id())).into());
    }
    let attachments = answer.documents.into_iter().map(attachment);
    let mut attachments = attachments.collect::<Result<Vec<_>, _>>()?;
    if !answer.certificate.is_empty() {
        let certificate = Certificate::from_der(&answer.certificate)
            .map_err(|error| Failure::bad_answer(format!("the certificate: {error}")))?;
        attachments.push(Attachment {
            kind: AttachmentKind::Certificate,
            content: certificate.to_pem(),
        });
    }
    if !attachments.is_empty() {
        told.proposal
            .check_attachments(&attachments)
            .map_err(|refusal| Untrue::new(format!("change {id}: {refusal}")))?;
    }
    Ok((told, attachments))
}

fn attachment(sent: v1::ChangeDocument) -> Result<Attachment, Failure> {
    let kind = match sent.kind() {
        v1::DocumentKind::Policy => DocumentKind::Policy,
        v1::DocumentKind::Trust => DocumentKind::Trust,
        v1::DocumentKind::Callers => DocumentKind::Callers,
        v1::DocumentKind::Custodians => DocumentKind::Custodians,
        v1::DocumentKind::Unspecified => {
            return Err(Failure::bad_answer("a document of no known kind"));
        }
    };
    Ok(Attachment {
        kind: AttachmentKind::Document(kind),
        content: String::from_utf8(sent.content)
            .map_err(|_| Failure::bad_answer("a document is not text"))?,
    })
}

/// The documents among what goes along with a proposal, as they are sent.
#[must_use]
pub fn documents(attachments: &[Attachment]) -> Vec<v1::ChangeDocument> {
    let document = |attachment: &Attachment| match attachment.kind {
        AttachmentKind::Document(of) => Some(v1::ChangeDocument {
            kind: kind(of).into(),
            content: attachment.content.clone().into_bytes(),
        }),
        AttachmentKind::Certificate | AttachmentKind::Roots => None,
    };
    attachments.iter().filter_map(document).collect()
}

/// The certificate among it, DER; nothing if there is none.
#[must_use]
pub fn certificate(attachments: &[Attachment]) -> Vec<u8> {
    let found = attachments
        .iter()
        .find(|attachment| attachment.kind == AttachmentKind::Certificate);
    let certificate = found.and_then(|found| Certificate::from_pem(&found.content).ok());
    certificate.map_or(Vec::new(), |certificate| certificate.der().to_vec())
}

/// The text of a document that the verified history names.
///
/// # Errors
/// [`Failure`]; [`Failure::NotApproved`] if other bytes are shown.
pub async fn document(name: &DocumentName, client: &Client) -> Result<String, Failure> {
    let request = GetDocumentRequest {
        kind: kind(name.kind).into(),
        version: name.version,
    };
    let content = client.get_document(request).await?.content;
    if sha256(&content) != name.sha256 {
        let what = format!("version {} of the {}", name.version, name.kind.name());
        return Err(Untrue::new(format!("{what} has other bytes than were approved")).into());
    }
    String::from_utf8(content).map_err(|_| Failure::bad_answer("a document is not text"))
}

/// The kind as messages have it.
#[must_use]
pub fn kind(kind: DocumentKind) -> v1::DocumentKind {
    match kind {
        DocumentKind::Policy => v1::DocumentKind::Policy,
        DocumentKind::Trust => v1::DocumentKind::Trust,
        DocumentKind::Callers => v1::DocumentKind::Callers,
        DocumentKind::Custodians => v1::DocumentKind::Custodians,
    }
}
