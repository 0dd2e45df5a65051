//! Owns what is tested of a server that is reached over the network: it must be the one that the configuration names, and
//! asks for a password.

use std::{fs, net::Ipv4Addr, os::unix::fs::MetadataExt as _, path::Path, process::Command};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
    version::TLS13,
};
use secrecy::SecretString;

use super::*;
use crate::store::StoreError;

/// A root with a server's certificate for `address` below it, in `folder`.
fn certify(folder: &Path, address: &str) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let made = command
            .args(arguments.split(' '))
            .current_dir(folder)
            .output();
        let made = made.unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    };
    fs::write(folder.join("san"), format!("subjectAltName=IP:{address}")).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout root.key -out root.pem -subj /CN=root -days 2"
    ));
    openssl(&format!(
        "req -new {key} -keyout server.key -out server.csr -subj /CN=server"
    ));
    openssl(
        "x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile san -out server.pem",
    );
}

fn below(root: &Path) -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(root).unwrap())
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap();
    Some(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// Has the server of `cluster` speak TLS with the certificate in `folder`, to those who have a password alone.
async fn serve_tls(cluster: &Cluster, folder: &Path) {
    let owner = fs::metadata(cluster.socket()).unwrap();
    for (name, content) in [
        ("server.key", fs::read(folder.join("server.key")).unwrap()),
        ("server.pem", fs::read(folder.join("server.pem")).unwrap()),
        (
            "hba",
            b"local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n".to_vec(),
        ),
    ] {
        let file = cluster.socket().join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let place = cluster.socket().display();
    let session = Database(settings(cluster, "postgres")).session().await;
    for sql in [
        format!("ALTER SYSTEM SET ssl_cert_file = '{place}/server.pem'"),
        format!("ALTER SYSTEM SET ssl_key_file = '{place}/server.key'"),
        format!("ALTER SYSTEM SET hba_file = '{place}/hba'"),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SET password_encryption = 'scram-sha-256'".to_owned(),
        format!("ALTER ROLE {} PASSWORD 'right'", cluster::ROLE),
    ] {
        session.batch(&sql).await.unwrap();
    }
    // Which file rules who may come is read at a start alone.
    cluster.kill().unwrap();
    cluster.start_again().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_known_by_its_certificate_and_the_service_by_its_password() {
    let [a, b, ..] = *Uuid::new_v4().as_bytes();
    let (named, unnamed) = (Ipv4Addr::new(127, 1, a, b), Ipv4Addr::new(127, 2, a, b));
    let cluster = Cluster::start_with(&[&format!("listen_addresses={named},{unnamed}")]).unwrap();
    let (own, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certify(own.path(), &named.to_string());
    certify(foreign.path(), &named.to_string());
    let local = empty(&cluster).await;
    serve_tls(&cluster, own.path()).await;

    let right = Settings {
        hosts: vec![(named.to_string(), cluster::PORT)],
        password: Some(SecretString::from("right")),
        tls: below(&own.path().join("root.pem")),
        ..local
    };
    migrate(right.clone()).await.unwrap();
    let store = PostgresStore::open(right.clone()).await.unwrap();
    store.ping().await.unwrap();
    let with = |changed: fn(&mut Settings)| {
        let mut settings = right.clone();
        changed(&mut settings);
        settings
    };
    let elsewhere = vec![(unnamed.to_string(), cluster::PORT)];
    for (wrong, advice) in [
        (
            Settings {
                tls: below(&foreign.path().join("root.pem")),
                ..right.clone()
            },
            "invalid peer certificate",
        ),
        (
            Settings {
                hosts: elsewhere,
                ..right.clone()
            },
            "invalid peer certificate",
        ),
        (with(|wrong| wrong.tls = None), "pg_hba.conf"),
        (
            with(|wrong| wrong.password = Some(SecretString::from("wrong"))),
            "password file",
        ),
        (with(|wrong| wrong.password = None), "password"),
    ] {
        let refused = PostgresStore::open(wrong).await.err().unwrap();
        let said = refused.to_string();
        assert!(
            matches!(refused, StoreError::Unavailable(_)) && said.contains(advice),
            "{said}"
        );
        assert!(!said.contains("right") && !said.contains("wrong"), "{said}");
    }
}
