//! The documents that an institution begins with: its policy, its trust, its register of callers.

use semops_pki::certificate::Certificate;

use crate::ceremony::Ceremony;
use crate::documents;
use crate::documents::trust::{Credentials, Trust};
use crate::error::SetupError;
use crate::made::Access;
use crate::record::Kind;
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
}

/// Writes them.
pub(crate) fn write(
    ceremony: &mut Ceremony<'_>,
    institution: &Institution,
    versions: Versions,
    tls_ca: &Certificate,
    roots: &Roots,
    trusted: &[Credentials<'_>],
) -> Result<(), SetupError> {
    let (ground, directory) = (ceremony.ground, ceremony.directory);
    let id = institution.id();
    let trust = Trust::new(id.as_str(), versions.trust, &roots.trusted(), trusted);
    for kind in Kind::ALL {
        let text = match kind {
            Kind::Policy => documents::policy(institution, versions.policy),
            Kind::Trust => trust.render(),
            Kind::Callers => documents::callers(ground, institution, versions.callers, tls_ca),
        };
        let path = directory.first_document(id, kind);
        ceremony.write(&path, Access::All, text.as_bytes())?;
    }
    let Versions {
        policy,
        trust,
        callers,
    } = versions;
    ceremony.say(&format!(
        "{id}: policy version {policy}, trust version {trust}, callers version {callers}"
    ))
}
