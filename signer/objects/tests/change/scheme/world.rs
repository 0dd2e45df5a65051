//! A scheme with its custodians xena, yuri and zoe, its roots, and the files of its changes.

use std::collections::BTreeMap;

use const_oid::ObjectIdentifier;
use semops_objects::change::{
    Approval, Attachment, AttachmentKind, Base, ChangeFile, Decision, DocumentKind, Operation,
    Proposal, SchemeHistoryError, SchemeOperation, SchemeStanding, SchemeVersion,
};
use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::sha256;
use semops_pki::certificate::Certificate;
use semops_pki::issuer::{Content, root};
use semops_pki::local_key::LocalKey;
use semops_pki::profile::Oids;
use semops_pki::signed::assemble;

use crate::world::{DAY, Entry, NOW, SCHEME, Signed, document, propose};

pub(super) const PERSONS: [&str; 3] = ["xena", "yuri", "zoe"];

/// Whoever founds a scheme.
pub(super) struct Founders {
    pub(super) keys: BTreeMap<&'static str, LocalKey>,
    roots: BTreeMap<&'static str, String>,
}

/// A proposal with what comes along.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) proposal: Proposal,
    pub(super) attachments: Vec<Attachment>,
}

impl std::ops::Deref for Draft {
    type Target = Proposal;

    fn deref(&self) -> &Proposal {
        &self.proposal
    }
}

impl Founders {
    pub(super) fn new() -> Self {
        let names = ["xena", "yuri", "zoe", "walt", "anna", "boris", "chloe"];
        let roots = [
            "device", "device-2", "device-3", "device-4", "device-5", "signing",
        ];
        Self {
            keys: names
                .map(|name| (name, LocalKey::generate().unwrap()))
                .into(),
            roots: roots.map(|name| (name, pem(name))).into(),
        }
    }

    pub(super) fn root(&self, name: &str) -> &str {
        self.roots.get(name).unwrap()
    }

    /// A roots document.
    pub(super) fn document(&self, version: u64, device: &[&str], signing: &[&str]) -> String {
        let list = |names: &[&str]| {
            let pems = names
                .iter()
                .map(|name| format!("\"\"\"\n{}\"\"\"", self.root(name)));
            pems.collect::<Vec<_>>().join(", ")
        };
        format!(
            "scheme = \"{SCHEME}\"\nversion = {version}\ndevice_roots = [{}]\nsigning_roots = [{}]\n",
            list(device),
            list(signing)
        )
    }

    /// A register of custodians of the scheme with a quorum of two.
    pub(super) fn custodians(&self, version: u64, persons: &[&str]) -> String {
        let keys: Vec<_> = persons
            .iter()
            .map(|name| [self.keys.get(*name).unwrap()])
            .collect();
        let entries = persons.iter().zip(&keys).map(|(person, keys)| Entry {
            person,
            state: "active",
            keys,
        });
        let entries: Vec<_> = entries.collect();
        of_scheme(&document(version, 2, &entries, ""))
    }

    /// Change 1, approved by everybody.
    pub(super) fn ceremony(&self) -> ChangeFile {
        let register = self.custodians(1, &PERSONS);
        let roots = self.document(1, &["device"], &["signing"]);
        self.begun(register, roots, &PERSONS)
    }

    pub(super) fn begun(&self, register: String, roots: String, by: &[&str]) -> ChangeFile {
        let operation = SchemeOperation::Ceremony {
            custodians: named(1, &register),
            roots: named(1, &roots),
        };
        let base = Base::of_ceremony(SCHEME, InstitutionId::of_scheme());
        let draft = Draft {
            proposal: propose(base, Operation::Scheme(operation), NOW),
            attachments: vec![attached(CUSTODIANS, register), attached(ROOTS, roots)],
        };
        self.signed(draft, by)
    }

    /// The next roots of the device hierarchy.
    pub(super) fn roots(&self, standing: &SchemeStanding, device: &[&str]) -> Draft {
        let version = standing.roots().named().version + 1;
        let document = self.document(version, device, &["signing"]);
        let operation = SchemeOperation::Roots(named(version, &document));
        draft(standing, operation, attached(ROOTS, document))
    }

    /// The next register.
    pub(super) fn register(
        &self,
        version: u64,
        persons: &[&str],
    ) -> impl Fn(&SchemeStanding) -> Draft {
        let document = self.custodians(version, persons);
        move |standing| {
            let operation = SchemeOperation::Custodians(named(version, &document));
            draft(standing, operation, attached(CUSTODIANS, document.clone()))
        }
    }

    /// Approved by these persons.
    pub(super) fn approved(
        &self,
        standing: &SchemeStanding,
        draft: impl Drafted,
        by: &[&str],
    ) -> ChangeFile {
        self.signed(draft.on(standing), by)
    }

    pub(super) fn signed(&self, draft: Draft, by: &[&str]) -> ChangeFile {
        let approve = |name: &&str| self.decision(&draft, name, Decision::Approve, NOW);
        let approvals = by.iter().map(approve).collect();
        self.file(draft, approvals)
    }

    pub(super) fn decision(
        &self,
        proposal: &Proposal,
        name: &str,
        decision: Decision,
        at: u64,
    ) -> Approval {
        let signed = Signed::by(name).to("scheme").says(decision).at(at);
        signed.of(&self.keys, proposal)
    }

    pub(super) fn file(&self, draft: Draft, approvals: Vec<Approval>) -> ChangeFile {
        let file = ChangeFile {
            proposal: draft.proposal,
            approvals,
            attachments: draft.attachments,
        };
        let read = ChangeFile::parse(file.to_json().as_bytes());
        assert_eq!(read.as_ref(), Ok(&file));
        file
    }

    pub(super) fn standing(
        &self,
        files: &[ChangeFile],
    ) -> Result<SchemeStanding, SchemeHistoryError> {
        SchemeStanding::of(SCHEME, files, NOW + 60)
    }
}

/// What can be put on top of what stands.
pub(super) trait Drafted {
    fn on(self, standing: &SchemeStanding) -> Draft;
}

impl Drafted for Draft {
    fn on(self, _: &SchemeStanding) -> Draft {
        self
    }
}

impl<F: Fn(&SchemeStanding) -> Draft> Drafted for F {
    fn on(self, standing: &SchemeStanding) -> Draft {
        self(standing)
    }
}

pub(super) const CUSTODIANS: AttachmentKind = AttachmentKind::Document(DocumentKind::Custodians);
pub(super) const ROOTS: AttachmentKind = AttachmentKind::Roots;

pub(super) fn draft(
    standing: &SchemeStanding,
    operation: SchemeOperation,
    attachment: Attachment,
) -> Draft {
    Draft {
        proposal: propose(standing.base(), Operation::Scheme(operation), NOW),
        attachments: vec![attachment],
    }
}

pub(super) fn attached(kind: AttachmentKind, content: String) -> Attachment {
    Attachment { kind, content }
}

pub(super) fn named(version: u64, document: &str) -> SchemeVersion {
    SchemeVersion {
        version,
        sha256: sha256(document.as_bytes()),
    }
}

/// A register of an institution as one of the scheme.
pub(super) fn of_scheme(register: &str) -> String {
    register.replacen("institution = \"alfa\"", "institution = \"scheme\"", 1)
}

pub(super) fn oids() -> Oids {
    let under = |arc: &str| ObjectIdentifier::new_unwrap(&format!("1.3.6.1.4.1.32473.{arc}"));
    Oids {
        device_eku: under("1"),
        authorization_eku: under("2"),
        audit_eku: Some(under("4")),
        statement_eku: Some(under("5")),
        device_policy: under("3"),
    }
}

/// A root of its own.
pub(super) fn pem(name: &str) -> String {
    let key = LocalKey::generate().unwrap();
    certified(&key, &key, name).to_pem()
}

/// A root's certificate of `key`, signed by `signer`.
pub(super) fn certified(key: &LocalKey, signer: &LocalKey, name: &str) -> Certificate {
    let now = i64::try_from(NOW).unwrap();
    let content = Content {
        organization: "operator",
        public_key: key.public_key(),
        serial: [1; 16],
        not_before: now,
        not_after: now + i64::try_from(4000 * DAY).unwrap(),
    };
    let tbs = root(&content, &format!("{name} root"), &oids()).unwrap();
    let signature = signer.sign(tbs.bytes()).unwrap();
    Certificate::from_der(&assemble(tbs.bytes(), &signature)).unwrap()
}
