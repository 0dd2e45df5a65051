//! Loading documents into the record, also beside a running server.

use std::{fs, path::Path};

use crate::{deployment::Deployment, failure::Failure};

impl Deployment {
    /// `signer KIND load FILE`, beside a running server or not.
    ///
    /// # Errors
    /// It is refused.
    pub fn load(&self, kind: &str, path: &Path) -> Result<(), Failure> {
        self.run(&[kind, "load", &path.to_string_lossy()]).map(drop)
    }

    /// The next version of a document: that of the first, edited by `edit`, and made version `version`.
    ///
    /// # Errors
    /// It is refused.
    pub fn load_next(
        &self,
        kind: &str,
        institution: &str,
        version: u64,
        edit: impl FnOnce(String) -> String,
    ) -> Result<(), Failure> {
        let first = self
            .directory
            .path()
            .join(format!("documents/{institution}-{kind}.toml"));
        let text = edit(fs::read_to_string(first)?);
        let numbered = text.replacen("version = 1", &format!("version = {version}"), 1);
        let next = self
            .directory
            .path()
            .join(format!("documents/{institution}-{kind}-{version}.toml"));
        fs::write(&next, numbered)?;
        self.load(kind, &next)
    }
}
