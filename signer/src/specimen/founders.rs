//! The custodians of a scheme in memory, and the files of the changes by which they rule its roots.

use semops_objects::{
    change::{
        Attachment, AttachmentKind, Base, ChangeFile, Decision, DocumentKind, Operation,
        SchemeOperation, SchemeStanding, SchemeVersion,
    },
    institution::InstitutionId,
};
use semops_pki::{algorithm::sha256, certificate::Certificate, local_key::LocalKey};

use super::board::{PERSONS, SCHEME, proposal, register, seconds, signed};

/// A scheme's custodians with their approval keys, and its history.
pub(crate) struct Founders {
    keys: [LocalKey; 3],
    files: Vec<ChangeFile>,
}

impl Founders {
    /// Those of a scheme that begins with these roots, of the device and of the signing hierarchy.
    pub(crate) fn new(device: &[&Certificate], signing: &[&Certificate]) -> Self {
        let keys = PERSONS.map(|_| LocalKey::generate().unwrap());
        let mut founders = Self {
            keys,
            files: Vec::new(),
        };
        let register = register(&InstitutionId::of_scheme(), 1, &founders.keys);
        let roots = roots(1, device, signing);
        let operation = SchemeOperation::Ceremony {
            custodians: named(1, &register),
            roots: named(1, &roots),
        };
        let base = Base::of_ceremony(SCHEME, InstitutionId::of_scheme());
        let kind = AttachmentKind::Document(DocumentKind::Custodians);
        let attachments = [(kind, register), (AttachmentKind::Roots, roots)];
        founders.add(base, operation, attachments.into(), 3);
        founders
    }

    /// What stands.
    pub(crate) fn standing(&self) -> SchemeStanding {
        SchemeStanding::of(SCHEME, &self.files, seconds()).unwrap()
    }

    /// The next roots, approved by two.
    pub(crate) fn next(&mut self, device: &[&Certificate], signing: &[&Certificate]) {
        let standing = self.standing();
        let version = standing.roots().named().version + 1;
        let roots = roots(version, device, signing);
        let operation = SchemeOperation::Roots(named(version, &roots));
        let attachments = vec![(AttachmentKind::Roots, roots)];
        self.add(standing.base(), operation, attachments, 2);
    }

    fn add(
        &mut self,
        base: Base,
        operation: SchemeOperation,
        attachments: Vec<(AttachmentKind, String)>,
        by: usize,
    ) {
        let proposal = proposal(base, Operation::Scheme(operation), seconds());
        let approvals = PERSONS.iter().zip(&self.keys).take(by);
        let approvals =
            approvals.map(|(person, key)| signed(key, person, &proposal, Decision::Approve));
        let attachments = attachments.into_iter();
        let file = ChangeFile {
            approvals: approvals.collect(),
            attachments: attachments
                .map(|(kind, content)| Attachment { kind, content })
                .collect(),
            proposal,
        };
        self.files.push(file);
    }
}

fn named(version: u64, document: &str) -> SchemeVersion {
    SchemeVersion {
        version,
        sha256: sha256(document.as_bytes()),
    }
}

fn roots(version: u64, device: &[&Certificate], signing: &[&Certificate]) -> String {
    let list = |roots: &[&Certificate]| {
        let pems = roots
            .iter()
            .map(|root| format!("'''\n{}'''", root.to_pem()));
        pems.collect::<Vec<_>>().join(", ")
    };
    format!(
        "scheme = \"{SCHEME}\"\nversion = {version}\ndevice_roots = [{}]\nsigning_roots = [{}]\n",
        list(device),
        list(signing)
    )
}
