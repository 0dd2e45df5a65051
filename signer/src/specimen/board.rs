//! The custodians of an institution in memory: what they propose, approve and reject, and the ceremony with which they begin.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use semops_objects::{
    change::{
        Approval, Attachment, AttachmentKind, Base, CeremonyKey, ChangeFile, Decision,
        DocumentKind, DocumentName, Operation, Proposal,
    },
    institution::InstitutionId,
    jws,
    key::{KeyId, Purpose},
};
use semops_pki::{
    issuer::{Issuer, Subject},
    local_key::LocalKey,
    signed::assemble,
};
use uuid::Uuid;

use super::{Certified, NOW};
use crate::domain::ceremony::Ceremony;

pub(crate) const SCHEME: &str = "semops.example";

/// Three persons, two of whom are needed.
pub(super) const PERSONS: [&str; 3] = ["anna", "boris", "chloe"];

/// An institution's custodians with their approval keys.
pub(crate) struct Board {
    pub(crate) institution: InstitutionId,
    pub(crate) keys: [LocalKey; 3],
    pub(crate) ceremony: ChangeFile,
}

impl Board {
    /// Those of `institution`, which begins with this policy and these keys.
    pub(crate) fn new(
        institution: &InstitutionId,
        policy: String,
        mut keys: Vec<(KeyId, Purpose)>,
    ) -> Self {
        let persons = PERSONS.map(|_| LocalKey::generate().unwrap());
        keys.sort_by_key(|(id, purpose)| (*purpose, *id));
        let contents = [
            (DocumentKind::Custodians, register(institution, 1, &persons)),
            (DocumentKind::Policy, policy),
            (DocumentKind::Trust, trust(institution)),
            (DocumentKind::Callers, callers(institution)),
        ];
        let names = contents
            .each_ref()
            .map(|(kind, text)| DocumentName::of(*kind, text.as_bytes()).unwrap().1);
        let keys = keys.into_iter();
        let operation = Operation::Ceremony {
            documents: names,
            keys: keys
                .map(|(key, purpose)| CeremonyKey { key, purpose })
                .collect(),
        };
        let base = Base::of_ceremony(SCHEME, institution.clone());
        let proposal = proposal(base, operation, seconds());
        let approve = |at: usize| signed(&persons[at], PERSONS[at], &proposal, Decision::Approve);
        Self {
            institution: institution.clone(),
            ceremony: ChangeFile {
                approvals: (0..PERSONS.len()).map(approve).collect(),
                attachments: contents.into_iter().map(attachment).collect(),
                proposal,
            },
            keys: persons,
        }
    }

    /// The ceremony as the configuration pins it.
    pub(crate) fn pinned(&self) -> Ceremony {
        let file = self.ceremony.to_json();
        Ceremony::parse(file.as_bytes(), SCHEME, &self.institution).unwrap()
    }

    /// The same persons in another version of their register.
    pub(crate) fn register(&self, version: u64) -> String {
        register(&self.institution, version, &self.keys)
    }

    /// What a person, by number, says to a proposal.
    pub(crate) fn says(&self, person: usize, proposal: &Proposal, decision: Decision) -> Approval {
        signed(&self.keys[person], PERSONS[person], proposal, decision)
    }

    /// A proposal of the next version of a document, approved by these persons.
    pub(crate) fn document(
        &self,
        base: Base,
        kind: DocumentKind,
        text: &str,
        persons: &[usize],
    ) -> ChangeFile {
        let (_, name) = DocumentName::of(kind, text.as_bytes()).unwrap();
        let attachments = vec![attachment((kind, text.to_owned()))];
        self.change(base, Operation::Document(name), attachments, persons)
    }

    /// A proposal approved by these persons.
    pub(crate) fn change(
        &self,
        base: Base,
        operation: Operation,
        attachments: Vec<Attachment>,
        persons: &[usize],
    ) -> ChangeFile {
        let proposal = proposal(base, operation, seconds());
        let approve = |person: &usize| self.says(*person, &proposal, Decision::Approve);
        ChangeFile {
            approvals: persons.iter().map(approve).collect(),
            attachments,
            proposal,
        }
    }
}

pub(super) fn seconds() -> u64 {
    u64::try_from(NOW.seconds()).unwrap()
}

pub(super) fn proposal(base: Base, operation: Operation, iat: u64) -> Proposal {
    let nonce = *Uuid::new_v4().as_bytes();
    Proposal::new(base, operation, nonce, iat, iat + 86_400).unwrap()
}

pub(crate) fn signed(
    key: &LocalKey,
    person: &str,
    proposal: &Proposal,
    decision: Decision,
) -> Approval {
    let (kid, person) = (KeyId::of(key.public_key()), person.parse().unwrap());
    let institution = proposal.institution();
    let input = Approval::signing_input(
        kid,
        &person,
        institution,
        proposal.id(),
        decision,
        proposal.iat(),
    );
    let signature = key.sign_raw(input.as_bytes()).unwrap();
    Approval::parse(&jws::compact(&input, &signature)).unwrap()
}

fn attachment((kind, content): (DocumentKind, String)) -> Attachment {
    Attachment {
        kind: AttachmentKind::Document(kind),
        content,
    }
}

pub(super) fn register(institution: &InstitutionId, version: u64, keys: &[LocalKey; 3]) -> String {
    let mut text = format!("institution = \"{institution}\"\nversion = {version}\nquorum = 2\n");
    for (person, key) in PERSONS.iter().zip(keys) {
        let pem = key.public_key().to_spki_pem();
        text += &format!(
            "[[custodian]]\nperson = \"{person}\"\nname = \"{person}\"\nstate = \"active\"\napproval_keys = ['''\n{pem}''']\n"
        );
    }
    text
}

fn trust(institution: &InstitutionId) -> String {
    let (device, signing) = (Certified::root(), Certified::root());
    let issuer = Issuer::new(signing.certificate.clone()).unwrap();
    let tbs = issuer
        .crl(1, NOW.seconds(), NOW.seconds() + 86_400, &[])
        .unwrap();
    let crl = assemble(tbs.bytes(), &signing.key.sign(tbs.bytes()).unwrap());
    format!(
        "institution = \"{institution}\"\nversion = 1\ndevice_root = '''\n{}'''\nsigning_root = '''\n{}'''\nsigning_root_crl = \"{}\"\n",
        device.certificate.to_pem(),
        signing.certificate.to_pem(),
        STANDARD.encode(crl),
    )
}

fn callers(institution: &InstitutionId) -> String {
    let subject = Subject::TlsCa {
        common_name: "TLS CA",
    };
    let ca = Certified::root().issue(institution.as_str(), subject, 100);
    let pem = ca.certificate.to_pem();
    format!("institution = \"{institution}\"\nversion = 1\ntls_ca = '''\n{pem}'''\n")
}
