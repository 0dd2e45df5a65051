//! Owns TLS client certificates issued after the ceremony, from the keys that the directory holds: for a caller that
//! joins later, and for strangers who must be turned away.

use semops_objects::institution::InstitutionId;
use semops_pki::issuer::Subject;
use semops_pki::local_key::LocalKey;

use crate::authority::{Authority, Terms};
use crate::directory::{Directory, Hierarchy};
use crate::error::SetupError;
use crate::files::{read_certificate, read_key};
use crate::scheme::Scheme;
use crate::tls::{Identity, TlsCa};

/// Which CA issues a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuedBy {
    /// The institution's TLS CA, which its callers document names.
    RegisteredCa,
    /// A new CA of the same institution that no document names, certified by this hierarchy's root. Its key is
    /// forgotten.
    NewCa(Hierarchy),
}

/// Issues a client certificate with a new key, O the institution and the URI `spiffe_id`. It makes nobody a caller:
/// the callers document does.
///
/// # Errors
/// [`SetupError::Profile`] if the id is not one of the institution; [`SetupError::File`] or [`SetupError::Content`] if
/// the directory no longer holds the issuing key or its certificate.
pub fn issue_client(
    scheme: &Scheme,
    directory: &Directory,
    institution: &InstitutionId,
    spiffe_id: &str,
    issued_by: IssuedBy,
    now: i64,
) -> Result<Identity, SetupError> {
    let terms = Terms {
        now,
        oids: scheme.oids(),
    };
    let mut ca = match issued_by {
        IssuedBy::RegisteredCa => TlsCa::new(
            institution.clone(),
            read_key(&directory.tls_ca_key(institution))?,
            read_certificate(&directory.ca(Hierarchy::Tls, institution))?,
        ),
        IssuedBy::NewCa(hierarchy) => new_ca(terms, directory, institution, hierarchy)?,
    };
    let common_name = spiffe_id.rsplit('/').next().unwrap_or(spiffe_id);
    let subject = Subject::TlsClient {
        common_name,
        spiffe_id,
    };
    ca.identity(terms, subject)
}

fn new_ca(
    terms: Terms<'_>,
    directory: &Directory,
    institution: &InstitutionId,
    hierarchy: Hierarchy,
) -> Result<TlsCa, SetupError> {
    let mut root_key = read_key(&directory.root_key(hierarchy))?;
    let root = read_certificate(&directory.root(hierarchy))?;
    let key = LocalKey::generate()?;
    let subject = Subject::TlsCa {
        common_name: "unregistered CA",
    };
    let organization = institution.as_str();
    let certificate = Authority::new(root, &mut root_key)?.certify(
        terms,
        organization,
        key.public_key(),
        subject,
        None,
    )?;
    Ok(TlsCa::new(institution.clone(), key, certificate))
}
