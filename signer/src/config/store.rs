//! Owns the table `[store]`: a file of the embedded store, or a PostgreSQL database that replicas share.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
    version::TLS13,
};
use secrecy::SecretString;

use super::{material, reader::Reader};

/// PostgreSQL's own port.
const PORT: u16 = 5432;

/// Where the record is kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// In this file.
    Sqlite(PathBuf),
    /// In this database.
    Postgres(Postgres),
}

/// A PostgreSQL database.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// The servers, one of which is the primary: each a host, or the folder of a socket, and a port.
    pub hosts: Vec<(String, u16)>,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password, if it has one.
    pub password: Option<SecretString>,
    /// How the servers are known: by their names, in certificates below these roots.
    pub tls: Option<Arc<ClientConfig>>,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.display().fmt(f),
            Self::Postgres(postgres) => {
                write!(f, "{} at", postgres.database)?;
                let mut hosts = postgres.hosts.iter();
                hosts.try_for_each(|(host, port)| write!(f, " {host}:{port}"))
            }
        }
    }
}

/// Exactly one of the two stands there.
pub(super) fn store(file: &mut Reader<'_>) -> Option<Store> {
    let mut store = file.table("store")?;
    match (store.has("sqlite"), store.has("postgres")) {
        (true, true) => {
            store.skip(&["sqlite", "postgres"]);
            store.wrong("sqlite", "stands beside postgres", "keep one of them");
            None
        }
        (false, true) => store.table("postgres").and_then(postgres),
        _ => store.path("sqlite").map(Store::Sqlite),
    }
}

fn postgres(mut table: Reader<'_>) -> Option<Store> {
    let hosts = hosts(&mut table);
    let (database, user) = (table.text("database"), table.text("user"));
    let password = if table.has("password_file") {
        material::password(&mut table, "password_file").map(Some)
    } else {
        Some(None)
    };
    let roots = if table.has("roots") {
        tls(&mut table, "roots").map(Some)
    } else {
        Some(None)
    };
    let (hosts, tls) = (hosts?, roots?);
    let tls = match (hosts.iter().any(|(host, _)| is_socket(host)), tls) {
        (true, Some(_)) => {
            table.wrong(
                "roots",
                "stands beside a socket",
                "leave it out: a socket has no TLS",
            );
            return None;
        }
        (false, None) if !hosts.iter().all(|(host, _)| is_own(host)) => {
            table.wrong(
                "roots",
                "is missing",
                "name a PEM file with the roots of the servers' certificates; only a socket or a loopback address does \
                 without",
            );
            return None;
        }
        (_, tls) => tls,
    };
    Some(Store::Postgres(Postgres {
        hosts,
        database: database?,
        user: user?,
        password: password?,
        tls,
    }))
}

fn hosts(table: &mut Reader<'_>) -> Option<Vec<(String, u16)>> {
    let texts = table.texts("hosts")?;
    let hosts: Option<Vec<_>> = texts.iter().map(|text| host(text)).collect();
    if hosts.is_none() {
        table.wrong(
            "hosts",
            "cannot be read",
            "give names or addresses such as db-1.example:5432 or [::1]:5432, or the folder of a socket",
        );
    }
    hosts
}

fn host(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, PORT),
    };
    let host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?,
        // An address of IPv6 without brackets has no port to tell from it.
        None if host.contains(':') => return None,
        None => host,
    };
    let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    named.then(|| (host.to_owned(), port))
}

fn is_socket(host: &str) -> bool {
    Path::new(host).is_absolute()
}

/// Whether nobody else can be on the way to it.
fn is_own(host: &str) -> bool {
    is_socket(host)
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// TLS 1.3 alone; the certificate must be below one of these roots, and for the host as it stands in `hosts`.
fn tls(table: &mut Reader<'_>, key: &str) -> Option<Arc<ClientConfig>> {
    let content = table.file(key)?;
    let config = || {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&content) {
            let root = root.map_err(|error| error.to_string())?;
            roots.add(root).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("holds no certificate".to_owned());
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| error.to_string())?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    };
    config()
        .map(Arc::new)
        .map_err(|what: String| table.wrong(key, what, "name a PEM file with root certificates"))
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{super::reader::Mistakes, *};

    fn read(text: &str) -> Result<Store, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let mistakes = Mistakes::default();
        let store = store(&mut Reader::new(
            text.parse().unwrap(),
            folder.path(),
            &mistakes,
        ));
        let mistakes = mistakes.into_vec();
        if mistakes.is_empty() {
            return Ok(store.unwrap());
        }
        let said = |m: super::super::Mistake| format!("{} {}", m.key, m.what);
        Err(mistakes.into_iter().map(said).collect())
    }

    fn hosts_of(hosts: &str) -> Result<Vec<(String, u16)>, Vec<String>> {
        let text = format!("[store.postgres]\nhosts = {hosts}\ndatabase = 'd'\nuser = 'u'");
        read(&text).map(|store| match store {
            Store::Postgres(postgres) => postgres.hosts,
            Store::Sqlite(_) => Vec::new(),
        })
    }

    #[test]
    fn a_file_or_a_database() {
        assert!(matches!(
            read("[store]\nsqlite = 'x'"),
            Ok(Store::Sqlite(_))
        ));
        assert_eq!(read("[store]").unwrap_err(), ["store.sqlite is missing"]);
        let both = "[store]\nsqlite = 'x'\n[store.postgres]\nuser = 'u'";
        assert_eq!(
            read(both).unwrap_err(),
            ["store.sqlite stands beside postgres"]
        );
        let all = read("[store.postgres]").unwrap_err();
        assert_eq!(
            all,
            [
                "store.postgres.hosts is missing",
                "store.postgres.database is missing",
                "store.postgres.user is missing"
            ]
        );
    }

    #[test]
    fn hosts_are_names_addresses_and_folders() {
        let own = hosts_of("['127.0.0.1:5433', '[::1]:5434', '[::1]', '/run/postgresql']").unwrap();
        let expected = [
            ("127.0.0.1", 5433),
            ("::1", 5434),
            ("::1", 5432),
            ("/run/postgresql", 5432),
        ];
        assert_eq!(own, expected.map(|(host, port)| (host.to_owned(), port)));
        for bad in [
            "['']",
            "[':5432']",
            "['a,b']",
            "['a:port']",
            "['::1']",
            "[]",
            "'a'",
        ] {
            assert!(hosts_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn others_than_this_host_are_reached_over_tls_alone() {
        for far in [
            "['db.example']",
            "['192.0.2.1:5432']",
            "['localhost']",
            "['127.0.0.1', 'db.example']",
        ] {
            let mistakes = hosts_of(far).unwrap_err();
            assert_eq!(mistakes, ["store.postgres.roots is missing"], "{far}");
        }
    }
}
