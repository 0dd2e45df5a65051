//! Owns the capability report: what a worker process found of the module, a token and its keys
//! at start.

use std::fmt;
use std::path::PathBuf;

use semops_objects::institution::InstitutionId;

use crate::domain::key::KeyId;

/// What the probe found of one token. Display gives it as a few lines for people.
#[derive(Clone, Debug)]
pub struct TokenReport {
    /// Whose token it is.
    pub institution: InstitutionId,
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// Its manufacturer, description and version, and the version of PKCS#11 that it speaks.
    pub library: String,
    /// The slot's number, good until the next start.
    pub slot: u64,
    /// The token's label.
    pub label: String,
    /// The token's manufacturer, model, serial number and firmware version.
    pub token: String,
    /// `ulMaxSessionCount`; nothing if the token names none.
    pub session_limit: Option<u64>,
    /// Threads of each worker process, with a session each; one more session keeps the login.
    pub threads: usize,
    /// Whether sessions are read-only.
    pub read_only: bool,
    /// The mechanisms that the token lists, by name.
    pub mechanisms: Vec<String>,
    /// The keys that may be used.
    pub keys: Vec<KeyReport>,
}

/// What the probe found of one key.
#[derive(Clone, Debug)]
pub struct KeyReport {
    /// Its id, which is its CKA_ID.
    pub id: KeyId,
    /// Its CKA_LABEL: its purpose.
    pub label: String,
    /// Attributes of the private key: name and value, or nothing where the token does not tell.
    pub attributes: Vec<(String, Option<bool>)>,
}

impl fmt::Display for TokenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.session_limit.map(|n| n.to_string());
        let limit = limit.as_deref().unwrap_or("none stated");
        let access = if self.read_only {
            "read-only"
        } else {
            "read-write"
        };
        writeln!(f, "HSM of {}", self.institution)?;
        writeln!(f, "  module      {}", self.module.display())?;
        writeln!(f, "  library     {}", self.library)?;
        writeln!(f, "  slot        {}", self.slot)?;
        writeln!(f, "  token       \"{}\", {}", self.label, self.token)?;
        writeln!(
            f,
            "  sessions    {} {access}, one per thread, and one for the login; limit {limit}",
            self.threads
        )?;
        writeln!(f, "  mechanisms  {}", self.mechanisms.join(" "))?;
        for key in &self.keys {
            writeln!(f, "  key         {} {}", key.label, key.id)?;
            write!(f, "             ")?;
            for (name, value) in &key.attributes {
                let value = value.map_or("unknown".to_owned(), |value| value.to_string());
                write!(f, " {name}={value}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
