//! A small scheme for the tests: one root, the CA of `alfa` below it, a device below that, their CRLs in
//! files, and openssl as the judge. Every time is fixed.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use der::asn1::ObjectIdentifier;
use semops_pki::algorithm::PublicKey;
use semops_pki::certificate::Certificate;
use semops_pki::issuer::{Addresses, Content, Issuer, RevokedEntry, Subject, root};
use semops_pki::local_key::LocalKey;
use semops_pki::profile::Oids;
use semops_pki::signed::{ToBeSigned, assemble};
use tempfile::TempDir;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: i64 = 86_400;
pub(crate) const DEVICE_ID: &str = "0190a5b2-7c3d-4e4f-8a9b-0c1d2e3f4a5b";
pub(crate) const ADDRESSES: Addresses<'static> = Addresses {
    crl: "http://127.0.0.1:8080/crl/ca.crl",
    ca_certificate: "http://127.0.0.1:8080/ca/ca.cer",
};

pub(crate) fn oids() -> Oids {
    let oid = |text| ObjectIdentifier::new(text).unwrap();
    Oids {
        device_eku: oid("2.25.111111.1"),
        authorization_eku: oid("2.25.111111.2"),
        audit_eku: Some(oid("2.25.111111.4")),
        statement_eku: Some(oid("2.25.111111.5")),
        device_policy: oid("2.25.111111.3"),
    }
}

pub(crate) struct Scheme {
    pub(crate) dir: TempDir,
    pub(crate) root_key: LocalKey,
    pub(crate) root: Issuer,
    pub(crate) ca_key: LocalKey,
    pub(crate) ca: Issuer,
    pub(crate) device_key: LocalKey,
    pub(crate) device: Certificate,
}

impl Scheme {
    pub(crate) fn new() -> Self {
        let [root_key, ca_key, device_key] = [(); 3].map(|()| LocalKey::generate().unwrap());
        let content = content("scheme", root_key.public_key(), 1);
        let tbs = root(&content, "Device root", &oids()).unwrap();
        let root = Issuer::new(sign(&root_key, &tbs)).unwrap();
        let tbs = institution_ca(&root, "alfa", ca_key.public_key());
        let ca = Issuer::new(sign(&root_key, &tbs)).unwrap();
        let device = sign(&ca_key, &device(&ca, device_key.public_key()));
        let scheme = Self {
            dir: TempDir::new().unwrap(),
            root_key,
            root,
            ca_key,
            ca,
            device_key,
            device,
        };
        scheme.write("root.pem", scheme.root.ca().to_pem().as_bytes());
        scheme.write("ca.pem", scheme.ca.ca().to_pem().as_bytes());
        scheme.write("device.pem", scheme.device.to_pem().as_bytes());
        let ca_key = scheme.ca_key.to_pkcs8_pem().unwrap();
        scheme.write("ca.key", ca_key.as_bytes());
        scheme.write_crls(&[]);
        scheme
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }

    pub(crate) fn crl(&self, number: u64, entries: &[RevokedEntry]) -> Vec<u8> {
        let tbs = self.ca.crl(number, NOW - DAY, NOW + DAY, entries).unwrap();
        signed(&self.ca_key, &tbs)
    }

    pub(crate) fn write_crls(&self, entries: &[RevokedEntry]) {
        let tbs = self.root.crl(1, NOW - DAY, NOW + DAY, &[]).unwrap();
        self.write("root.crl", &signed(&self.root_key, &tbs));
        self.write("ca.crl", &self.crl(2, entries));
    }

    pub(crate) fn openssl(&self, arguments: &[&str]) -> Output {
        openssl(self.dir.path(), arguments)
    }

    /// The error numbers that `openssl verify` reports for a file, with the CRL of every level checked.
    pub(crate) fn verify(&self, file: &str, more: &[&str]) -> Vec<u32> {
        let now = NOW.to_string();
        let mut arguments = vec!["verify", "-x509_strict", "-crl_check_all", "-attime", &now];
        arguments.extend(["-CAfile", "root.pem", "-untrusted", "ca.pem"]);
        arguments.extend(["-CRLfile", "root.crl", "-CRLfile", "ca.crl"]);
        arguments.extend(more);
        arguments.push(file);
        let output = self.openssl(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        let numbers: Vec<u32> = text
            .lines()
            .filter_map(|line| line.strip_prefix("error "))
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(output.status.success(), numbers.is_empty(), "{text}");
        numbers
    }
}

pub(crate) fn openssl(directory: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("openssl is installed")
}

pub(crate) fn content<'a>(
    organization: &'a str,
    public_key: &'a PublicKey,
    serial: u8,
) -> Content<'a> {
    let last = organization.len().to_le_bytes()[0];
    let mut octets = [0xa5; 16];
    octets[14] = serial;
    octets[15] = last;
    Content {
        organization,
        public_key,
        serial: octets,
        not_before: NOW - 30 * DAY,
        not_after: NOW + 300 * DAY,
    }
}

pub(crate) fn institution_ca(root: &Issuer, institution: &str, key: &PublicKey) -> ToBeSigned {
    let subject = Subject::InstitutionCa {
        common_name: "Device CA",
    };
    root.certificate(
        &content(institution, key, 2),
        subject,
        Some(ADDRESSES),
        &oids(),
    )
    .unwrap()
}

pub(crate) fn device(ca: &Issuer, key: &PublicKey) -> ToBeSigned {
    let subject = Subject::Device {
        device_id: DEVICE_ID,
    };
    ca.certificate(&content("alfa", key, 3), subject, Some(ADDRESSES), &oids())
        .unwrap()
}

pub(crate) fn signed(key: &LocalKey, tbs: &ToBeSigned) -> Vec<u8> {
    assemble(tbs.bytes(), &key.sign(tbs.bytes()).unwrap())
}

pub(crate) fn sign(key: &LocalKey, tbs: &ToBeSigned) -> Certificate {
    Certificate::from_der(&signed(key, tbs)).unwrap()
}
