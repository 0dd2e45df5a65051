//! Owns the ceremony: the order in which a directory comes into being. The signer's configuration is written last, so
//! that a directory with one is whole; a ceremony that fails leaves an empty folder.

use std::path::{Path, PathBuf};

use crate::authority::Terms;
use crate::directory::{Access, Directory};
use crate::documents::{self, Credentials, TrustRoots};
use crate::error::SetupError;
use crate::institution::{self, InstitutionKeys};
use crate::roots::Roots;
use crate::scheme::{Institution, Scheme};
use crate::tls::{self, TlsCa};

/// What a ceremony takes from outside.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The `softhsm-setup` executable, which holds each token in a process of its own.
    pub program: PathBuf,
    /// The time, in unix seconds.
    pub now: i64,
}

/// Sets up `scheme` in the folder `path`, which must be empty or missing, and tells each step to `progress`.
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
    progress: &mut dyn FnMut(&str),
) -> Result<Directory, SetupError> {
    if !scheme.module().is_file() {
        return Err(SetupError::NoModule(scheme.module().to_owned()));
    }
    let directory = Directory::create(path)?;
    let mut ceremony = Ceremony {
        scheme,
        directory: &directory,
        edge,
        progress,
    };
    if let Err(error) = ceremony.run() {
        // The reason why it failed says more than a folder that cannot be cleared.
        let _ = directory.clear();
        return Err(error);
    }
    Ok(directory)
}

/// A ceremony under way.
pub(crate) struct Ceremony<'a> {
    pub(crate) scheme: &'a Scheme,
    pub(crate) directory: &'a Directory,
    pub(crate) edge: &'a Edge,
    progress: &'a mut dyn FnMut(&str),
}

impl Ceremony<'_> {
    fn run(&mut self) -> Result<(), SetupError> {
        let owners = tls::owners(self.scheme);
        self.directory.make_folders(owners.iter().copied())?;
        let conf = documents::softhsm(&self.directory.tokens());
        let path = self.directory.softhsm_configuration();
        self.directory.write(&path, Access::All, conf.as_bytes())?;
        let mut roots = Roots::make(self)?;
        let mut keys = Vec::new();
        for institution in self.scheme.institutions() {
            keys.push(institution::make(self, &mut roots, institution)?);
        }
        let mut cas = Vec::new();
        for owner in owners {
            cas.push(TlsCa::make(self, &mut roots, owner)?);
        }
        tls::server(self, &mut cas)?;
        for institution in self.scheme.institutions() {
            let tls_ca = tls::callers(self, &mut cas, institution)?;
            self.documents(institution, tls_ca, &roots, &keys)?;
        }
        let text = documents::configuration(self.scheme);
        let path = self.directory.config();
        self.directory.write(&path, Access::All, text.as_bytes())?;
        self.say(&format!("configuration: {}", path.display()));
        Ok(())
    }

    fn documents(
        &mut self,
        institution: &Institution,
        tls_ca: &TlsCa,
        roots: &Roots,
        keys: &[InstitutionKeys],
    ) -> Result<(), SetupError> {
        let id = institution.id();
        let trusted = |keys: &&InstitutionKeys| institution.trusts().contains(&keys.id);
        let trusted: Vec<Credentials<'_>> = keys
            .iter()
            .filter(trusted)
            .map(InstitutionKeys::credentials)
            .collect();
        let trust_roots = TrustRoots {
            device: roots.device.certificate(),
            signing: roots.signing.certificate(),
            signing_crl: roots.signing.crl().der(),
        };
        let trust = documents::trust(institution, &trust_roots, &trusted);
        let callers = documents::callers(self.scheme, institution, tls_ca.certificate());
        let documents = [
            (self.directory.policy(id), documents::policy(institution)),
            (self.directory.trust(id), trust),
            (self.directory.callers(id), callers),
        ];
        for (path, text) in documents {
            self.directory.write(&path, Access::All, text.as_bytes())?;
        }
        self.say(&format!("{id}: policy, trust and callers, version 1"));
        Ok(())
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms {
            now: self.edge.now,
            oids: self.scheme.oids(),
        }
    }

    pub(crate) fn say(&mut self, step: &str) {
        (self.progress)(step);
    }
}
