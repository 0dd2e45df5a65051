//! Owns one institution's part of the ceremony: its token, PINs and keys, and what they issue first.

use semops_objects::change::CeremonyKey;
use semops_objects::institution::InstitutionId;
use semops_objects::key::{KeyId, Purpose};
use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use semops_pki::issuer::Subject;

use crate::authority::{Authority, Lifetime};
use crate::ceremony::Ceremony;
use crate::directory::Hierarchy;
use crate::documents::trust::Credentials;
use crate::error::SetupError;
use crate::made::Access;
use crate::random;
use crate::roots::{Published, Root, Roots};
use crate::scheme::Institution;
use crate::token::TokenProcess;

/// The label of the authorization key.
const AUTHORIZATION: &str = "authorization";

/// What an institution's signing keys issued.
pub(crate) struct InstitutionKeys {
    pub(crate) id: InstitutionId,
    device_ca: Certificate,
    pub(crate) signing_ca: Certificate,
    pub(crate) signing_ca_crl: CertificateRevocationList,
    pub(crate) authorization: Certificate,
}

impl InstitutionKeys {
    /// What others need to trust it.
    pub(crate) fn credentials(&self) -> Credentials<'_> {
        Credentials {
            institution: self.id.as_str(),
            signing_ca: &self.signing_ca,
            signing_ca_crl: &self.signing_ca_crl,
            authorization: &self.authorization,
        }
    }

    /// The keys in its token, as the ceremony names them.
    pub(crate) fn ids(&self) -> Vec<CeremonyKey> {
        let certified = [
            (Purpose::DeviceCa, &self.device_ca),
            (Purpose::SigningCa, &self.signing_ca),
            (Purpose::Authorization, &self.authorization),
        ];
        let named = certified.map(|(purpose, certificate)| CeremonyKey {
            key: KeyId::of(certificate.public_key()),
            purpose,
        });
        named.into()
    }
}

/// Makes the token of `institution` and its three keys, one after the other.
pub(crate) fn make(
    ceremony: &mut Ceremony<'_>,
    roots: &mut Roots,
    institution: &Institution,
) -> Result<InstitutionKeys, SetupError> {
    let id = institution.id();
    let mut token = initialise(ceremony, id)?;
    let (device_ca, _) = certify_ca(ceremony, &mut roots.device, &mut token, id)?;
    let (signing_ca, signing_ca_crl) = certify_ca(ceremony, &mut roots.signing, &mut token, id)?;
    let authorization = certify_authorization(ceremony, &mut token, &signing_ca, id)?;
    token.finish()?;
    Ok(InstitutionKeys {
        id: id.clone(),
        device_ca,
        signing_ca,
        signing_ca_crl,
        authorization,
    })
}

/// Makes the token with the label `id`. The PINs are written first, so that there is no token whose PIN is lost.
pub(crate) fn initialise(
    ceremony: &mut Ceremony<'_>,
    id: &InstitutionId,
) -> Result<TokenProcess, SetupError> {
    let directory = ceremony.directory;
    let (so_pin, pin) = (random::pin()?, random::pin()?);
    ceremony.write(&directory.so_pin(id), Access::Owner, so_pin.as_bytes())?;
    ceremony.write(&directory.pin(id), Access::Owner, pin.as_bytes())?;
    let configuration = directory.softhsm_configuration();
    let mut token = TokenProcess::start(&ceremony.edge.program, &configuration, id.as_str())?;
    let library = token.initialise(&ceremony.ground.module, &so_pin, &pin)?;
    ceremony.say(&format!(
        "{id}: token \"{id}\" of {library}; its PIN is {}",
        directory.pin(id).display()
    ))?;
    Ok(token)
}

/// Generates the key of the institution's CA under `root`, has it certified, and issues its first CRL.
fn certify_ca(
    ceremony: &mut Ceremony<'_>,
    root: &mut Root,
    token: &mut TokenProcess,
    id: &InstitutionId,
) -> Result<(Certificate, CertificateRevocationList), SetupError> {
    let hierarchy = root.hierarchy();
    let purpose = format!("{}-ca", hierarchy.as_str());
    let key = token.generate(&purpose)?;
    let ca = root.certify_ca(ceremony, id.as_str(), &root.first_ca(), &key)?;
    let mut authority = Authority::new(ca.clone(), token)?;
    let crl = authority.first_crl(ceremony.edge.now, Lifetime::FirstCrl)?;
    let directory = ceremony.directory;
    let path = directory.ca(hierarchy, id);
    ceremony.write(&path, Access::All, ca.to_pem().as_bytes())?;
    ceremony.write(&directory.ca_crl(hierarchy, id), Access::All, crl.der())?;
    ceremony.say(&format!(
        "{id}: {purpose} key in the token, certified for five years; CRL 1 for 30 days"
    ))?;
    Ok((ca, crl))
}

fn certify_authorization(
    ceremony: &mut Ceremony<'_>,
    token: &mut TokenProcess,
    signing_ca: &Certificate,
    id: &InstitutionId,
) -> Result<Certificate, SetupError> {
    let key = token.generate(AUTHORIZATION)?;
    let name = format!("{id}-{}-ca", Hierarchy::Signing.as_str());
    let published = Published::at(&ceremony.ground.public_base_url, &name);
    let subject = Subject::Authorization {
        common_name: AUTHORIZATION,
    };
    let certificate = Authority::new(signing_ca.clone(), token)?.certify(
        ceremony.terms(),
        id.as_str(),
        &key,
        subject,
        Some(published.addresses()),
    )?;
    let chain = certificate.to_pem() + &signing_ca.to_pem();
    let directory = ceremony.directory;
    ceremony.write(
        &directory.authorization_chain(id),
        Access::All,
        chain.as_bytes(),
    )?;
    ceremony.say(&format!(
        "{id}: authorization key in the token, certified for two years"
    ))?;
    Ok(certificate)
}
