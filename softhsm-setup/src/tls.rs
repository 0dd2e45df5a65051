//! Owns the TLS hierarchy below its root: one CA per institution and one for the operator, with keys in files, and the
//! certificates of the server and the callers.

use std::fmt;
use std::path::Path;

use semops_objects::institution::InstitutionId;
use semops_pki::certificate::Certificate;
use semops_pki::issuer::Subject;
use semops_pki::local_key::LocalKey;
use zeroize::Zeroizing;

use crate::authority::{Authority, Terms};
use crate::ceremony::Ceremony;
use crate::directory::Hierarchy;
use crate::documents;
use crate::error::SetupError;
use crate::made::Access;
use crate::roots::Roots;
use crate::scheme::{Institution, Role, Scheme};

const DNS_LOCALHOST: &str = "localhost";

/// Who has a TLS CA: every institution, and the operator, which may be one of them.
pub(crate) fn owners(scheme: &Scheme) -> Vec<&InstitutionId> {
    let mut owners: Vec<_> = scheme.institutions().iter().map(Institution::id).collect();
    if !owners.contains(&scheme.operator()) {
        owners.insert(0, scheme.operator());
    }
    owners
}

/// The TLS CA of one institution.
pub(crate) struct TlsCa {
    owner: InstitutionId,
    key: LocalKey,
    certificate: Certificate,
}

/// A TLS certificate with its own new key.
pub struct Identity {
    /// Leaf, then CA (PEM).
    pub chain: String,
    /// The private key (PEM of PKCS#8).
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl TlsCa {
    pub(crate) fn make(
        ceremony: &mut Ceremony<'_>,
        roots: &mut Roots,
        owner: &InstitutionId,
    ) -> Result<Self, SetupError> {
        let key = LocalKey::generate()?;
        let name = roots.tls.first_ca();
        let certificate =
            roots
                .tls
                .certify_ca(ceremony, owner.as_str(), &name, key.public_key())?;
        let directory = ceremony.directory;
        let path = directory.tls_ca_key(owner);
        ceremony.write(&path, Access::Owner, key.to_pkcs8_pem()?.as_bytes())?;
        let path = directory.ca(Hierarchy::Tls, owner);
        ceremony.write(&path, Access::All, certificate.to_pem().as_bytes())?;
        ceremony.say(&format!("{owner}: TLS CA, certified for five years"))?;
        Ok(Self::new(owner.clone(), key, certificate))
    }

    pub(crate) fn new(owner: InstitutionId, key: LocalKey, certificate: Certificate) -> Self {
        Self {
            owner,
            key,
            certificate,
        }
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Certifies a new key.
    pub(crate) fn identity(
        &mut self,
        terms: Terms<'_>,
        subject: Subject<'_>,
    ) -> Result<Identity, SetupError> {
        let key = LocalKey::generate()?;
        let mut authority = Authority::new(self.certificate.clone(), &mut self.key)?;
        let public_key = key.public_key();
        let leaf = authority.certify(terms, self.owner.as_str(), public_key, subject, None)?;
        Ok(Identity {
            chain: leaf.to_pem() + &self.certificate.to_pem(),
            key: key.to_pkcs8_pem()?,
        })
    }
}

/// Issues the server's certificate by the operator's CA.
pub(crate) fn server(ceremony: &mut Ceremony<'_>, cas: &mut [TlsCa]) -> Result<(), SetupError> {
    let ground = ceremony.ground;
    let (spiffe_id, dns_name) = (ground.server_id(), ground.server_dns_name());
    let subject = Subject::TlsServer {
        common_name: &ground.server,
        spiffe_id: &spiffe_id,
        dns_names: &[&dns_name, DNS_LOCALHOST],
        ip_addresses: &[ground.grpc.ip()],
    };
    let identity = ca_of(cas, &ground.operator)?.identity(ceremony.terms(), subject)?;
    let directory = ceremony.directory;
    let (chain, key) = (directory.server_chain(), directory.server_key());
    write(ceremony, &identity, &chain, &key)?;
    ceremony.say(&format!("server: {spiffe_id}, {dns_name}, {}", ground.grpc))?;
    Ok(())
}

/// Issues the certificates and connection profiles of an institution's callers.
pub(crate) fn callers(
    ceremony: &mut Ceremony<'_>,
    ca: &mut TlsCa,
    institution: &Institution,
) -> Result<(), SetupError> {
    let (ground, directory) = (ceremony.ground, ceremony.directory);
    for caller in institution.callers() {
        let spiffe_id = ground.caller_id(institution.id(), caller);
        let subject = Subject::TlsClient {
            common_name: caller.name(),
            spiffe_id: &spiffe_id,
        };
        let identity = ca.identity(ceremony.terms(), subject)?;
        let files = directory.caller(institution.id(), caller.role(), caller.name());
        write(ceremony, &identity, &files.chain, &files.key)?;
        // Who reads changes verifies them from the ceremony on.
        let reads_changes = matches!(caller.role(), Role::Custodian | Role::Auditor);
        let ceremony_file = directory.ceremony(institution.id());
        let profile = documents::profile(ground, &files, reads_changes.then_some(&*ceremony_file));
        ceremony.write(&files.profile, Access::All, profile.as_bytes())?;
        ceremony.say(&format!("caller: {spiffe_id}"))?;
    }
    Ok(())
}

fn write(
    ceremony: &mut Ceremony<'_>,
    identity: &Identity,
    chain: &Path,
    key: &Path,
) -> Result<(), SetupError> {
    ceremony.write(chain, Access::All, identity.chain.as_bytes())?;
    ceremony.write(key, Access::Owner, identity.key.as_bytes())
}

/// The CA of `owner` among these.
pub(crate) fn ca_of<'c>(
    cas: &'c mut [TlsCa],
    owner: &InstitutionId,
) -> Result<&'c mut TlsCa, SetupError> {
    let found = cas.iter_mut().find(|ca| ca.owner == *owner);
    found.ok_or_else(|| SetupError::Unknown(format!("TLS CA of {owner}")))
}
