//! Owns what a local operator does beside a running server: the store's migrations, the loading and showing of the
//! documents, and erasure; and, before a server starts, with a record that was restored. Who may write the store may do this; every
//! load and every erasure is audited with the user id.

use std::{
    fmt::Write as _, fs::File, io, io::Read as _, io::Write as _, num::NonZeroUsize, path::Path,
    path::PathBuf,
};

use clap::Subcommand;
use semops_objects::institution::InstitutionId;

use crate::{
    authority::{LoadError, load_document},
    clock::Clock,
    config::{self, Records},
    domain::{
        actor::{Actor, Origin},
        device::DeviceId,
        document::{Document, DocumentKind},
    },
    ids::RequestId,
    server::record,
    store::{Store, StoreError},
};

mod arguments;
mod erase;
pub mod restore;

pub use arguments::{Arguments, Otherwise};

/// The longest document, octets.
const MAX_DOCUMENT: u64 = 8 << 20;

/// The form of a policy, explained.
const POLICY_FORM: &str = include_str!("../policy.example.toml");

/// What the operator wants.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the store, or bring it to the schema of this program
    Migrate {
        /// Then shut out programs of an older schema: none may be running on the database any more
        #[arg(long)]
        contract: bool,
    },
    /// Load or show an institution's policy
    #[command(
        subcommand,
        mut_subcommand("load", |load| load.after_long_help(POLICY_FORM))
    )]
    Policy(DocumentCommand),
    /// Load or show what an institution trusts
    #[command(subcommand)]
    Trust(DocumentCommand),
    /// Load or show an institution's register of callers
    #[command(subcommand)]
    Callers(DocumentCommand),
    /// Erase what identifies people in what an institution has of devices: orders and authorizations that it had co-signed,
    /// and, if it issued them, their subscribers' pseudonyms
    #[command(after_long_help = erase::STEPS)]
    Erase {
        /// Whose record of them
        institution: InstitutionId,
        /// Which
        #[arg(required = true)]
        devices: Vec<DeviceId>,
    },
    /// List all documents in force: institution, kind, version, SHA-256 of the exact bytes (hexadecimal)
    Documents,
}

/// What the operator wants with a document.
#[derive(Debug, Subcommand)]
pub enum DocumentCommand {
    /// Check a document and make it effective, also beside a running server
    Load {
        /// The document; its version is the effective one's plus one
        file: PathBuf,
    },
    /// Print the exact bytes of the effective document
    Show {
        /// Whose document
        institution: InstitutionId,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The store could not do it.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The document cannot be read.
    #[error("{file}: {source}", file = file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The document is not accepted.
    #[error("{file}: {source}", file = file.display())]
    Load {
        /// Which.
        file: PathBuf,
        /// Why.
        source: LoadError,
    },
    /// No such document is in force.
    #[error("{institution} has no {kind} in force; load one with `{kind} load FILE`", kind = kind.name())]
    None {
        /// Whose.
        institution: InstitutionId,
        /// Which.
        kind: DocumentKind,
    },
    /// Something of it is still needed.
    #[error("device {device} of {institution}: {why}")]
    Needed {
        /// Whose.
        institution: InstitutionId,
        /// Which.
        device: DeviceId,
        /// What, and what is to be done first.
        why: String,
    },
    /// The output was closed.
    #[error("the output: {0}")]
    Output(io::Error),
}

/// Does it, and says on standard output what was done.
///
/// # Errors
/// [`OperatorError`]; then nothing was changed.
pub async fn run(command: Command, records: &Records) -> Result<(), OperatorError> {
    let (kind, command) = match command {
        Command::Documents => {
            return list(&*record::open(&records.store, NonZeroUsize::MIN, Clock::system()).await?)
                .await;
        }
        Command::Migrate { contract } => return migrate(&records.store, contract).await,
        Command::Erase {
            institution,
            devices,
        } => {
            let store = record::open(&records.store, NonZeroUsize::MIN, Clock::system()).await?;
            return erase::run(&*store, institution, devices).await;
        }
        Command::Policy(command) => (DocumentKind::Policy, command),
        Command::Trust(command) => (DocumentKind::Trust, command),
        Command::Callers(command) => (DocumentKind::Callers, command),
    };
    let store = record::open(&records.store, NonZeroUsize::MIN, Clock::system()).await?;
    match command {
        DocumentCommand::Load { file } => load(&*store, records, kind, &file).await,
        DocumentCommand::Show { institution } => show(&*store, kind, institution).await,
    }
}

async fn migrate(store: &config::Store, contract: bool) -> Result<(), OperatorError> {
    let version = record::migrate(store, Clock::system()).await?;
    let served = if contract {
        record::contract(store, Clock::system()).await?;
        ", and no older program serves it"
    } else {
        ""
    };
    say(format!("the store {store} has schema version {version}{served}\n").as_bytes())
}

async fn load(
    store: &dyn Store,
    records: &Records,
    kind: DocumentKind,
    file: &Path,
) -> Result<(), OperatorError> {
    let bytes = read(file).map_err(|source| OperatorError::File {
        file: file.to_owned(),
        source,
    })?;
    let actor = Actor::Operator(rustix::process::getuid().as_raw());
    let origin = Origin {
        actor,
        request: RequestId::new(),
    };
    let loaded = load_document(
        store,
        &records.oids,
        kind,
        bytes,
        origin,
        Clock::system().now(),
    )
    .await;
    let loaded = loaded.map_err(|source| OperatorError::Load {
        file: file.to_owned(),
        source,
    })?;
    let document = loaded.document;
    let name = format!(
        "{} of {}, version {}",
        kind.name(),
        document.institution,
        document.version
    );
    let effect = if loaded.unchanged {
        "was effective already"
    } else {
        "is effective now"
    };
    say(format!("{name} {effect}\n").as_bytes())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?
        .take(MAX_DOCUMENT + 1)
        .read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MAX_DOCUMENT => Ok(bytes),
        _ => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "longer than 8 MiB",
        )),
    }
}

async fn list(store: &dyn Store) -> Result<(), OperatorError> {
    let documents = store.documents().await?.documents;
    let mut lines: Vec<String> = documents
        .iter()
        .map(|stored| line(&stored.document))
        .collect();
    lines.sort();
    say(lines.concat().as_bytes())
}

fn line(document: &Document) -> String {
    let mut line = format!(
        "{} {} {} ",
        document.institution,
        document.kind.name(),
        document.version
    );
    for octet in document.sha256() {
        // Writing to a String does not fail.
        let _ = write!(line, "{octet:02x}");
    }
    line.push('\n');
    line
}

async fn show(
    store: &dyn Store,
    kind: DocumentKind,
    institution: InstitutionId,
) -> Result<(), OperatorError> {
    let documents = store.documents().await?.documents;
    let found = documents
        .into_iter()
        .map(|stored| stored.document)
        .find(|document| document.kind == kind && document.institution == institution);
    let document = found.ok_or(OperatorError::None { institution, kind })?;
    say(&document.bytes)
}

fn say(text: &[u8]) -> Result<(), OperatorError> {
    let mut output = io::stdout().lock();
    output
        .write_all(text)
        .and_then(|()| output.flush())
        .map_err(OperatorError::Output)
}
