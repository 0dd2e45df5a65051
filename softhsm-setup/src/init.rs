//! Owns the ceremony that sets up a whole scheme: the order in which a directory comes into being. `signer.toml` gets
//! its name last, so that a directory with one is whole; a ceremony that fails leaves an empty folder.

use std::fs;
use std::path::Path;

use crate::ceremony::{Ceremony, Edge, Progress};
use crate::directory::{Directory, at};
use crate::documents;
use crate::documents::trust::Credentials;
use crate::error::SetupError;
use crate::first_documents::{self, Beginner, Versions};
use crate::founding;
use crate::institution::{self, InstitutionKeys};
use crate::made::Access;
use crate::record::Record;
use crate::roots::Roots;
use crate::scheme::{Institution, Scheme};
use crate::tls::{self, TlsCa};

/// Sets up `scheme` in the folder `path`, which must be empty or missing, and tells each step to `progress`. With a
/// `signer` the record is made and the ceremonies are loaded: the directory can be served at once.
///
/// Everything issued is valid from five minutes before `edge.now`. Keys of institutions are generated in their tokens,
/// sensitive and not extractable; roots and TLS keys are files.
///
/// # Errors
/// [`SetupError`]; the folder is then empty again, unless it was not ours.
pub fn init(
    scheme: &Scheme,
    path: &Path,
    edge: &Edge,
    progress: &mut Progress<'_>,
) -> Result<Directory, SetupError> {
    if !scheme.module().is_file() {
        return Err(SetupError::NoModule(scheme.module().to_owned()));
    }
    if let Some(signer) = edge.signer.as_ref().filter(|signer| !signer.is_file()) {
        return Err(SetupError::NoSigner(signer.clone()));
    }
    let directory = Directory::create(path)?;
    let done = Ceremony::new(scheme.ground(), &directory, edge, progress)
        .and_then(|mut ceremony| run(&mut ceremony, scheme));
    if let Err(error) = done {
        // The reason why it failed says more than a folder that cannot be cleared.
        let _ = directory.clear();
        return Err(error);
    }
    Ok(directory)
}

fn run(ceremony: &mut Ceremony<'_>, scheme: &Scheme) -> Result<(), SetupError> {
    let directory = ceremony.directory;
    let owners = tls::owners(scheme);
    let own = owners.iter().map(|owner| directory.folder(owner));
    for folder in directory.folders().chain(own) {
        ceremony.folder(&folder)?;
    }
    let conf = documents::softhsm(&directory.tokens());
    let path = directory.softhsm_configuration();
    ceremony.write(&path, Access::All, conf.as_bytes())?;
    let mut roots = Roots::make(ceremony)?;
    let (device, signing) = (roots.device.certificate(), roots.signing.certificate());
    founding::write(ceremony, scheme.register(), device, signing)?;
    let mut keys = Vec::new();
    for institution in scheme.institutions() {
        keys.push(institution::make(ceremony, &mut roots, institution)?);
    }
    let mut cas = Vec::new();
    for owner in owners {
        cas.push(TlsCa::make(ceremony, &mut roots, owner)?);
    }
    tls::server(ceremony, &mut cas)?;
    for (institution, own) in scheme.institutions().iter().zip(&keys) {
        let ca = tls::ca_of(&mut cas, institution.id())?;
        tls::callers(ceremony, ca, institution)?;
        let beginner = Beginner {
            institution,
            versions: Versions::FIRST,
            tls_ca: ca.certificate(),
            roots: &roots,
            trusted: &trusted(institution, &keys),
            keys: own,
        };
        first_documents::write(ceremony, &beginner)?;
    }
    configure(ceremony, scheme)
}

fn trusted<'k>(institution: &Institution, keys: &'k [InstitutionKeys]) -> Vec<Credentials<'k>> {
    let trusted = |keys: &&InstitutionKeys| institution.trusts().contains(&keys.id);
    keys.iter()
        .filter(trusted)
        .map(InstitutionKeys::credentials)
        .collect()
}

/// Writes the configuration, has the record made by it, and gives it its name.
fn configure(ceremony: &mut Ceremony<'_>, scheme: &Scheme) -> Result<(), SetupError> {
    let (directory, edge) = (ceremony.directory, ceremony.edge);
    let unfinished = directory.unfinished_config();
    let text = documents::configuration(scheme, &directory.softhsm_configuration());
    ceremony.write(&unfinished, Access::All, text.as_bytes())?;
    if let Some(signer) = &edge.signer {
        let record = Record::new(signer, unfinished.clone())?;
        record.check_config()?;
        ceremony.say("configuration: the signer accepts it")?;
        record.migrate()?;
        let path = directory.record();
        path.metadata().map_err(at(&path))?;
        ceremony.say(&format!("record: {}", path.display()))?;
        for institution in scheme.institutions() {
            let id = institution.id();
            record.begin(id, &directory.ceremony(id))?;
            ceremony.say(&format!("{id}: its ceremony is in the record"))?;
        }
    }
    let path = directory.config();
    fs::rename(&unfinished, &path).map_err(at(&path))?;
    // The directory is whole: who wants it to end now comes too late.
    let _ = ceremony.say(&format!("configuration: {}", path.display()));
    Ok(())
}
