//! Owns the configuration: machine matters only, one TOML file, every mistake at once. What comes out is checked:
//! addresses are addresses, certificates are parsed and belong to each other, secrets are in memory that is cleared.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use semops_objects::institution::InstitutionId;
use semops_pki::profile::Oids;
use toml::Table;

use crate::domain::{ceremony::Ceremony, retention::Retention, scheme_roots::SchemeRoots};

mod environment;
mod institution;
mod material;
mod observation;
mod reader;
mod retention;
mod roots;
mod sections;
mod store;
mod tls;

pub use environment::Environment;
pub use institution::{FurtherToken, Institution, KeyFiles, TokenPin};
pub use material::CaFiles;
pub use observation::Collector;
pub use reader::Mistake;
use reader::{Mistakes, Reader};
pub use roots::load_roots;
pub use store::{Postgres, Store};
pub use tls::Tls;

/// The checked configuration.
#[derive(Debug)]
pub struct Config {
    /// The SPIFFE trust domain of the deployment.
    pub scheme: String,
    /// What certificates say about where CRLs and CA certificates are; without a final slash.
    pub public_base_url: String,
    /// Where the record is kept.
    pub store: Store,
    /// gRPC over mutual TLS.
    pub grpc: Grpc,
    /// Where CRLs and CA certificates are served over plain HTTP.
    pub http: SocketAddr,
    /// Where metrics and health are shown, on this host; nowhere if it is not configured.
    pub admin: Option<SocketAddr>,
    /// Where traces and measurements go, on this host; nowhere if it is not configured.
    pub collector: Option<Collector>,
    /// What is logged.
    pub log: Log,
    /// The PKCS#11 module.
    pub hsm: Hsm,
    /// How long requests under way may take after SIGTERM.
    pub drain: Duration,
    /// The scheme's object identifiers.
    pub oids: Oids,
    /// Validity of device certificates, days.
    pub device_validity_days: u16,
    /// When CRLs are made.
    pub crl: CrlTimes,
    /// For how long what is kept.
    pub retention: Retention,
    /// The roots in force, and those that are published here.
    pub roots: SchemeRoots,
    /// The institutions, at least one, each once.
    pub institutions: Vec<Institution>,
}

/// gRPC over TLS 1.3 with client certificates.
#[derive(Clone, Debug)]
pub struct Grpc {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Certificate, key and client root.
    pub tls: Tls,
    /// The most connections at a time.
    pub max_connections: usize,
    /// The longest TLS handshake.
    pub handshake: Duration,
    /// The longest request.
    pub request: Duration,
    /// The oldest that a connection becomes.
    pub max_connection_age: Duration,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// The least important level that is logged.
    pub level: tracing::Level,
    /// Its form.
    pub format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line of text for each event.
    Text,
    /// A JSON object for each event.
    Json,
}

/// The PKCS#11 module.
#[derive(Debug)]
pub struct Hsm {
    /// Its shared library.
    pub module: PathBuf,
    /// The environment variables that it reads.
    pub environment: Environment,
    /// Whether it reaches its HSM over a network.
    pub network: bool,
    /// Worker processes per token.
    pub workers: usize,
    /// How long a call may last before its worker process is killed.
    pub hung: Duration,
    /// Sessions per worker process.
    pub threads: usize,
    /// Requests waiting per token.
    pub queue: usize,
}

/// When CRLs are made.
#[derive(Clone, Copy, Debug)]
pub struct CrlTimes {
    /// From thisUpdate to nextUpdate, hours.
    pub validity_hours: u32,
    /// The oldest a CRL becomes before the next one is made, hours.
    pub refresh_hours: u32,
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug)]
pub struct ConfigMistakes(pub Vec<Mistake>);

impl fmt::Display for ConfigMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        writeln!(f, "the configuration has {} mistake{plural}:", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|mistake| writeln!(f, "  {mistake}"))
    }
}

impl std::error::Error for ConfigMistakes {}

impl Config {
    /// Reads and checks the file and every file that it names, at `now` (Unix seconds).
    ///
    /// # Errors
    /// All mistakes, in the order of the file.
    pub fn load(file: &Path, now: i64) -> Result<Self, ConfigMistakes> {
        load(file, |file| sections::config(file, now))
    }
}

/// What an operator's commands need of the same file; the rest of it is neither read nor checked, so that no PIN is.
#[derive(Debug)]
pub struct Records {
    /// Where the record is kept.
    pub store: Store,
    /// The scheme's object identifiers.
    pub oids: Oids,
}

impl Records {
    /// Reads and checks these parts of the file.
    ///
    /// # Errors
    /// All mistakes in these parts.
    pub fn load(file: &Path) -> Result<Self, ConfigMistakes> {
        load(file, |mut file| {
            let (store, oids) = (
                store::store(&mut file),
                file.table("oids").and_then(sections::oids),
            );
            file.leave_the_rest();
            Some(Self {
                store: store?,
                oids: oids?,
            })
        })
    }
}

/// What changes are judged from, of the same file.
#[derive(Debug)]
pub struct Ceremonies {
    /// The SPIFFE trust domain of the deployment.
    pub scheme: String,
    /// The first change of each institution.
    pub ceremonies: BTreeMap<InstitutionId, Ceremony>,
    /// The keys with which it begins.
    pub keys: BTreeMap<InstitutionId, KeyFiles>,
    /// The roots in force.
    pub roots: SchemeRoots,
}

impl Ceremonies {
    /// Reads and checks these parts of the file, at `now` (Unix seconds).
    ///
    /// # Errors
    /// All mistakes in these parts.
    pub fn load(file: &Path, now: i64) -> Result<Self, ConfigMistakes> {
        load(file, |mut file| {
            let scheme = sections::scheme(&mut file);
            let tables = file.tables("institution");
            let roots = roots::roots(&mut file, scheme.as_deref(), now);
            let begun =
                institution::ceremonies(tables, scheme.as_deref(), roots.published.as_ref());
            file.leave_the_rest();
            let (mut ceremonies, mut keys) = (BTreeMap::new(), BTreeMap::new());
            for (id, (ceremony, files)) in begun {
                ceremonies.insert(id.clone(), ceremony);
                keys.insert(id, files);
            }
            Some(Self {
                scheme: scheme?,
                ceremonies,
                keys,
                roots: roots.in_force?,
            })
        })
    }
}

/// Reads the PIN files again that the file names. The rest of it is neither read nor checked.
///
/// # Errors
/// All mistakes in this part.
pub fn token_pins(file: &Path) -> Result<Vec<TokenPin>, ConfigMistakes> {
    load(file, |mut file| {
        let pins = institution::pins(file.tables("institution"));
        file.leave_the_rest();
        pins
    })
}

fn load<T>(file: &Path, read: impl FnOnce(Reader<'_>) -> Option<T>) -> Result<T, ConfigMistakes> {
    let mistakes = Mistakes::default();
    let base = file.parent().unwrap_or(Path::new(""));
    let read = table(file, &mistakes).and_then(|table| read(Reader::new(table, base, &mistakes)));
    let mistakes = mistakes.into_vec();
    match read {
        Some(read) if mistakes.is_empty() => Ok(read),
        _ => Err(ConfigMistakes(mistakes)),
    }
}

fn table(file: &Path, mistakes: &Mistakes) -> Option<Table> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file);
    let text = text
        .map_err(|e| mistakes.add(&name, e.to_string(), "name the file with --config FILE"))
        .ok()?;
    let table = text.parse::<Table>();
    table
        .map_err(|e| {
            mistakes.add(
                &name,
                format!("is not TOML: {}", e.to_string().trim_end()),
                "correct it there",
            )
        })
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const EXAMPLE: &str = include_str!("../../signer.example.toml");

    fn keys(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signer.toml");
        fs::write(&file, text).unwrap();
        Config::load(&file, 0)
            .unwrap_err()
            .0
            .into_iter()
            .map(|mistake| mistake.key)
            .collect()
    }

    /// The example names files that are not beside it: nothing else may be wrong with it.
    #[test]
    fn the_example_is_right_but_for_its_files() {
        let expected = [
            "grpc.certificate",
            "grpc.key",
            "grpc.client_root",
            "roots.changes",
            "roots.device.certificate",
            "roots.device.crl",
            "roots.signing.certificate",
            "roots.signing.crl",
            "institution[0].pin_file",
            "institution[0].device_ca.certificate",
            "institution[0].device_ca.crl",
            "institution[0].signing_ca.certificate",
            "institution[0].signing_ca.crl",
            "institution[0].authorization.chain",
            "institution[0].ceremony",
        ];
        assert_eq!(keys(EXAMPLE), expected);
    }

    #[test]
    fn mistakes_come_all_at_once() {
        let text = EXAMPLE
            .replace("127.0.0.1:8443", "localhost")
            .replace("threads = 2", "threads = 0\nsessions = 4")
            .replace("http://", "https://")
            .replace("refresh_hours = 24", "refresh_hours = 168")
            .replace("[drain]\nseconds = 15", "");
        let found = keys(&text);
        for key in [
            "public_base_url",
            "grpc.listen",
            "hsm.threads",
            "hsm.sessions",
            "drain",
            "crl.refresh_hours",
        ] {
            assert!(found.contains(&key.to_owned()), "{key} is not in {found:?}");
        }
    }

    #[test]
    fn further_tokens_are_named_once_and_are_few() {
        let table = |label: &str| {
            format!(
                "\n[[institution.further_token]]\ntoken = \"{label}\"\npin_file = \"pins/more\"\n"
            )
        };
        let found = |labels: &[&str]| {
            let tables: String = labels.iter().copied().map(table).collect();
            keys(&format!("{EXAMPLE}{tables}"))
        };
        let of = "institution[0].further_token";
        let few = found(&["alfa-2", "alfa"]);
        for (key, wrong) in [
            ("[0].pin_file", true),
            ("[1].pin_file", true),
            ("[0].token", false),
            ("[1].token", true),
            ("", false),
        ] {
            let key = format!("{of}{key}");
            assert_eq!(few.contains(&key), wrong, "{key} in {few:?}");
        }
        assert!(found(&["2", "3", "4", "5"]).contains(&of.to_owned()));
    }

    #[test]
    fn what_is_not_toml_is_one_mistake() {
        assert_eq!(keys("scheme = ").len(), 1);
        let absent = Config::load(Path::new("no/such/file.toml"), 0).unwrap_err();
        assert!(absent.to_string().contains("no/such/file.toml"), "{absent}");
    }
}
