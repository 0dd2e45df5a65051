//! Owns what an operator has done, before the service serves again, with a record that was put back from a backup: the
//! published CRLs are read from a directory, what the record takes over is shown, and which documents are in force.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    io::Read as _,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use semops_pki::{certificate::rfc3339, crl::MAX_CRL};

use super::{OperatorError, say};
use crate::{
    authority::{
        Grounds, IssuingCa, PublishedFile, RestoreError, Rules, after_restore, publishers,
    },
    clock::{Clock, Timestamp},
    config::Config,
    domain::{
        actor::{Actor, Origin},
        document::{Document, StoredDocument},
        operation::hex,
    },
    ids::RequestId,
    server::{keys, record},
    store::{Restored, RestoredIssuer, Store, StoreError},
};

/// The most files in the directory: two for each of very many institutions.
const MOST_FILES: usize = 10_000;

/// Why the record was not made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AfterRestoreError {
    /// What was published does not do, or could not be taken over; nothing was changed.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The directory, or a file in it, cannot be read.
    #[error("{path}: {source}; name the directory with the newest published CRLs", path = path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was done, and could not be shown.
    #[error(transparent)]
    Shown(#[from] OperatorError),
}

impl From<StoreError> for AfterRestoreError {
    fn from(error: StoreError) -> Self {
        Self::Restore(error.into())
    }
}

impl AfterRestoreError {
    /// Whether the operator gave something wrong.
    pub const fn is_mistake(&self) -> bool {
        matches!(
            self,
            Self::Restore(RestoreError::Mistaken(_)) | Self::Directory { .. }
        )
    }
}

/// Makes the record ready: see [`after_restore`]. Says on standard output what was done.
///
/// # Errors
/// [`AfterRestoreError`]; then, unless it is `Shown`, nothing was changed.
pub async fn prepare(config: &Config, directory: &Path) -> Result<(), AfterRestoreError> {
    let files = files(directory).map_err(|(path, source)| AfterRestoreError::Directory {
        path: path.unwrap_or_else(|| directory.to_owned()),
        source,
    })?;
    let roots = config.roots.published().all();
    let roots: Vec<_> = roots.map(|(_, root)| root.certificate()).collect();
    let origin = Origin {
        actor: Actor::Operator(rustix::process::getuid().as_raw()),
        request: RequestId::new(),
    };
    let clock = Clock::system();
    let store = record::open(&config.store, NonZeroUsize::MIN, clock).await?;
    let now = clock.now();
    let cas = cas(config, store.as_ref(), now).await?;
    let restored = after_restore(store.as_ref(), &cas, &roots, &files, origin, now).await?;
    let documents = store.documents().await?.documents;
    let told = told(&cas, &restored, &documents, now);
    Ok(say(told.as_bytes())?)
}

/// The CAs that publish by what the record holds now.
async fn cas(
    config: &Config,
    store: &dyn Store,
    now: Timestamp,
) -> Result<Vec<IssuingCa>, StoreError> {
    let (mut keys, mut ceremonies) = (BTreeMap::new(), BTreeMap::new());
    for institution in &config.institutions {
        let id = institution.id.clone();
        keys.insert(id.clone(), keys::of(&id, &institution.keys));
        ceremonies.insert(id, institution.ceremony.clone());
    }
    let rules = Rules {
        scheme: &config.scheme,
        ceremonies: &ceremonies,
        grounds: Grounds {
            oids: &config.oids,
            roots: &config.roots,
            keys: &keys,
        },
    };
    publishers(store, rules, &config.public_base_url, now).await
}

/// A file that cannot be read, or the directory itself.
type Unread = (Option<PathBuf>, io::Error);

/// Every file of the directory, in the order of their names; folders in it are left alone.
fn files(directory: &Path) -> Result<Vec<PublishedFile>, Unread> {
    let whole = |error| (None, error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(whole)? {
        paths.push(entry.map_err(whole)?.path());
        if paths.len() > MOST_FILES {
            let much = format!("holds more than {MOST_FILES} files");
            return Err(whole(io::Error::new(io::ErrorKind::FileTooLarge, much)));
        }
    }
    paths.sort();
    paths.retain(|path| !path.is_dir());
    let read = |path: PathBuf| match read(&path) {
        Ok(der) => Ok(PublishedFile {
            name: path.display().to_string(),
            der,
        }),
        Err(error) => Err((Some(path), error)),
    };
    paths.into_iter().map(read).collect()
}

/// The file, or so much of it that it is too long for a CRL.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(MAX_CRL).unwrap_or(u64::MAX);
    let mut der = Vec::new();
    File::open(path)?
        .take(most.saturating_add(1))
        .read_to_end(&mut der)?;
    Ok(der)
}

fn told(
    cas: &[IssuingCa],
    restored: &Restored,
    documents: &[StoredDocument],
    now: Timestamp,
) -> String {
    let of = |ca: &IssuingCa| {
        let mut issuers = restored.issuers.iter();
        match issuers.find(|of| of.issuer == ca.key()) {
            Some(of) => of_issuer(ca, of),
            None if ca.answers => unpublished(ca),
            None => String::new(),
        }
    };
    let mut text: String = cas.iter().map(of).collect();
    text.push_str("in force now, load what is newer before the hold ends:\n");
    text.extend(documents.iter().map(in_force));
    let until = rfc3339(restored.hold_until.seconds());
    let left = now.until(restored.hold_until).as_secs();
    text + &format!("no order is co-signed until {until}, for {left} s from now\n")
}

fn of_issuer(ca: &IssuingCa, of: &RestoredIssuer) -> String {
    let (held, next) = (of.held, of.number.saturating_add(1));
    let mut text = format!("{ca}: the record held CRLNumber {held}, the next is {next}\n");
    text.extend(
        of.revoked
            .iter()
            .map(|device| format!("{ca}: device {device} is revoked again\n")),
    );
    text.extend(of.remembered.iter().map(|serial| {
        let serial = hex(serial);
        format!("{ca}: serial number {serial} is listed on, its device is not known\n")
    }));
    text
}

fn unpublished(ca: &IssuingCa) -> String {
    let address = &ca.address;
    format!(
        "{ca}: no CRL of it is there nor in the record, the next is 1: if {address} ever had one, stop, fetch it and start so again\n"
    )
}

fn in_force(stored: &StoredDocument) -> String {
    let Document {
        institution,
        kind,
        version,
        ..
    } = &stored.document;
    let sha256 = hex(&stored.document.sha256()).to_lowercase();
    let loaded = rfc3339(stored.loaded_at.seconds());
    let kind = kind.name();
    format!("  {institution} {kind} {version} {sha256} loaded at {loaded}\n")
}
