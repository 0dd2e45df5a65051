//! Owns the custodians of an institution at its ceremony: an approval key for each, and change 1, which every one of them
//! approves.

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
use crate::scheme::Institution;

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

/// Makes a key for each custodian, in a file for its owner alone.
pub(crate) fn make(
    ceremony: &mut Ceremony<'_>,
    institution: &Institution,
) -> Result<Vec<ApprovalKey>, SetupError> {
    let (directory, id) = (ceremony.directory, institution.id());
    let folder = directory.approval_keys(id);
    ceremony.folder(&folder)?;
    let mut keys = Vec::new();
    for person in institution.register().custodians() {
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
    let path = ceremony.directory.ceremony(institution);
    let refused = |refusal: ChangeRefusal| content(&path, &refusal);
    let scheme = &ceremony.ground.name;
    let now =
        u64::try_from(ceremony.edge.now).map_err(|_| content(&path, &"is made before 1970"))?;
    let operation = Operation::Ceremony {
        documents: documents.each_ref().map(First::name),
        keys,
    };
    let proposal = Proposal::new(
        Base::of_ceremony(scheme, institution.clone()),
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
    let file = ChangeFile {
        proposal,
        approvals,
        attachments: documents.each_ref().map(First::attached).into(),
    };
    check(&file, scheme, now).map_err(refused)?;
    ceremony.write(&path, Access::All, file.to_json().as_bytes())
}

fn check(file: &ChangeFile, scheme: &str, now: u64) -> Result<(), ChangeRefusal> {
    file.proposal.check_attachments(&file.attachments)?;
    let custodians = file.document(DocumentKind::Custodians).unwrap_or_default();
    Standing::begin(scheme, &file.proposal, &file.approvals, custodians, now).map(drop)
}
