//! The documents that an institution begins with: its policy, its trust, its registers of callers and of custodians; and
//! the ceremony that puts them in force.

use semops_objects::change::DocumentKind;
use semops_pki::certificate::Certificate;

use crate::ceremony::Ceremony;
use crate::custodians::{self, First};
use crate::documents;
use crate::documents::trust::{Credentials, Trust};
use crate::error::SetupError;
use crate::institution::InstitutionKeys;
use crate::made::Access;
use crate::roots::Roots;
use crate::scheme::Institution;

/// The versions of an institution's first documents in this directory: 1, or what follows those that the record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) policy: u64,
    pub(crate) trust: u64,
    pub(crate) callers: u64,
}

impl Versions {
    pub(crate) const FIRST: Self = Self {
        policy: 1,
        trust: 1,
        callers: 1,
    };

    fn of(self, kind: DocumentKind) -> u64 {
        match kind {
            DocumentKind::Policy => self.policy,
            DocumentKind::Trust => self.trust,
            DocumentKind::Callers => self.callers,
            // A record that has a register of custodians has a history too, and no second ceremony.
            DocumentKind::Custodians => 1,
        }
    }
}

/// An institution that begins, with what its documents are made of.
pub(crate) struct Beginner<'a> {
    pub(crate) institution: &'a Institution,
    pub(crate) versions: Versions,
    pub(crate) tls_ca: &'a Certificate,
    pub(crate) roots: &'a Roots,
    pub(crate) trusted: &'a [Credentials<'a>],
    pub(crate) keys: &'a InstitutionKeys,
}

/// Makes its custodians' keys, and writes its documents and its ceremony.
pub(crate) fn write(
    ceremony: &mut Ceremony<'_>,
    beginner: &Beginner<'_>,
) -> Result<(), SetupError> {
    let (ground, directory) = (ceremony.ground, ceremony.directory);
    let (institution, versions) = (beginner.institution, beginner.versions);
    let id = institution.id();
    let approval_keys = custodians::make(ceremony, id, institution.register())?;
    let text = |kind: DocumentKind, version: u64| match kind {
        DocumentKind::Policy => documents::policy(institution, version),
        DocumentKind::Trust => {
            let roots = beginner.roots.trusted();
            Trust::new(id.as_str(), version, &roots, beginner.trusted).render()
        }
        DocumentKind::Callers => documents::callers(ground, institution, version, beginner.tls_ca),
        DocumentKind::Custodians => {
            let quorum = institution.register().quorum();
            documents::custodians(id, version, quorum, &approval_keys)
        }
    };
    let first = custodians::NAMED.map(|kind| First {
        kind,
        version: versions.of(kind),
        text: text(kind, versions.of(kind)),
    });
    for document in &first {
        let path = directory.first_document(id, document.kind);
        ceremony.write(&path, Access::All, document.text.as_bytes())?;
    }
    let keys = beginner.keys.ids();
    custodians::write(ceremony, id, &first, keys, &approval_keys)?;
    let Versions {
        policy,
        trust,
        callers,
    } = versions;
    ceremony.say(&format!(
        "{id}: policy version {policy}, trust version {trust}, callers version {callers}; its ceremony, approved by all \
         custodians, is {}",
        directory.ceremony(id).display()
    ))
}
