//! Owns the certification of an institution's next CA: a key that was made in the token of a running service proves itself
//! by a request, and the root whose key was brought back certifies it. Nothing else in the directory changes.

use std::fs;
use std::path::{Path, PathBuf};

use semops_objects::ca;
use semops_objects::institution::InstitutionId;
use semops_pki::certificate::Certificate;
use semops_pki::request::CertificationRequest;

use crate::add::{check_owner, lock};
use crate::ceremony::{Ceremony, Edge, Progress};
use crate::directory::{Directory, Hierarchy, at};
use crate::error::SetupError;
use crate::files::content;
use crate::made::Access;
use crate::standing::Standing;

/// A CA that was certified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedCa {
    /// Whose it is.
    pub institution: InstitutionId,
    /// In which hierarchy.
    pub hierarchy: Hierarchy,
    /// Where its certificate is (PEM).
    pub path: PathBuf,
}

/// Certifies the key in the request at `request` (PEM or DER) as a CA of one of the institutions in the directory at `path`:
/// as the one that the request's subject names, for five years. The key of that hierarchy's root must be back in `offline`.
///
/// # Errors
/// [`SetupError`]; the directory is then as it was.
pub fn certify(
    path: &Path,
    request: &Path,
    edge: &Edge,
    progress: &mut Progress<'_>,
) -> Result<CertifiedCa, SetupError> {
    let directory = Directory::open(path)?;
    check_owner(directory.path())?;
    let _locked = lock(&directory)?;
    let standing = Standing::read(path)?;
    let read = fs::read(request).map_err(at(request))?;
    let parsed = CertificationRequest::parse_pem_or_der(&read);
    let parsed = parsed.map_err(|error| content(request, &error))?;
    let asks = Asks::read(&parsed, &standing).map_err(|what| content(request, &what))?;
    let mut root = standing.root_of(asks.hierarchy)?;
    let ground = standing.ground()?;
    let mut ceremony = Ceremony::new(&ground, &directory, edge, progress)?;
    let organization = asks.institution.as_str();
    let certified = root
        .certify_ca(
            &ceremony,
            organization,
            &asks.common_name,
            parsed.public_key(),
        )
        .and_then(|certificate| asks.write(&mut ceremony, &certificate));
    certified.map_err(|error| ceremony.fail(error))
}

/// What a request asks for.
struct Asks {
    institution: InstitutionId,
    hierarchy: Hierarchy,
    common_name: String,
}

impl Asks {
    /// What it asks for, or why no institution of the directory can have that.
    fn read(request: &CertificationRequest, standing: &Standing) -> Result<Self, String> {
        let subject = request.organization_and_common_name();
        let (organization, common_name) =
            subject.ok_or("its subject is not O = an institution, CN = the name of its CA")?;
        let ids = standing.ids();
        let institution = ids.into_iter().find(|id| id.as_str() == organization);
        let institution = institution
            .ok_or_else(|| format!("O = {organization} is no institution of this directory"))?;
        let is = |hierarchy: &Hierarchy| {
            common_name == ca::common_name(hierarchy.as_str(), request.public_key())
        };
        let hierarchy = [Hierarchy::Device, Hierarchy::Signing].into_iter().find(is);
        let hierarchy = hierarchy.ok_or_else(|| {
            format!(
                "CN = {common_name} is not the name of a device or signing CA with this key: \
                 `semopsctl keys create` makes such requests"
            )
        })?;
        Ok(Self {
            institution,
            hierarchy,
            common_name: common_name.to_owned(),
        })
    }

    fn write(
        &self,
        ceremony: &mut Ceremony<'_>,
        certificate: &Certificate,
    ) -> Result<CertifiedCa, SetupError> {
        let (institution, hierarchy) = (self.institution.clone(), self.hierarchy);
        let key = certificate.public_key();
        let path = ceremony.directory.later_ca(hierarchy, &institution, key);
        let pem = certificate.to_pem();
        ceremony.write(&path, Access::All, pem.as_bytes())?;
        ceremony.say(&format!(
            "{institution}: {} certified for five years: {}",
            self.common_name,
            path.display()
        ))?;
        Ok(CertifiedCa {
            institution,
            hierarchy,
            path,
        })
    }
}
