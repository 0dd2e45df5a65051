//! A root, a certificate of it for server and caller alike, and another root, made by openssl; a server's TLS and a
//! caller's profile with them.

#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::TLS13,
};
use semopsctl::profile::Profile;
use tempfile::TempDir;

/// In the server certificate.
pub(crate) const SPIFFE: &str = "spiffe://semops.example/alfa/server/main";

/// Files in a folder of their own.
pub(crate) struct Scheme {
    folder: TempDir,
}

impl Scheme {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn openssl(&self, arguments: &[&str]) {
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

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// TLS of a server that speaks `protocol`, to whoever comes.
    pub(crate) fn server_config(&self, protocol: &[u8]) -> Arc<ServerConfig> {
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
        Arc::new(config)
    }

    /// Writes profile.toml.
    pub(crate) fn profile(&self, port: u16, server: &str, root: &str) -> Profile {
        let path: &Path = &self.folder.path().join("profile.toml");
        let text = format!(
            "endpoint = 'https://127.0.0.1:{port}'\nserver = '{server}'\nroot = '{root}'\n\
             certificate = 'chain.pem'\nkey = 'key.pem'\ntimeout_seconds = 5\n"
        );
        fs::write(path, text).unwrap();
        Profile::load(path).unwrap()
    }
}
