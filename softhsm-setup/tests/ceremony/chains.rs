//! What openssl says of chains and CRLs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use softhsm_setup::client::{IssuedBy, issue_client};
use softhsm_setup::directory::Hierarchy;
use softhsm_setup::scheme::Role;

use crate::{edge, id, pem, scheme, shared, text};

/// `openssl verify`; gives what it printed, and whether it was content.
pub(crate) fn openssl_verify(
    root: &Path,
    crls: &[PathBuf],
    more: &[&str],
    chain: &Path,
) -> (bool, String) {
    let mut command = Command::new("openssl");
    command
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(root);
    if !crls.is_empty() {
        command.arg("-crl_check_all");
    }
    for crl in crls {
        command.arg("-CRLfile").arg(crl);
    }
    // openssl verifies the first certificate of the file and takes the others as untrusted.
    let output = command
        .args(more)
        .arg("-untrusted")
        .arg(chain)
        .arg(chain)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), text(&said).to_owned())
}

#[test]
fn openssl_accepts_every_chain_with_its_crls() {
    let made = shared();
    let accepted = |(good, said): (bool, String)| assert!(good, "{said}");
    for institution in ["alfa", "beta", "mobilis"].map(id) {
        for hierarchy in [Hierarchy::Device, Hierarchy::Signing] {
            let crls = [made.root_crl(hierarchy)];
            let ca = made.ca(hierarchy, &institution);
            accepted(openssl_verify(&made.root(hierarchy), &crls, &[], &ca));
        }
        let crls = [
            made.root_crl(Hierarchy::Signing),
            made.ca_crl(Hierarchy::Signing, &institution),
        ];
        let chain = made.authorization_chain(&institution);
        let root = made.root(Hierarchy::Signing);
        accepted(openssl_verify(&root, &crls, &[], &chain));
        assert!(
            !openssl_verify(&root, &crls[..1], &[], &chain).0,
            "no CRL of the CA"
        );
        let (good, said) = openssl_verify(&root, &crls, &["-purpose", "sslclient"], &chain);
        assert!(!good, "an authorization key is no TLS client: {said}");
        let device_root = made.root(Hierarchy::Device);
        assert!(!openssl_verify(&device_root, &[], &[], &chain).0);
    }
}

#[test]
fn openssl_accepts_the_server_and_the_callers() {
    let made = shared();
    let accepted = |(good, said): (bool, String)| assert!(good, "{said}");
    for institution in ["alfa", "beta", "mobilis"].map(id) {
        for (role, name) in [(Role::Enrolment, "ra"), (Role::Payments, "backend")] {
            let chain = made.caller(&institution, role, name).chain;
            let purpose = ["-purpose", "sslclient"];
            accepted(openssl_verify(
                &made.root(Hierarchy::Tls),
                &[],
                &purpose,
                &chain,
            ));
        }
    }
    let purpose = ["-purpose", "sslserver", "-verify_ip", "127.0.0.1"];
    let host = ["-verify_hostname", "signer.semops.example"];
    let more = [&purpose[..], &host[..]].concat();
    let chain = made.server_chain();
    accepted(openssl_verify(
        &made.root(Hierarchy::Tls),
        &[],
        &more,
        &chain,
    ));
}

#[test]
fn openssl_reads_the_first_crl() {
    let output = Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-text", "-in"])
        .arg(shared().ca_crl(Hierarchy::Device, &id("mobilis")))
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(
        said.contains("X509v3 CRL Number: \n                1"),
        "{said}"
    );
    assert!(said.contains("No Revoked Certificates"), "{said}");
}

#[test]
fn certificates_say_where_the_service_publishes() {
    let made = shared();
    let ca = &pem(&made.ca(Hierarchy::Device, &id("alfa")))[0];
    assert_eq!(
        ca.crl_addresses(),
        ["http://127.0.0.1:8080/crl/device-root.crl"]
    );
    assert_eq!(
        ca.ca_issuer_addresses(),
        ["http://127.0.0.1:8080/ca/device-root.cer"]
    );
    let leaf = &pem(&made.authorization_chain(&id("alfa")))[0];
    assert_eq!(
        leaf.crl_addresses(),
        ["http://127.0.0.1:8080/crl/alfa-signing-ca.crl"]
    );
    assert_eq!(
        leaf.ca_issuer_addresses(),
        ["http://127.0.0.1:8080/ca/alfa-signing-ca.cer"]
    );
    assert!(ca.not_before() <= edge().now - 300);
    let crl = fs::read(made.root_crl(Hierarchy::Tls)).unwrap();
    let crl = CertificateRevocationList::from_der(&crl).unwrap();
    assert!(crl.next_update() > edge().now + 360 * 86_400);
    crl.verify_issued_by(&pem(&made.root(Hierarchy::Tls))[0])
        .unwrap();
}

#[test]
fn clients_can_be_issued_later_by_the_registered_ca_and_by_others() {
    let made = shared();
    let issue = |institution: &str, spiffe_id: &str, by| {
        issue_client(&scheme(), made, &id(institution), spiffe_id, by, edge().now)
    };
    let alfa = "spiffe://semops.example/alfa/payments/second";
    let verify = |chain: &str, hierarchy| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), chain).unwrap();
        openssl_verify(
            &made.root(hierarchy),
            &[],
            &["-purpose", "sslclient"],
            file.path(),
        )
        .0
    };
    let good = issue("alfa", alfa, IssuedBy::RegisteredCa).unwrap();
    assert!(verify(&good.chain, Hierarchy::Tls));
    assert!(good.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    let ca = &Certificate::chain_from_pem(&good.chain).unwrap()[1];
    assert_eq!(*ca, pem(&made.ca(Hierarchy::Tls, &id("alfa")))[0]);
    let unregistered = issue("alfa", alfa, IssuedBy::NewCa(Hierarchy::Tls)).unwrap();
    assert!(verify(&unregistered.chain, Hierarchy::Tls));
    let other = issue("alfa", alfa, IssuedBy::NewCa(Hierarchy::Device)).unwrap();
    assert!(verify(&other.chain, Hierarchy::Device));
    assert!(!verify(&other.chain, Hierarchy::Tls));
    assert!(issue("beta", alfa, IssuedBy::RegisteredCa).is_err());
}
