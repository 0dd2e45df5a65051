//! Owns what a local operator does beside a running server: the store's migrations, the bringing in of changes that others
//! approved, the showing of documents, and erasure; and, before a server starts, with a record that was restored. Who may
//! write the store may do this; every change and every erasure is audited with the user id.

use std::{
    fmt::Write as _, fs::File, io, io::Read as _, io::Write as _, num::NonZeroUsize, path::Path,
    path::PathBuf, sync::Arc,
};

use clap::Subcommand;
use semops_objects::institution::InstitutionId;

use crate::{
    authority::BringError,
    clock::Clock,
    config::{self, Ceremonies, ConfigMistakes, Records},
    domain::{
        device::DeviceId,
        document::{Document, DocumentKind},
    },
    server::record,
    store::{Store, StoreError},
};

mod arguments;
mod change;
mod erase;
pub mod restore;

pub use arguments::{Arguments, Otherwise};

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
    /// Show an institution's policy
    #[command(subcommand, after_long_help = POLICY_FORM)]
    Policy(DocumentCommand),
    /// Show what an institution trusts
    #[command(subcommand)]
    Trust(DocumentCommand),
    /// Show an institution's register of callers
    #[command(subcommand)]
    Callers(DocumentCommand),
    /// Show an institution's register of custodians
    #[command(subcommand)]
    Custodians(DocumentCommand),
    /// Bring a change of what rules an institution in, or list its changes
    #[command(subcommand)]
    Change(ChangeCommand),
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
    /// Print the exact bytes of the effective document
    Show {
        /// Whose document
        institution: InstitutionId,
    },
}

/// What the operator wants with changes.
#[derive(Debug, Subcommand)]
pub enum ChangeCommand {
    /// Bring a change file in: the ceremony with which an institution begins, or a change with all its approvals. It is judged
    /// like any other and effective at once, also beside a running server
    Load {
        /// The change file
        file: PathBuf,
    },
    /// List an institution's changes, those recorded last first
    List {
        /// Whose changes
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
    /// The configuration has mistakes in what the command needs of it.
    #[error(transparent)]
    Config(#[from] ConfigMistakes),
    /// The change file cannot be read.
    #[error("{file}: {source}", file = file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The change is not taken.
    #[error("{file}: {source}", file = file.display())]
    Change {
        /// Which.
        file: PathBuf,
        /// Why.
        source: Box<BringError>,
    },
    /// No such document is in force.
    #[error("{institution} has no {kind} in the record; begin its history with `change load FILE` and its ceremony", kind = kind.name())]
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

impl OperatorError {
    /// Whether the configuration is to blame.
    pub const fn is_mistake(&self) -> bool {
        matches!(self, Self::Config(_))
    }
}

/// Does it, by the configuration in `file`, and says on standard output what was done.
///
/// # Errors
/// [`OperatorError`]; then nothing was changed.
pub async fn run(command: Command, file: &Path) -> Result<(), OperatorError> {
    let records = Records::load(file)?;
    match command {
        Command::Migrate { contract } => migrate(&records.store, contract).await,
        Command::Change(ChangeCommand::Load { file: change }) => {
            let now = Clock::system().now().seconds();
            let ceremonies = Ceremonies::load(file, now)?;
            change::load(&*open(&records).await?, &records, &ceremonies, &change).await
        }
        Command::Change(ChangeCommand::List { institution }) => {
            change::list(&*open(&records).await?, &institution).await
        }
        Command::Policy(show) => shown(&records, DocumentKind::Policy, show).await,
        Command::Trust(show) => shown(&records, DocumentKind::Trust, show).await,
        Command::Callers(show) => shown(&records, DocumentKind::Callers, show).await,
        Command::Custodians(show) => shown(&records, DocumentKind::Custodians, show).await,
        Command::Erase {
            institution,
            devices,
        } => erase::run(&*open(&records).await?, institution, devices).await,
        Command::Documents => list(&*open(&records).await?).await,
    }
}

async fn open(records: &Records) -> Result<Arc<dyn Store>, StoreError> {
    record::open(&records.store, NonZeroUsize::MIN, Clock::system()).await
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

fn read(file: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(file)?.take(bound).read_to_end(&mut bytes)?;
    if bytes.len() <= most {
        return Ok(bytes);
    }
    let long = format!("longer than {} MiB", most >> 20);
    Err(io::Error::new(io::ErrorKind::FileTooLarge, long))
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

async fn shown(
    records: &Records,
    kind: DocumentKind,
    DocumentCommand::Show { institution }: DocumentCommand,
) -> Result<(), OperatorError> {
    let store = open(records).await?;
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
