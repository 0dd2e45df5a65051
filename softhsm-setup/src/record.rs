//! Owns running the program `signer`, which alone makes the record and loads ceremonies.

use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use semops_objects::change::DocumentKind;
use semops_objects::institution::InstitutionId;

use crate::error::SetupError;

/// The longest time for one run; each is a few transactions.
const RUN: Duration = Duration::from_secs(60);
/// The most that is read of what it says: a trust document has 8 MiB at most.
const MAX_OUTPUT: u64 = 9 << 20;

/// The record of a directory, by way of the program `signer`.
pub(crate) struct Record {
    signer: PathBuf,
    config: PathBuf,
}

/// A document in force.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    institution: String,
    kind: String,
    version: u64,
}

impl InForce {
    /// `<institution> <kind> <version> <digest>`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let document = Self {
            institution: words.next()?.to_owned(),
            kind: words.next()?.to_owned(),
            version: words.next()?.parse().ok()?,
        };
        words.next().map(|_| document)
    }

    pub(crate) fn is(&self, kind: DocumentKind, institution: &InstitutionId) -> bool {
        self.institution == institution.as_str() && self.kind == kind.name()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

impl Record {
    /// The record that `config` names.
    ///
    /// # Errors
    /// [`SetupError::NoSigner`].
    pub(crate) fn new(signer: &Path, config: PathBuf) -> Result<Self, SetupError> {
        if !signer.is_file() {
            return Err(SetupError::NoSigner(signer.to_owned()));
        }
        Ok(Self {
            signer: signer.to_owned(),
            config,
        })
    }

    /// Checks the configuration with all its files.
    pub(crate) fn check_config(&self) -> Result<(), SetupError> {
        self.run(&["--check-config"]).map(drop)
    }

    /// Makes the store.
    pub(crate) fn migrate(&self) -> Result<(), SetupError> {
        self.run(&["migrate"]).map(drop)
    }

    /// Loads the ceremony of an institution that has none.
    pub(crate) fn begin(
        &self,
        institution: &InstitutionId,
        ceremony: &Path,
    ) -> Result<(), SetupError> {
        let Err(error) = self.run(&["change", "load", &ceremony.to_string_lossy()]) else {
            return Ok(());
        };
        // Its answer may be lost, and the ceremony in the record all the same.
        let in_force = self.in_force().unwrap_or_default();
        let mut documents = in_force.iter();
        if documents.any(|document| document.is(DocumentKind::Custodians, institution)) {
            return Ok(());
        }
        Err(error)
    }

    /// The exact text of a document in force.
    pub(crate) fn document(
        &self,
        kind: DocumentKind,
        institution: &InstitutionId,
    ) -> Result<String, SetupError> {
        self.run(&[kind.name(), "show", institution.as_str()])
    }

    /// The program.
    pub(crate) fn signer(&self) -> &Path {
        &self.signer
    }

    /// All documents in force.
    pub(crate) fn in_force(&self) -> Result<Vec<InForce>, SetupError> {
        let arguments = ["documents"];
        let said = self.run(&arguments)?;
        let parsed: Option<Vec<_>> = said.lines().map(InForce::parse).collect();
        parsed.ok_or_else(|| {
            refused(
                &arguments,
                &"its answer is not understood: is it of this version?",
            )
        })
    }

    fn run(&self, arguments: &[&str]) -> Result<String, SetupError> {
        let failed = |what: &dyn fmt::Display| refused(arguments, what);
        let mut child = Command::new(&self.signer)
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            // An interrupt at the terminal is for us: a load that has begun ends.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&format_args!("{}: {error}", self.signer.display())))?;
        let (said, error) = (read(child.stdout.take()), read(child.stderr.take()));
        let outputs = said
            .recv_timeout(RUN)
            .and_then(|said| Ok((said, error.recv_timeout(RUN)?)));
        if outputs.is_err() {
            // It may have ended in the meantime.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| failed(&error))?;
        let (said, error) = outputs.map_err(|_| failed(&"it did not end in time"))?;
        if status.success() {
            return Ok(said);
        }
        let error = error.trim();
        let error = error.strip_prefix("signer: ").unwrap_or(error);
        Err(match error {
            "" => failed(&format_args!("{status}")),
            error => failed(&error),
        })
    }
}

/// Reads what it says until it ends.
fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, said) = sync_channel(1);
    if let Some(pipe) = pipe {
        // Ends with the program.
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut text);
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
    }
    said
}

fn refused(arguments: &[&str], said: &dyn fmt::Display) -> SetupError {
    SetupError::Signer {
        arguments: arguments.join(" "),
        said: said.to_string(),
    }
}
