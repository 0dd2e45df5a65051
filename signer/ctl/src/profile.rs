//! Connection profiles: the TOML file that says which service is called, and as whom.
//!
//! ```toml
//! endpoint = "https://127.0.0.1:8443"   # where the service listens
//! server = "signer.example"             # DNS name or IP address, or spiffe:// id, that its certificate must carry
//! root = "tls-root.pem"                 # PEM of the TLS root, the only one trusted
//! certificate = "callers/chain.pem"     # PEM of the caller's chain: leaf, then CA
//! key = "callers/key.pem"               # PEM of the caller's private key
//! timeout_seconds = 10                  # deadline of each call, 1 to 300; 10 if left out
//! ceremony = "ceremony.json"            # a custodian's and auditor's: the institution's ceremony file, the base of all changes
//! ```
//!
//! Paths are relative to the profile. Unknown keys are refused.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustls::pki_types::ServerName;
use serde::Deserialize;

use crate::files::{self, FileError};

/// Deadline of a call when the profile names none.
const DEFAULT_TIMEOUT_SECONDS: u64 = 10;
/// Longest deadline that a profile may ask for.
const MAX_TIMEOUT_SECONDS: u64 = 300;

/// Where to connect and as whom; checked, its files not yet read.
#[derive(Clone, Debug)]
pub struct Profile {
    endpoint: String,
    authority: String,
    server: ServerIdentity,
    root: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    timeout: Duration,
    ceremony: Option<PathBuf>,
}

/// What the server's certificate must carry as a subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerIdentity {
    /// A dNSName or iPAddress, matched as RFC 9525 says.
    Name(ServerName<'static>),
    /// A SPIFFE id: the certificate's only URI, compared octet by octet.
    Spiffe(String),
}

/// Why a profile was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not TOML, an unknown key, a missing key, or a value of another type.
    #[error("{path}: {source}")]
    Syntax {
        /// The profile.
        path: PathBuf,
        /// What the reader found, and where.
        source: toml::de::Error,
    },
    /// A value breaks its rule.
    #[error("{path}: {key}: {rule}")]
    Value {
        /// The profile.
        path: PathBuf,
        /// The key whose value it is.
        key: &'static str,
        /// The rule.
        rule: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    endpoint: String,
    server: String,
    root: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    timeout_seconds: Option<u64>,
    ceremony: Option<PathBuf>,
}

impl Profile {
    /// Reads the profile at `path`.
    ///
    /// # Errors
    /// [`ProfileError`], naming the file and the key.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = files::read_text(path)?;
        let raw: Raw = toml::from_str(&text).map_err(|source| ProfileError::Syntax {
            path: path.to_owned(),
            source,
        })?;
        Self::check(raw, path)
    }

    fn check(raw: Raw, path: &Path) -> Result<Self, ProfileError> {
        let refuse = |key, rule: &str| ProfileError::Value {
            path: path.to_owned(),
            key,
            rule: rule.to_owned(),
        };
        let authority = raw
            .endpoint
            .strip_prefix("https://")
            .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
            .filter(|authority| is_host_and_port(authority))
            .ok_or_else(|| refuse("endpoint", "must be https://HOST:PORT and nothing more"))?
            .to_owned();
        let server = ServerIdentity::parse(&raw.server).ok_or_else(|| {
            refuse(
                "server",
                "must be a DNS name, an IP address or a spiffe:// id",
            )
        })?;
        let seconds = raw.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        if !(1..=MAX_TIMEOUT_SECONDS).contains(&seconds) {
            return Err(refuse("timeout_seconds", "must be 1 to 300"));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Self {
            endpoint: raw.endpoint,
            authority,
            server,
            root: folder.join(raw.root),
            certificate: folder.join(raw.certificate),
            key: folder.join(raw.key),
            timeout: Duration::from_secs(seconds),
            ceremony: raw.ceremony.map(|path| folder.join(path)),
        })
    }

    /// The `https://HOST:PORT` of the service.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// `HOST:PORT`, to be resolved and connected to.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Who must answer there.
    #[must_use]
    pub fn server(&self) -> &ServerIdentity {
        &self.server
    }

    /// PEM file of the TLS root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// PEM file of the caller's certificate chain, leaf first.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// PEM file of the caller's private key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Deadline of connecting, and of each call.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The institution's ceremony file, from which its history of changes is verified.
    #[must_use]
    pub fn ceremony(&self) -> Option<&Path> {
        self.ceremony.as_deref()
    }
}

impl ServerIdentity {
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("spiffe://") {
            let complete = rest
                .split_once('/')
                .is_some_and(|(domain, path)| !domain.is_empty() && !path.is_empty());
            return complete.then(|| Self::Spiffe(text.to_owned()));
        }
        ServerName::try_from(text.to_owned()).ok().map(Self::Name)
    }
}

/// `HOST:PORT` with a host of a URI's characters (RFC 3986 s3.2.2) and a port other than 0.
fn is_host_and_port(authority: &str) -> bool {
    let Some((host, port)) = authority.rsplit_once(':') else {
        return false;
    };
    let host_is_plain = match host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        }
    };
    host_is_plain
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    const GOOD: &str = r#"
        endpoint = "https://127.0.0.1:8443"
        server = "spiffe://semops.example/alfa/server/main"
        root = "../tls-root.pem"
        certificate = "/etc/semops/chain.pem"
        key = "key.pem"
    "#;

    fn load(text: &str) -> Result<Profile, ProfileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.toml");
        std::fs::write(&path, text).unwrap();
        Profile::load(&path)
    }

    #[test]
    fn paths_are_relative_to_the_profile_and_the_deadline_has_a_default() {
        let profile = load(GOOD).unwrap();
        assert!(profile.root().ends_with("../tls-root.pem"));
        assert!(profile.root().is_absolute());
        assert_eq!(profile.certificate(), Path::new("/etc/semops/chain.pem"));
        assert_eq!(profile.authority(), "127.0.0.1:8443");
        assert_eq!(profile.timeout(), Duration::from_secs(10));
        assert_eq!(profile.ceremony(), None);
        let custodian = load(&format!("{GOOD}ceremony = \"../ceremony.json\"")).unwrap();
        let ceremony = custodian.ceremony().unwrap();
        assert!(ceremony.is_absolute() && ceremony.ends_with("../ceremony.json"));
        let spiffe = ServerIdentity::Spiffe("spiffe://semops.example/alfa/server/main".to_owned());
        assert_eq!(profile.server(), &spiffe);
    }

    #[test]
    fn a_dns_name_and_an_address_are_names() {
        for server in ["signer.example", "localhost", "127.0.0.1", "::1"] {
            assert!(
                matches!(ServerIdentity::parse(server), Some(ServerIdentity::Name(_))),
                "{server}"
            );
        }
        for server in [
            "",
            "a b",
            "spiffe://",
            "spiffe://x",
            "spiffe://x/",
            "https://x",
        ] {
            assert_eq!(ServerIdentity::parse(server), None, "{server}");
        }
    }

    #[test]
    fn each_mistake_names_its_key() {
        let cases = [
            ("127.0.0.1:8443\"", "127.0.0.1\"", "endpoint:"),
            ("127.0.0.1:8443\"", "127.0.0.1:0\"", "endpoint:"),
            ("127.0.0.1:8443\"", "127.0.0.1:99999\"", "endpoint:"),
            ("127.0.0.1:8443\"", "h:1/path\"", "endpoint:"),
            ("127.0.0.1:8443\"", "user@h:1\"", "endpoint:"),
            ("https://", "http://", "endpoint:"),
            (
                "spiffe://semops.example/alfa/server/main",
                "two words",
                "server:",
            ),
            (
                "key = \"key.pem\"",
                "key = \"key.pem\"\ntimeout_seconds = 0",
                "timeout_seconds:",
            ),
            (
                "key = \"key.pem\"",
                "key = \"key.pem\"\ntimeout_seconds = 301",
                "timeout_seconds:",
            ),
            (
                "key = \"key.pem\"",
                "key = \"key.pem\"\ninsecure = true",
                "unknown field `insecure`",
            ),
            ("key = \"key.pem\"", "", "missing field `key`"),
        ];
        for (from, to, expected) in cases {
            assert!(GOOD.contains(from));
            let text = load(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(text.contains(expected), "{to}: {text}");
            assert!(text.contains("profile.toml"), "{text}");
        }
    }
}
