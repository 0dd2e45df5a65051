//! Owns the ceremony that adds an institution to a standing directory. Whatever stands there stays as it is, byte for
//! byte; `signer.toml` alone grows at its end, before the last step. A ceremony that fails takes everything back. A signer
//! that runs beside it sees the new token with its next start.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use semops_objects::change::DocumentKind;
use semops_objects::institution::InstitutionId;
use semops_objects::trust::TrustDocument;
use toml::Table;

use crate::ceremony::{Ceremony, Edge, Progress};
use crate::directory::{Directory, Hierarchy, at};
use crate::documents;
use crate::documents::trust::{Credentials, Trust};
use crate::error::SetupError;
use crate::files::{content, read_certificate, read_key};
use crate::first_documents::{self, Beginner, Versions};
use crate::institution;
use crate::made::Access;
use crate::record::{InForce, Record};
use crate::roots::Roots;
use crate::scheme::{Ground, Newcomer};
use crate::standing::{Shown, Standing};
use crate::tls::{self, TlsCa};

/// An institution that was added.
#[derive(Clone, Debug)]
pub struct Added {
    /// Where.
    pub directory: Directory,
    /// Which.
    pub newcomer: Newcomer,
    /// The next trust documents of those who shall trust it, which their custodians propose and approve.
    pub trust_documents: Vec<NextTrust>,
    /// Institutions that it trusts whose CRL in its trust document has run out, because the directory knows no newer.
    pub stale: Vec<InstitutionId>,
}

/// The next version of a trust document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextTrust {
    /// Whose.
    pub institution: InstitutionId,
    /// Which version it is.
    pub version: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// Adds the institution that `text` declares to the directory at `path`, and tells each step to `progress`. The keys of
/// the three roots must be back in `offline`. With a `signer` the institution's ceremony is loaded.
///
/// The roots' CRLs stay: each lists what that root has revoked (RFC 5280 s5), and a certificate issued since is not.
///
/// # Errors
/// [`SetupError`]; the directory is then as it was, and the record has no ceremony of the institution.
pub fn add(
    path: &Path,
    text: &str,
    edge: &Edge,
    progress: &mut Progress<'_>,
) -> Result<Added, SetupError> {
    let directory = Directory::open(path)?;
    check_owner(directory.path())?;
    let _locked = lock(&directory)?;
    let standing = Standing::read(path)?;
    let newcomer = Newcomer::parse(text, &standing.ids())?;
    let signer = edge.signer.as_deref();
    let record = signer
        .map(|signer| Record::new(signer, directory.config()))
        .transpose()?;
    let ground = standing.ground()?;
    check_new(&directory, &ground, &newcomer)?;
    let mut roots = standing.roots()?;
    let mut ceremony = Ceremony::new(&ground, &directory, edge, progress)?;
    let join = Join {
        standing: &standing,
        newcomer: &newcomer,
        record: record.as_ref(),
    };
    match join.run(&mut ceremony, &mut roots) {
        Ok((trust_documents, stale)) => Ok(Added {
            directory: directory.clone(),
            newcomer: newcomer.clone(),
            trust_documents,
            stale,
        }),
        Err(error) => Err(ceremony.fail(error)),
    }
}

/// What another user makes here could not be read by the signer.
pub(crate) fn check_owner(path: &Path) -> Result<(), SetupError> {
    let owner = path.metadata().map_err(at(path))?.uid();
    if owner == geteuid().as_raw() {
        return Ok(());
    }
    let path = path.to_owned();
    Err(SetupError::NotOwner { path, owner })
}

/// No other ceremony works in the directory as long as this is there.
pub(crate) fn lock(directory: &Directory) -> Result<File, SetupError> {
    let path = directory.config();
    let file = File::open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SetupError::Busy(directory.path().to_owned())),
        Err(TryLockError::Error(source)) => Err(at(&path)(source)),
    }
}

/// Looks for what an earlier ceremony for the newcomer left when it was killed.
fn check_new(
    directory: &Directory,
    ground: &Ground,
    newcomer: &Newcomer,
) -> Result<(), SetupError> {
    let institution = newcomer.institution();
    let id = institution.id();
    let mut paths = vec![
        directory.unfinished_config(),
        directory.pin(id),
        directory.so_pin(id),
    ];
    if *id != ground.operator {
        paths.push(directory.folder(id));
    }
    for caller in institution.callers() {
        let files = directory.caller(id, caller.role(), caller.name());
        paths.extend([files.chain, files.key, files.profile]);
    }
    paths.extend(DocumentKind::ALL.map(|kind| directory.first_document(id, kind)));
    paths.extend([directory.ceremony(id), directory.approval_keys(id)]);
    paths.retain(|path| path.exists());
    if paths.is_empty() {
        return Ok(());
    }
    Err(SetupError::Remains {
        institution: id.clone(),
        paths,
    })
}

/// A newcomer and where it joins.
struct Join<'a> {
    standing: &'a Standing,
    newcomer: &'a Newcomer,
    record: Option<&'a Record>,
}

impl Join<'_> {
    fn run(
        &self,
        ceremony: &mut Ceremony<'_>,
        roots: &mut Roots,
    ) -> Result<(Vec<NextTrust>, Vec<InstitutionId>), SetupError> {
        let institution = self.newcomer.institution();
        let in_force = self.record.map_or(Ok(Vec::new()), Record::in_force)?;
        let mut documents = in_force.iter();
        if documents.any(|document| document.is(DocumentKind::Custodians, institution.id())) {
            return Err(SetupError::HasHistory(institution.id().clone()));
        }
        let known = self.known(&in_force)?;
        let mut shown = Vec::new();
        for other in institution
            .trusts()
            .iter()
            .filter(|id| *id != institution.id())
        {
            shown.push(self.standing.shown(other, &known)?);
        }
        let tls_ca = self.tls_ca(ceremony, roots)?;
        let keys = institution::make(ceremony, roots, institution)?;
        let own = institution.trusts().contains(institution.id());
        let own = own.then(|| keys.credentials());
        let trusted: Vec<_> = shown.iter().map(Shown::credentials).chain(own).collect();
        let beginner = Beginner {
            institution,
            versions: self.versions(&in_force),
            tls_ca: tls_ca.certificate(),
            roots,
            trusted: &trusted,
            keys: &keys,
        };
        first_documents::write(ceremony, &beginner)?;
        let next = self.next_trust(ceremony, known, &keys.credentials())?;
        self.configure(ceremony)?;
        let now = ceremony.edge.now;
        let stale = shown
            .into_iter()
            .filter(|shown| shown.signing_ca_crl.stale_at(now));
        Ok((next, stale.map(|shown| shown.institution).collect()))
    }

    /// The newest trust documents of all who stand here.
    fn known(&self, in_force: &[InForce]) -> Result<Vec<Trust>, SetupError> {
        let newest = |id: InstitutionId| {
            let loaded = in_force
                .iter()
                .any(|document| document.is(DocumentKind::Trust, &id));
            let loaded = match self.record.filter(|_| loaded) {
                Some(record) => {
                    let misread = |what: String| content(&self.standing.directory.record(), &what);
                    Some(
                        Trust::parse(&record.document(DocumentKind::Trust, &id)?)
                            .map_err(misread)?,
                    )
                }
                None => None,
            };
            self.standing.newest_trust(&id, loaded)
        };
        self.standing.ids().into_iter().map(newest).collect()
    }

    /// What follows the documents that the record holds of an earlier try.
    fn versions(&self, in_force: &[InForce]) -> Versions {
        let id = self.newcomer.institution().id();
        let next = |kind| {
            let mut documents = in_force.iter();
            let last = documents.find(|document| document.is(kind, id));
            last.map_or(0, InForce::version).saturating_add(1)
        };
        Versions {
            policy: next(DocumentKind::Policy),
            trust: next(DocumentKind::Trust),
            callers: next(DocumentKind::Callers),
        }
    }

    /// Makes the newcomer's TLS CA and the certificates of its callers. The operator has a TLS CA already.
    fn tls_ca(&self, ceremony: &mut Ceremony<'_>, roots: &mut Roots) -> Result<TlsCa, SetupError> {
        let directory = ceremony.directory;
        let institution = self.newcomer.institution();
        let id = institution.id();
        let mut ca = if *id == ceremony.ground.operator {
            let key = read_key(&directory.tls_ca_key(id))?;
            TlsCa::new(
                id.clone(),
                key,
                read_certificate(&directory.ca(Hierarchy::Tls, id))?,
            )
        } else {
            ceremony.folder(&directory.folder(id))?;
            TlsCa::make(ceremony, roots, id)?
        };
        tls::callers(ceremony, &mut ca, institution)?;
        Ok(ca)
    }

    /// Writes the next trust documents of those who shall trust the newcomer.
    fn next_trust(
        &self,
        ceremony: &mut Ceremony<'_>,
        known: Vec<Trust>,
        newcomer: &Credentials<'_>,
    ) -> Result<Vec<NextTrust>, SetupError> {
        let mut next = Vec::new();
        for (institution, newest) in self.standing.ids().into_iter().zip(known) {
            if !self.newcomer.trusted_by().contains(&institution) {
                continue;
            }
            let named = newest.trusts(newcomer.institution);
            let trust = newest.with(newcomer);
            let version = trust.version();
            let path = ceremony.directory.next_trust(&institution, version);
            if named {
                let what = "is not needed: the version before it trusts the newcomer already. Leave \
                            its institution out of trusted_by, or remove that version if it was never approved";
                return Err(content(&path, &what));
            }
            let text = trust.render();
            TrustDocument::parse(text.as_bytes(), &ceremony.ground.oids)
                .map_err(|error| content(&path, &format!("would not be accepted: {error}")))?;
            ceremony.write(&path, Access::All, text.as_bytes())?;
            ceremony.say(&format!(
                "{institution}: trust version {version}, for its custodians to approve"
            ))?;
            next.push(NextTrust {
                institution,
                version,
                path,
            });
        }
        Ok(next)
    }

    /// Has the signer check the configuration that will be, lets `signer.toml` grow, and has the ceremony loaded. The
    /// record comes last: a history that has begun cannot be taken back.
    fn configure(&self, ceremony: &mut Ceremony<'_>) -> Result<(), SetupError> {
        let directory = ceremony.directory;
        let institution = self.newcomer.institution();
        let id = institution.id();
        let config = directory.config();
        let line_end = if self.standing.text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let table = format!("{line_end}{}", documents::keys(institution));
        let text = format!("{}{table}", self.standing.text);
        text.parse::<Table>().map_err(|error| {
            content(
                &config,
                &format!("an [[institution]] cannot stand at its end: {error}"),
            )
        })?;
        if let Some(signer) = &ceremony.edge.signer {
            let unfinished = directory.unfinished_config();
            ceremony.write(&unfinished, Access::All, text.as_bytes())?;
            Record::new(signer, unfinished.clone())?.check_config()?;
            ceremony.say("configuration: the signer accepts it")?;
            ceremony.remove(&unfinished)?;
        }
        append(&config, &self.standing.text, &table)?;
        if let Some(record) = self.record {
            record
                .begin(id, &directory.ceremony(id))
                .map_err(|error| cut(&config, &self.standing.text, &text, error))?;
            // From here on the record has it: who wants it to end now comes too late.
            let _ = ceremony.say(&format!("{id}: its ceremony is in the record"));
        }
        let _ = ceremony.say(&format!(
            "configuration: {id} stands in {}",
            config.display()
        ));
        Ok(())
    }
}

/// Appends to the file, which must still say what it said; what stands there is not touched.
fn append(path: &Path, before: &str, table: &str) -> Result<(), SetupError> {
    if fs::read(path).map_err(at(path))? != before.as_bytes() {
        let what = "somebody changed it meanwhile: begin again";
        return Err(content(path, &what));
    }
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(at(path))?;
    let length = file.metadata().map_err(at(path))?.len();
    let appended = file
        .write_all(table.as_bytes())
        .and_then(|()| file.sync_all());
    appended.map_err(|error| {
        // Half a table would keep the signer from starting.
        let cut: io::Result<()> = file.set_len(length);
        at(path)(cut.err().unwrap_or(error))
    })
}

/// Takes out of the file what was appended, and gives the reason why it had to go.
fn cut(path: &Path, before: &str, after: &str, reason: SetupError) -> SetupError {
    let cut = || {
        if fs::read(path)? != after.as_bytes() {
            return Err(io::Error::other("somebody changed it meanwhile"));
        }
        let length = u64::try_from(before.len()).map_err(io::Error::other)?;
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    };
    match cut() {
        Ok(()) => reason,
        Err(_) => SetupError::Left {
            source: Box::new(reason),
            left: vec![path.to_owned()],
        },
    }
}
