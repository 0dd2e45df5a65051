//! A person at a terminal: a folder, and programs run in it with what they say. The scenarios have openssl make and judge
//! things here, and type what the documentation tells people to type.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use semops_pki::certificate::Certificate;
use tempfile::TempDir;

use crate::{failure::Failure, programs};

/// A folder of its own, removed when it is dropped.
#[derive(Debug)]
pub struct Terminal {
    folder: TempDir,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Whether it ended with 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Both outputs.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl Terminal {
    /// With an empty folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("semops-terminal-")
            .tempdir()?;
        Ok(Self { folder })
    }

    /// A file in the folder.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<(), Failure> {
        fs::write(self.path(name), content).map_err(Failure::during(name))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        fs::read(self.path(name)).map_err(Failure::during(name))
    }

    /// Writes certificates as PEM, in this order.
    ///
    /// # Errors
    /// One is no certificate, or the file cannot be written.
    pub fn write_chain(&self, name: &str, chain: &[Vec<u8>]) -> Result<(), Failure> {
        let pem = chain
            .iter()
            .map(|der| Ok(Certificate::from_der(der)?.to_pem()))
            .collect::<Result<String, Failure>>()?;
        self.write(name, pem)
    }

    /// Runs `command` in the folder to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, command: &mut Command) -> Result<Said, Failure> {
        let output = command
            .current_dir(self.folder.path())
            .env("LC_ALL", "C.UTF-8")
            .output()
            .map_err(Failure::during(command.get_program().to_string_lossy()))?;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// `openssl` with the words of `line` (parted by white space), whatever comes of it.
    ///
    /// # Errors
    /// There is no openssl.
    pub fn try_openssl(&self, line: &str) -> Result<Said, Failure> {
        self.run(programs::openssl()?.args(line.split_whitespace()))
    }

    /// The same, demanding that it ends well; gives both outputs.
    ///
    /// # Errors
    /// It does not.
    pub fn openssl(&self, line: &str) -> Result<String, Failure> {
        let said = self.try_openssl(line)?;
        if said.succeeded() {
            return Ok(said.all());
        }
        Err(Failure::new(format!("openssl {line}: {}", said.all())))
    }
}
