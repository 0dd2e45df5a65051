//! Owns the founding of a scheme: its custodians with their keys, and change 1 of its own history, which puts its roots in
//! force. The signer reads it from its file: no institution's record has it.

use semops_objects::change::{
    Attachment, AttachmentKind, DocumentKind, Operation, SchemeOperation, SchemeStanding,
    SchemeVersion,
};
use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::sha256;
use semops_pki::certificate::Certificate;

use crate::ceremony::Ceremony;
use crate::custodians;
use crate::documents;
use crate::error::SetupError;
use crate::files::content;
use crate::made::Access;
use crate::scheme::Register;

/// Makes the custodians' keys, and writes their register, the roots and the ceremony. It is judged here as the signer will
/// judge it.
pub(crate) fn write(
    ceremony: &mut Ceremony<'_>,
    register: &Register,
    device: &Certificate,
    signing: &Certificate,
) -> Result<(), SetupError> {
    let (directory, id) = (ceremony.directory, InstitutionId::of_scheme());
    let approval_keys = custodians::make(ceremony, &id, register)?;
    let register = documents::custodians(&id, 1, register.quorum(), &approval_keys);
    let roots = documents::roots(ceremony.ground, device, signing);
    let path = directory.custodians(&id);
    ceremony.write(&path, Access::All, register.as_bytes())?;
    ceremony.write(&directory.scheme_roots(), Access::All, roots.as_bytes())?;
    let operation = Operation::Scheme(SchemeOperation::Ceremony {
        custodians: first(&register),
        roots: first(&roots),
    });
    let kinds = [
        AttachmentKind::Document(DocumentKind::Custodians),
        AttachmentKind::Roots,
    ];
    let attachments = kinds.into_iter().zip([register, roots]);
    let attachments = attachments.map(|(kind, content)| Attachment { kind, content });
    let attachments = attachments.collect();
    let file = custodians::begin(ceremony, &id, operation, attachments, &approval_keys)?;
    let (path, at) = (directory.ceremony(&id), file.proposal.iat());
    let file = [file];
    SchemeStanding::of(&ceremony.ground.name, &file, at).map_err(|error| content(&path, &error))?;
    let [file] = file;
    ceremony.write(&path, Access::All, file.to_json().as_bytes())?;
    ceremony.say(&format!(
        "{id}: roots version 1; its ceremony, approved by all its custodians, is {}",
        path.display()
    ))
}

fn first(document: &str) -> SchemeVersion {
    SchemeVersion {
        version: 1,
        sha256: sha256(document.as_bytes()),
    }
}
