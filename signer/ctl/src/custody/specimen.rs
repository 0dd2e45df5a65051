//! An institution for tests: three persons with their keys, a ceremony, and changes that they made.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use semops_objects::{
    change::{
        Approval, Attachment, AttachmentKind, Base, CeremonyKey, ChangeFile, Decision,
        DocumentKind, DocumentName, KeyOperation, Operation, Proposal, RECOVERY,
    },
    jws,
    key::{KeyId, Purpose},
};
use semops_pki::local_key::LocalKey;
use semops_proto::v1::ChangeState;

use super::{
    history::{History, Registers},
    told::Told,
};

/// When the ceremony was.
pub(crate) const BEGAN: u64 = 1_800_000_000;
/// How long proposals wait.
const WAITS: u64 = 3 * 86_400;
const PERSONS: [&str; 3] = ["anna-berg", "boris-chan", "chloe-diaz"];
const KINDS: [DocumentKind; 4] = [
    DocumentKind::Custodians,
    DocumentKind::Policy,
    DocumentKind::Trust,
    DocumentKind::Callers,
];

pub(crate) struct World {
    pub(crate) keys: Vec<LocalKey>,
    pub(crate) ceremony: ChangeFile,
    /// As an honest service shows them, the ceremony first.
    pub(crate) told: Vec<Told>,
    pub(crate) registers: Registers,
}

/// The id of a signing key that exists nowhere.
pub(crate) fn key_id(number: u8) -> KeyId {
    KeyId::new([number; 32])
}

pub(crate) fn document(kind: DocumentKind, version: u64, more: &str) -> Attachment {
    Attachment {
        kind: AttachmentKind::Document(kind),
        content: format!("institution = \"alfa\"\nversion = {version}\n{more}"),
    }
}

pub(crate) fn name(document: &Attachment) -> DocumentName {
    let AttachmentKind::Document(kind) = document.kind else {
        unreachable!("documents alone are named here");
    };
    DocumentName::of(kind, document.content.as_bytes())
        .unwrap()
        .1
}

impl World {
    /// With its ceremony alone.
    pub(crate) fn new() -> Self {
        let keys: Vec<LocalKey> = PERSONS.map(|_| LocalKey::generate().unwrap()).into();
        let register = document(DocumentKind::Custodians, 1, &persons(&keys));
        let documents = KINDS.map(|kind| match kind {
            DocumentKind::Custodians => register.clone(),
            kind => document(kind, 1, ""),
        });
        let operation = Operation::Ceremony {
            documents: [0, 1, 2, 3].map(|index: usize| name(&documents[index])),
            keys: vec![CeremonyKey {
                key: key_id(1),
                purpose: Purpose::Authorization,
            }],
        };
        let alfa = "alfa".parse().unwrap();
        let base = Base::of_ceremony("semops.example", alfa);
        let proposal = Proposal::new(base, operation, [0; 16], BEGAN, BEGAN + WAITS).unwrap();
        let mut world = Self {
            ceremony: ChangeFile {
                proposal: proposal.clone(),
                approvals: Vec::new(),
                attachments: documents.into(),
            },
            keys,
            told: Vec::new(),
            registers: Registers::new(),
        };
        let approvals =
            [0, 1, 2].map(|person| world.decision(&proposal, person, Decision::Approve));
        world.ceremony.approvals = approvals.into();
        world.told.push(Told {
            ended_at: BEGAN + 10,
            ..Told::of_file(&world.ceremony)
        });
        world
    }

    /// And three more changes: a policy, a new register in which chloe-diaz has another key, a suspended key.
    pub(crate) fn lived() -> Self {
        let mut world = Self::new();
        world.execute(&[0, 1], vec![document(DocumentKind::Policy, 2, "x = 1\n")]);
        world.keys[2] = LocalKey::generate().unwrap();
        let register = document(DocumentKind::Custodians, 2, &persons(&world.keys));
        world.execute(&[0, 1], vec![register]);
        let operation = Operation::Key {
            operation: KeyOperation::Suspend,
            key: key_id(1),
        };
        let proposal = world.proposal(operation);
        world.executed(proposal, &[2]);
        world
    }

    pub(crate) fn history(&self) -> History {
        History::verify(&self.ceremony, self.told.clone(), &self.registers).unwrap()
    }

    /// When the next change is made.
    pub(crate) fn now(&self) -> u64 {
        BEGAN + 1_000 * u64::try_from(self.told.len()).unwrap()
    }

    pub(crate) fn proposal(&self, operation: Operation) -> Proposal {
        let base = self.history().standing().base();
        let now = self.now();
        Proposal::new(base, operation, [7; 16], now, now + WAITS).unwrap()
    }

    pub(crate) fn decision(
        &self,
        proposal: &Proposal,
        person: usize,
        decision: Decision,
    ) -> Approval {
        signed(&self.keys[person], PERSONS[person], proposal, decision)
    }

    /// A register that names a recovery key with a delay of a day, in force, and what that key asks for, taken so many
    /// seconds after it was made.
    pub(crate) fn recovery(&mut self, taken_after: u64) -> Told {
        let sealed = LocalKey::generate().unwrap();
        let pem = sealed.public_key().to_spki_pem();
        let version = self.history().standing().custodians().version() + 1;
        let register = format!(
            "{}[recovery]\napproval_key = \"\"\"\n{pem}\"\"\"\ndelay_hours = 24\n",
            persons(&self.keys)
        );
        let register = document(DocumentKind::Custodians, version, &register);
        self.execute(&[0, 1], vec![register]);
        let proposal = self.proposal(Operation::RecoverCustodians {
            version: version + 1,
            sha256: [1; 32],
        });
        let approval = signed(&sealed, RECOVERY, &proposal, Decision::Approve);
        let told = self.pending(proposal, &[]);
        Told {
            approvals: vec![approval],
            proposed_at: told.proposed_at + taken_after,
            ..told
        }
    }

    /// A change as it is shown before it ended.
    pub(crate) fn pending(&self, proposal: Proposal, by: &[usize]) -> Told {
        let approved = by
            .iter()
            .map(|person| self.decision(&proposal, *person, Decision::Approve));
        Told {
            approvals: approved.collect(),
            state: ChangeState::Pending,
            proposed_at: proposal.iat(),
            ended_at: 0,
            proposal,
        }
    }

    fn execute(&mut self, by: &[usize], documents: Vec<Attachment>) {
        let proposal = self.proposal(Operation::Document(name(&documents[0])));
        if documents[0].kind == AttachmentKind::Document(DocumentKind::Custodians) {
            let register = documents[0].content.clone().into_bytes();
            self.registers.insert(proposal.id(), register);
        }
        self.executed(proposal, by);
    }

    pub(crate) fn executed(&mut self, proposal: Proposal, by: &[usize]) {
        let told = self.pending(proposal, by);
        self.told.push(Told {
            state: ChangeState::Executed,
            ended_at: told.proposal.iat() + 20,
            ..told
        });
    }
}

fn signed(key: &LocalKey, person: &str, proposal: &Proposal, decision: Decision) -> Approval {
    let input = Approval::signing_input(
        KeyId::of(key.public_key()),
        &person.parse().unwrap(),
        proposal.institution(),
        proposal.id(),
        decision,
        proposal.iat() + 5,
    );
    let signature = key.sign_raw(input.as_bytes()).unwrap();
    Approval::parse(&jws::compact(&input, &signature)).unwrap()
}

fn persons(keys: &[LocalKey]) -> String {
    let persons = PERSONS.iter().zip(keys).map(|(person, key)| {
        let pem = key.public_key().to_spki_pem();
        format!(
            "[[custodian]]\nperson = \"{person}\"\nname = \"P\"\nstate = \"active\"\napproval_keys = [\"\"\"\n{pem}\"\"\"]\n"
        )
    });
    format!("quorum = 2\n{}", persons.collect::<String>())
}
