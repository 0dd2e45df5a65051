//! An institution with its custodians, and what they propose and sign.

use std::collections::BTreeMap;

use semops_objects::change::{
    Approval, ApprovedChange, AttachmentKind, Base, CeremonyKey, ChangeRefusal, Decision,
    DocumentKind, DocumentName, Judgement, Moment, Operation, PersonId, Proposal, Standing,
};
use semops_objects::institution::InstitutionId;
use semops_objects::jws;
use semops_objects::key::{KeyId, Purpose};
use semops_pki::algorithm::sha256;
use semops_pki::local_key::LocalKey;

pub(crate) const SCHEME: &str = "semops.example";
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 86_400;

/// The keys of the ceremony, one for each purpose.
pub(crate) const DEVICE_CA: KeyId = KeyId::new([1; 32]);
pub(crate) const SIGNING_CA: KeyId = KeyId::new([2; 32]);
pub(crate) const AUTHORIZATION: KeyId = KeyId::new([3; 32]);

pub(crate) fn alfa() -> InstitutionId {
    "alfa".parse().unwrap()
}

pub(crate) fn person(id: &str) -> PersonId {
    id.parse().unwrap()
}

/// What a custodians document says of a person.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) person: &'a str,
    pub(crate) state: &'a str,
    pub(crate) keys: &'a [&'a LocalKey],
}

pub(crate) fn document(version: u64, quorum: u8, entries: &[Entry<'_>], more: &str) -> String {
    let mut text =
        format!("institution = \"alfa\"\nversion = {version}\nquorum = {quorum}\n{more}");
    for entry in entries {
        let pem = |key: &&LocalKey| format!("\"\"\"\n{}\"\"\"", key.public_key().to_spki_pem());
        let keys: Vec<_> = entry.keys.iter().map(pem).collect();
        text += &format!(
            "[[custodian]]\nperson = \"{0}\"\nname = \"{0}\"\nstate = \"{1}\"\napproval_keys = [{2}]\n",
            entry.person,
            entry.state,
            keys.join(", ")
        );
    }
    text
}

/// Whoever signs, with the keys that they have.
pub(crate) struct World {
    pub(crate) keys: BTreeMap<&'static str, LocalKey>,
    pub(crate) standing: Standing,
}

/// The persons of the register; anna has a second key, and dora is suspended.
pub(crate) const ACTIVE: [&str; 3] = ["anna", "boris", "chloe"];

impl World {
    /// After the ceremony.
    pub(crate) fn new() -> Self {
        let names = [
            "anna", "anna-2", "boris", "chloe", "dora", "recovery", "stranger",
        ];
        let keys: BTreeMap<_, _> = names
            .into_iter()
            .map(|name| (name, LocalKey::generate().unwrap()))
            .collect();
        let register = register(&keys, 1, 2);
        let ceremony = ceremony(&register);
        let approvals: Vec<_> = ACTIVE
            .iter()
            .map(|name| approve(&keys, name, &ceremony))
            .collect();
        let standing =
            Standing::begin(SCHEME, &ceremony, &approvals, register.as_bytes(), NOW).unwrap();
        Self { keys, standing }
    }

    pub(crate) fn key(&self, name: &str) -> &LocalKey {
        self.keys.get(name).unwrap()
    }

    /// The same persons in another version of their register.
    pub(crate) fn register(&self, version: u64, quorum: u8) -> String {
        register(&self.keys, version, quorum)
    }

    pub(crate) fn propose(&self, operation: Operation, iat: u64) -> Proposal {
        propose(self.standing.base(), operation, iat)
    }

    pub(crate) fn approve(&self, name: &str, proposal: &Proposal) -> Approval {
        approve(&self.keys, name, proposal)
    }

    pub(crate) fn reject(&self, name: &str, proposal: &Proposal) -> Approval {
        Signed::by(name)
            .says(Decision::Reject)
            .of(&self.keys, proposal)
    }

    pub(crate) fn judge(
        &self,
        proposal: &Proposal,
        decisions: &[Approval],
    ) -> Result<Judgement, ChangeRefusal> {
        self.standing
            .judge(proposal, decisions, Moment::of_taking(NOW))
    }

    /// The reason why it is refused.
    pub(crate) fn refused(&self, proposal: &Proposal, decisions: &[Approval]) -> &'static str {
        match self.judge(proposal, decisions) {
            Err(refusal) => refusal.reason(),
            Ok(judgement) => panic!("{judgement:?}"),
        }
    }

    /// Approved by anna and boris at `now`.
    pub(crate) fn approved(
        &self,
        operation: Operation,
        now: u64,
    ) -> Result<ApprovedChange, ChangeRefusal> {
        let proposal = self.propose(operation, now);
        let approvals = ["anna", "boris"].map(|name| self.approve(name, &proposal));
        let taken_at = proposal.iat();
        let at = Moment { taken_at, now };
        match self.standing.judge(&proposal, &approvals, at)? {
            Judgement::Approved(change) => Ok(change),
            other => panic!("{other:?}"),
        }
    }

    /// Executed at `now`, approved by anna and boris.
    pub(crate) fn execute(&mut self, operation: Operation, now: u64) -> Result<(), ChangeRefusal> {
        let change = self.approved(operation, now)?;
        self.standing = self.standing.after(&change, None)?;
        Ok(())
    }
}

pub(crate) fn register(
    keys: &BTreeMap<&'static str, LocalKey>,
    version: u64,
    quorum: u8,
) -> String {
    let key = |name| keys.get(name).unwrap();
    let entries = [
        Entry {
            person: "anna",
            state: "active",
            keys: &[key("anna"), key("anna-2")],
        },
        Entry {
            person: "boris",
            state: "active",
            keys: &[key("boris")],
        },
        Entry {
            person: "chloe",
            state: "active",
            keys: &[key("chloe")],
        },
        Entry {
            person: "dora",
            state: "suspended",
            keys: &[key("dora")],
        },
    ];
    let recovery = key("recovery").public_key().to_spki_pem();
    let recovery =
        format!("recovery = {{ approval_key = \"\"\"{recovery}\"\"\", delay_hours = 72 }}\n");
    document(version, quorum, &entries, &recovery)
}

pub(crate) fn named(kind: DocumentKind, version: u64) -> DocumentName {
    DocumentName {
        kind,
        version,
        sha256: [u8::try_from(version).unwrap(); 32],
    }
}

pub(crate) fn ceremony_operation(register: &str) -> Operation {
    let (_, custodians) = DocumentName::of(DocumentKind::Custodians, register.as_bytes()).unwrap();
    let key = |(key, purpose)| CeremonyKey { key, purpose };
    Operation::Ceremony {
        documents: [
            custodians,
            named(DocumentKind::Policy, 1),
            named(DocumentKind::Trust, 4),
            named(DocumentKind::Callers, 1),
        ],
        keys: [DEVICE_CA, SIGNING_CA, AUTHORIZATION]
            .into_iter()
            .zip(Purpose::ALL)
            .map(key)
            .collect(),
    }
}

pub(crate) fn ceremony(register: &str) -> Proposal {
    propose(
        Base::of_ceremony(SCHEME, alfa()),
        ceremony_operation(register),
        NOW,
    )
}

pub(crate) fn propose(base: Base, operation: Operation, iat: u64) -> Proposal {
    Proposal::new(base, operation, [7; 16], iat, iat + DAY).unwrap()
}

pub(crate) fn approve(
    keys: &BTreeMap<&'static str, LocalKey>,
    name: &str,
    proposal: &Proposal,
) -> Approval {
    Signed::by(name).of(keys, proposal)
}

/// The next policy.
pub(crate) fn next_policy() -> Operation {
    Operation::Document(named(DocumentKind::Policy, 2))
}

pub(crate) fn custodians_change(register: &str) -> Operation {
    let (_, name) = DocumentName::of(DocumentKind::Custodians, register.as_bytes()).unwrap();
    Operation::Document(name)
}

pub(crate) const CUSTODIANS: AttachmentKind = AttachmentKind::Document(DocumentKind::Custodians);

/// An approval as somebody makes it; whatever is not said is as it should be.
#[derive(Clone)]
pub(crate) struct Signed {
    key: String,
    named: Option<KeyId>,
    iss: String,
    aud: InstitutionId,
    decision: Decision,
    iat: Option<u64>,
}

impl Signed {
    /// By this key, in the name of the person whose it is.
    pub(crate) fn by(name: &str) -> Self {
        Self {
            key: name.to_owned(),
            named: None,
            iss: name.trim_end_matches("-2").to_owned(),
            aud: alfa(),
            decision: Decision::Approve,
            iat: None,
        }
    }

    pub(crate) fn in_the_name_of(mut self, person: &str) -> Self {
        self.iss = person.to_owned();
        self
    }

    pub(crate) fn naming(mut self, key: KeyId) -> Self {
        self.named = Some(key);
        self
    }

    pub(crate) fn to(mut self, institution: &str) -> Self {
        self.aud = institution.parse().unwrap();
        self
    }

    pub(crate) fn says(mut self, decision: Decision) -> Self {
        self.decision = decision;
        self
    }

    pub(crate) fn at(mut self, iat: u64) -> Self {
        self.iat = Some(iat);
        self
    }

    pub(crate) fn of(
        &self,
        keys: &BTreeMap<&'static str, LocalKey>,
        proposal: &Proposal,
    ) -> Approval {
        let key = keys.get(self.key.as_str()).unwrap();
        let input = Approval::signing_input(
            self.named.unwrap_or(KeyId::of(key.public_key())),
            &person(&self.iss),
            &self.aud,
            proposal.id(),
            self.decision,
            self.iat.unwrap_or(proposal.iat()),
        );
        let signature = key.sign_raw(input.as_bytes()).unwrap();
        Approval::parse(&jws::compact(&input, &signature)).unwrap()
    }
}

/// 32 octets of 1 in base64url.
pub(crate) const ONES: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

/// The text of a member: its name and its value.
pub(crate) fn member(object: &str, name: &str) -> String {
    let start = object.find(&format!("\"{name}\":")).unwrap();
    let rest = &object[start..];
    let end = rest.find([',', '}']).unwrap();
    rest[..end].to_owned()
}

/// A digest of something.
pub(crate) fn digest(of: &str) -> [u8; 32] {
    sha256(of.as_bytes())
}
