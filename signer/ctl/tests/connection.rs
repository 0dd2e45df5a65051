//! Connecting, against a TLS server of this test: which servers are taken, and what the user reads of the others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::{fs, path::Path, process::Command, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::TLS13,
};
use semopsctl::{connection, failure::Failure, profile::Profile};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use tokio_rustls::TlsAcceptor;

const SPIFFE: &str = "spiffe://semops.example/alfa/server/main";

/// A root, a certificate of it for server and caller alike, and another root.
struct Scheme {
    folder: TempDir,
}

impl Scheme {
    fn new() -> Self {
        let scheme = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
        ];
        for root in ["root", "other"] {
            let (key, pem, subject) = (
                format!("{root}-key.pem"),
                format!("{root}.pem"),
                format!("/CN={root}"),
            );
            let own = [
                "req", "-x509", "-subj", &subject, "-keyout", &key, "-out", &pem,
            ];
            scheme.openssl(&[&own[..], &curve[..]].concat());
        }
        let names = format!("subjectAltName=DNS:localhost,URI:{SPIFFE}");
        let own = [
            "req",
            "-x509",
            "-subj",
            "/CN=server",
            "-keyout",
            "key.pem",
            "-out",
            "chain.pem",
        ];
        let issued = [
            "-CA",
            "root.pem",
            "-CAkey",
            "root-key.pem",
            "-addext",
            &names,
        ];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
        scheme.openssl(&[&own[..], &curve[..], &issued[..], &leaf[..]].concat());
        scheme
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new("openssl");
        let output = command
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    /// Serves one connection that speaks `protocol`, and says on which port.
    async fn serve(&self, protocol: &[u8]) -> u16 {
        let chain = vec![CertificateDer::from_pem_slice(&self.read("chain.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&self.read("key.pem")).unwrap();
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        port
    }

    fn profile(&self, port: u16, server: &str, root: &str) -> Profile {
        let path: &Path = &self.folder.path().join("profile.toml");
        let text = format!(
            "endpoint = 'https://127.0.0.1:{port}'\nserver = '{server}'\nroot = '{root}'\n\
             certificate = 'chain.pem'\nkey = 'key.pem'\ntimeout_seconds = 5\n"
        );
        fs::write(path, text).unwrap();
        Profile::load(path).unwrap()
    }

    /// What the user reads when this server is not taken.
    async fn refusal(&self, protocol: &[u8], server: &str, root: &str) -> String {
        let port = self.serve(protocol).await;
        match connection::connect(&self.profile(port, server, root)).await {
            Ok(_) => panic!("{server} was taken"),
            Err(error) => Failure::from(error).render(false),
        }
    }
}

#[tokio::test]
async fn the_server_named_in_the_profile_is_taken() {
    let scheme = Scheme::new();
    for server in ["localhost", SPIFFE] {
        let port = scheme.serve(b"h2").await;
        let connected = connection::connect(&scheme.profile(port, server, "root.pem")).await;
        assert!(connected.is_ok(), "{server}: {:?}", connected.err());
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_not() {
    let scheme = Scheme::new();
    let near = format!("{SPIFFE}2");
    for server in [
        "signer.example",
        "127.0.0.1",
        "spiffe://semops.example/beta/server/main",
        &near,
    ] {
        let text = scheme.refusal(b"h2", server, "root.pem").await;
        assert!(
            text.contains("compare `server` in the profile"),
            "{server}: {text}"
        );
    }
}

#[tokio::test]
async fn a_server_of_another_root_is_not() {
    let scheme = Scheme::new();
    for server in ["localhost", SPIFFE] {
        let text = scheme.refusal(b"h2", server, "other.pem").await;
        assert!(
            text.contains("does not come from `root` in the profile"),
            "{server}: {text}"
        );
    }
}

#[tokio::test]
async fn a_server_without_http_2_is_not() {
    let scheme = Scheme::new();
    let text = scheme.refusal(b"http/1.1", "localhost", "root.pem").await;
    assert!(text.contains("does not speak HTTP/2"), "{text}");
}
