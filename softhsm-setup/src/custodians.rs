//! Owns the custodians of an institution, or of the scheme, at the ceremony: an approval key for each, and change 1, which
//! every one of them approves.

use semops_objects::change::{
    Approval, Attachment, AttachmentKind, Base, CeremonyKey, ChangeFile, ChangeRefusal, Decision,
    DocumentKind, DocumentName, MAX_VALIDITY, Operation, PersonId, Proposal, Standing,
};
use semops_objects::institution::InstitutionId;
use semops_objects::jws;
use semops_objects::key::KeyId;
use semops_pki::algorithm::{PublicKey, sha256};
use semops_pki::local_key::LocalKey;

use crate::ceremony::Ceremony;
use crate::error::SetupError;
use crate::files::content;
use crate::made::Access;
use crate::random;
use crate::scheme::Register;

/// The approval key of a custodian.
pub(crate) struct ApprovalKey {
    person: PersonId,
    key: LocalKey,
}

impl ApprovalKey {
    pub(crate) fn person(&self) -> &PersonId {
        &self.person
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn approve(&self, proposal: &Proposal) -> Result<String, SetupError> {
        let input = Approval::signing_input(
            KeyId::of(self.public_key()),
            &self.person,
            proposal.institution(),
            proposal.id(),
            Decision::Approve,
            proposal.iat(),
        );
        Ok(jws::compact(&input, &self.key.sign_raw(input.as_bytes())?))
    }
}

/// Makes a key for each custodian of an institution, or of the scheme, in a file for its owner alone.
pub(crate) fn make(
    ceremony: &mut Ceremony<'_>,
    id: &InstitutionId,
    register: &Register,
) -> Result<Vec<ApprovalKey>, SetupError> {
    let directory = ceremony.directory;
    let folder = directory.approval_keys(id);
    ceremony.folder(&folder)?;
    let mut keys = Vec::new();
    for person in register.custodians() {
        let key = LocalKey::generate()?;
        let path = directory.approval_key(id, person);
        ceremony.write(&path, Access::Owner, key.to_pkcs8_pem()?.as_bytes())?;
        let person = person.clone();
        keys.push(ApprovalKey { person, key });
    }
    ceremony.say(&format!(
        "{id}: approval keys of {} custodians in {}: hand each to its person, keep none here",
        keys.len(),
        folder.display()
    ))?;
    Ok(keys)
}

/// A first document.
pub(crate) struct First {
    pub(crate) kind: DocumentKind,
    pub(crate) version: u64,
    pub(crate) text: String,
}

impl First {
    fn name(&self) -> DocumentName {
        DocumentName {
            kind: self.kind,
            version: self.version,
            sha256: sha256(self.text.as_bytes()),
        }
    }

    fn attached(&self) -> Attachment {
        Attachment {
            kind: AttachmentKind::Document(self.kind),
            content: self.text.clone(),
        }
    }
}

/// The kinds of documents in the order in which a ceremony names them.
pub(crate) const NAMED: [DocumentKind; 4] = [
    DocumentKind::Custodians,
    DocumentKind::Policy,
    DocumentKind::Trust,
    DocumentKind::Callers,
];

/// Writes the ceremony of an institution, approved by every custodian: its first documents, as [`NAMED`], and the keys in
/// its token. It is judged here as the signer will judge it.
pub(crate) fn write(
    ceremony: &mut Ceremony<'_>,
    institution: &InstitutionId,
    documents: &[First; 4],
    keys: Vec<CeremonyKey>,
    approval_keys: &[ApprovalKey],
) -> Result<(), SetupError> {
    let operation = Operation::Ceremony {
        documents: documents.each_ref().map(First::name),
        keys,
    };
    let attachments = documents.each_ref().map(First::attached).into();
    let file = begin(ceremony, institution, operation, attachments, approval_keys)?;
    let path = ceremony.directory.ceremony(institution);
    let at = file.proposal.iat();
    check(&file, &ceremony.ground.name, at).map_err(|refusal| content(&path, &refusal))?;
    ceremony.write(&path, Access::All, file.to_json().as_bytes())
}

/// Change 1 of an institution, or of the scheme, approved with all these keys. It is not judged here.
pub(crate) fn begin(
    ceremony: &Ceremony<'_>,
    institution: &InstitutionId,
    operation: Operation,
    attachments: Vec<Attachment>,
    approval_keys: &[ApprovalKey],
) -> Result<ChangeFile, SetupError> {
    let path = ceremony.directory.ceremony(institution);
    let refused = |refusal: ChangeRefusal| content(&path, &refusal);
    let now =
        u64::try_from(ceremony.edge.now).map_err(|_| content(&path, &"is made before 1970"))?;
    let proposal = Proposal::new(
        Base::of_ceremony(&ceremony.ground.name, institution.clone()),
        operation,
        random::octets()?,
        now,
        now.saturating_add(MAX_VALIDITY),
    )
    .map_err(|error| refused(error.into()))?;
    let mut approvals = Vec::new();
    for key in approval_keys {
        let approval = Approval::parse(&key.approve(&proposal)?);
        approvals.push(approval.map_err(|error| refused(error.into()))?);
    }
    Ok(ChangeFile {
        proposal,
        approvals,
        attachments,
    })
}

fn check(file: &ChangeFile, scheme: &str, now: u64) -> Result<(), ChangeRefusal> {
    file.proposal.check_attachments(&file.attachments)?;
    let custodians = file.document(DocumentKind::Custodians).unwrap_or_default();
    Standing::begin(scheme, &file.proposal, &file.approvals, custodians, now).map(drop)
}
