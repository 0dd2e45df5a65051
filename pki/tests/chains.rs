//! Chains and CRLs of the scheme's form, judged by openssl and by this crate alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod scheme;

use std::net::{IpAddr, Ipv4Addr};

use der::asn1::ObjectIdentifier;
use scheme::{ADDRESSES, DAY, DEVICE_ID, NOW, Scheme, content, oids, sign, signed};
use semops_pki::certificate::Certificate;
use semops_pki::chain::Chain;
use semops_pki::error::CertificateError;
use semops_pki::issuer::{Issuer, Subject};
use semops_pki::local_key::LocalKey;
use semops_pki::profile::{self, Kind};

fn chain_of(scheme: &Scheme, leaf: &Certificate) -> [Certificate; 2] {
    [leaf.clone(), scheme.ca.ca().clone()]
}

/// A leaf that openssl makes with the CA's key, for what our issuer refuses to make.
fn foreign_leaf(scheme: &Scheme, subject: &str, extensions: &str) -> Certificate {
    scheme.write("leaf.ext", extensions.as_bytes());
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key \
                   -out leaf.csr -subj";
    let issue = "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 77 -days 3650 \
                 -sha256 -extfile leaf.ext -out leaf.pem";
    let request: Vec<&str> = request.split_whitespace().chain([subject]).collect();
    let issue: Vec<&str> = issue.split_whitespace().collect();
    for arguments in [request, issue] {
        let output = scheme.openssl(&arguments);
        assert!(output.status.success(), "{output:?}");
    }
    Certificate::from_pem(&String::from_utf8(scheme.read("leaf.pem")).unwrap()).unwrap()
}

const LEAF_EXTENSIONS: &str =
    "keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n";

#[test]
fn a_device_chain_verifies() {
    let scheme = Scheme::new();
    assert_eq!(scheme.verify("ca.pem", &[]), []);
    assert_eq!(scheme.verify("device.pem", &[]), []);
    let below_root = chain_of(&scheme, &scheme.device);
    let chain = Chain::verify(&below_root, scheme.root.ca(), NOW).unwrap();
    assert_eq!(chain.below_root().len(), 2);
    assert_eq!(chain.root(), scheme.root.ca());
}

#[test]
fn every_certificate_keeps_its_profile_when_read_back() {
    let scheme = Scheme::new();
    let (root, ca) = (scheme.root.ca(), scheme.ca.ca());
    let check = |certificate, kind, issuer| profile::check(certificate, kind, issuer, &oids());
    assert_eq!(check(root, Kind::Root, root), Ok(()));
    assert_eq!(check(ca, Kind::InstitutionCa, root), Ok(()));
    assert_eq!(check(&scheme.device, Kind::Device, ca), Ok(()));
    assert!(check(&scheme.device, Kind::Authorization, ca).is_err());
    assert!(check(ca, Kind::TlsCa, root).is_err());
    assert!(check(root, Kind::InstitutionCa, root).is_err());
}

#[test]
fn a_device_certificate_says_what_it_must() {
    let device = Scheme::new().device;
    assert_eq!(device.subject_organization(), Some("alfa"));
    assert_eq!(device.subject_common_name(), Some(DEVICE_ID));
    assert_eq!(device.uri_sans(), [format!("urn:uuid:{DEVICE_ID}")]);
    assert_eq!(device.extended_key_usages(), [oids().device_eku]);
    assert_eq!(device.policies(), [oids().device_policy]);
    assert_eq!(device.crl_addresses(), [ADDRESSES.crl]);
    assert_eq!(device.ca_issuer_addresses(), [ADDRESSES.ca_certificate]);
    assert!(device.allows_digital_signature() && !device.allows_key_cert_sign());
    assert!(!device.is_ca() && device.path_len().is_none());
    assert_eq!(device.serial().len(), 16);
    assert_eq!(device.serial()[0], 0xa5);
    assert_eq!(
        (device.not_before(), device.not_after()),
        (NOW - 30 * DAY, NOW + 300 * DAY)
    );
}

#[test]
fn openssl_reads_the_same_in_a_device_certificate() {
    let scheme = Scheme::new();
    let output = scheme.openssl(&["x509", "-in", "device.pem", "-noout", "-text"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "Subject: O = alfa, CN = 0190a5b2-7c3d-4e4f-8a9b-0c1d2e3f4a5b",
        "URI:urn:uuid:0190a5b2-7c3d-4e4f-8a9b-0c1d2e3f4a5b",
        "X509v3 Extended Key Usage: critical",
        "2.25.111111.1",
        "Policy: 2.25.111111.3",
        "CA Issuers - URI:http://127.0.0.1:8080/ca/ca.cer",
        "URI:http://127.0.0.1:8080/crl/ca.crl",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let output = scheme.openssl(&["asn1parse", "-in", "device.pem"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("UTF8STRING").count(), 4, "{text}");
    assert!(!text.contains("PRINTABLESTRING"), "{text}");
}

#[test]
fn a_phone_is_no_tls_client() {
    let scheme = Scheme::new();
    let more = ["-purpose", "sslclient"];
    assert_eq!(scheme.verify("device.pem", &more), [26]);
}

#[test]
fn an_authorization_chain_verifies() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    let subject = Subject::Authorization {
        common_name: "Authorization 1",
    };
    let content = content("alfa", key.public_key(), 9);
    let tbs = scheme
        .ca
        .certificate(&content, subject, Some(ADDRESSES), &oids());
    let certificate = sign(&scheme.ca_key, &tbs.unwrap());
    scheme.write("authorization.pem", certificate.to_pem().as_bytes());
    assert_eq!(scheme.verify("authorization.pem", &[]), []);
    assert_eq!(
        certificate.extended_key_usages(),
        [oids().authorization_eku]
    );
    let below_root = chain_of(&scheme, &certificate);
    assert!(Chain::verify(&below_root, scheme.root.ca(), NOW).is_ok());
}

/// A TLS CA in the place of the device CA, with its CRL.
fn tls_ca(scheme: &Scheme) -> (LocalKey, Issuer) {
    let ca_key = LocalKey::generate().unwrap();
    let subject = Subject::TlsCa {
        common_name: "TLS CA",
    };
    let ca_content = content("alfa", ca_key.public_key(), 4);
    let tbs = scheme.root.certificate(&ca_content, subject, None, &oids());
    let ca = Issuer::new(sign(&scheme.root_key, &tbs.unwrap())).unwrap();
    scheme.write("ca.pem", ca.ca().to_pem().as_bytes());
    let crl = ca.crl(1, NOW - DAY, NOW + DAY, &[]).unwrap();
    scheme.write("ca.crl", &signed(&ca_key, &crl));
    (ca_key, ca)
}

#[test]
fn tls_certificates_serve_their_purpose_alone() {
    let scheme = Scheme::new();
    let (ca_key, ca) = tls_ca(&scheme);
    let key = LocalKey::generate().unwrap();
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let server = Subject::TlsServer {
        common_name: "signer",
        spiffe_id: "spiffe://scheme/alfa/server/signer",
        dns_names: &["localhost"],
        ip_addresses: &addresses,
    };
    let client = Subject::TlsClient {
        common_name: "core",
        spiffe_id: "spiffe://scheme/alfa/payments/core",
    };
    for (name, subject) in [("server.pem", server), ("client.pem", client)] {
        let content = content("alfa", key.public_key(), 5);
        let tbs = ca.certificate(&content, subject, None, &oids()).unwrap();
        scheme.write(name, sign(&ca_key, &tbs).to_pem().as_bytes());
    }
    let server = ["-purpose", "sslserver", "-verify_ip", "127.0.0.1"];
    assert_eq!(scheme.verify("server.pem", &server), []);
    let host = ["-purpose", "sslserver", "-verify_hostname", "localhost"];
    assert_eq!(scheme.verify("server.pem", &host), []);
    assert_eq!(
        scheme.verify("server.pem", &["-purpose", "sslclient"]),
        [26]
    );
    assert_eq!(scheme.verify("client.pem", &["-purpose", "sslclient"]), []);
    assert_eq!(
        scheme.verify("client.pem", &["-purpose", "sslserver"]),
        [26]
    );
}

#[test]
fn a_name_outside_the_constraint_is_refused_by_both() {
    let scheme = Scheme::new();
    let leaf = foreign_leaf(&scheme, "/O=beta/CN=x", LEAF_EXTENSIONS);
    // openssl's own leaf is valid from the machine's now on, the scheme around its fixed time.
    let arguments = [
        "verify",
        "-x509_strict",
        "-no_check_time",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "ca.pem",
        "leaf.pem",
    ];
    let output = scheme.openssl(&arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("error 47"), "{text}");
    assert_eq!(
        leaf.verify_issued_by(scheme.ca.ca()),
        Err(CertificateError::NameConstraint)
    );
    let inside = foreign_leaf(&scheme, "/O=alfa/CN=x", LEAF_EXTENSIONS);
    assert_eq!(inside.verify_issued_by(scheme.ca.ca()), Ok(()));
    let reversed = foreign_leaf(&scheme, "/CN=x/O=alfa", LEAF_EXTENSIONS);
    assert_eq!(
        reversed.verify_issued_by(scheme.ca.ca()),
        Err(CertificateError::NameConstraint)
    );
    let alternative = format!("{LEAF_EXTENSIONS}subjectAltName=dirName:other\n[other]\nO=beta\n");
    let alternative = foreign_leaf(&scheme, "/O=alfa/CN=x", &alternative);
    assert_eq!(
        alternative.verify_issued_by(scheme.ca.ca()),
        Err(CertificateError::NameConstraint)
    );
}

#[test]
fn an_unknown_critical_extension_is_refused() {
    let scheme = Scheme::new();
    let extensions = format!("{LEAF_EXTENSIONS}1.2.3.4=critical,DER:0500\n");
    let leaf = foreign_leaf(&scheme, "/O=alfa/CN=x", &extensions);
    let oid = ObjectIdentifier::new("1.2.3.4").unwrap();
    assert_eq!(
        leaf.verify_issued_by(scheme.ca.ca()),
        Err(CertificateError::UnknownCriticalExtension(oid))
    );
    let extensions = format!("{LEAF_EXTENSIONS}1.2.3.4=DER:0500\n");
    let leaf = foreign_leaf(&scheme, "/O=alfa/CN=x", &extensions);
    assert_eq!(leaf.verify_issued_by(scheme.ca.ca()), Ok(()));
}

#[test]
fn a_ca_below_an_institutions_ca_is_refused() {
    let scheme = Scheme::new();
    let extensions = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n\
                      authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n";
    let ca = foreign_leaf(&scheme, "/O=alfa/CN=x", extensions);
    assert_eq!(
        ca.verify_issued_by(scheme.ca.ca()),
        Err(CertificateError::PathLength)
    );
}

#[test]
fn a_chain_is_refused_for_each_broken_rule() {
    let scheme = Scheme::new();
    let (root, ca) = (scheme.root.ca(), scheme.ca.ca());
    let refused = |chain: &[Certificate], root: &Certificate, now| {
        Chain::verify(chain, root, now).map(|_| ()).unwrap_err()
    };
    let chain = chain_of(&scheme, &scheme.device);
    let late = NOW + 301 * DAY;
    assert!(matches!(
        refused(&chain, root, late),
        CertificateError::Validity { at, .. } if at == late
    ));
    assert!(matches!(
        refused(&chain, root, NOW - 31 * DAY),
        CertificateError::Validity { .. }
    ));
    assert_eq!(refused(&[], root, NOW), CertificateError::ChainLength(0));
    let four = [ca.clone(), ca.clone(), ca.clone(), ca.clone()];
    assert_eq!(refused(&four, root, NOW), CertificateError::ChainLength(4));
    let without_ca = [scheme.device.clone()];
    assert_eq!(
        refused(&without_ca, root, NOW),
        CertificateError::NameChaining
    );
    let other = Scheme::new();
    assert_eq!(
        refused(&chain, other.root.ca(), NOW),
        CertificateError::KeyIdentifier
    );
    assert_eq!(
        refused(&[scheme.device.clone(), other.ca.ca().clone()], root, NOW),
        CertificateError::KeyIdentifier
    );
    assert_eq!(
        refused(&chain[..1], ca, NOW),
        CertificateError::NameChaining
    );
}

#[test]
fn a_changed_bit_breaks_the_signature() {
    let scheme = Scheme::new();
    let mut der = scheme.device.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let forged = Certificate::from_der(&der).unwrap();
    assert_eq!(
        forged.verify_issued_by(scheme.ca.ca()),
        Err(CertificateError::BadSignature)
    );
    assert_ne!(forged.sha256(), scheme.device.sha256());
    der.push(0);
    assert!(Certificate::from_der(&der).is_err());
}

#[test]
fn a_chain_file_is_read_whole_or_not_at_all() {
    let scheme = Scheme::new();
    let text = format!("{}{}", scheme.device.to_pem(), scheme.ca.ca().to_pem());
    let chain = Certificate::chain_from_pem(&text).unwrap();
    assert_eq!(chain, chain_of(&scheme, &scheme.device));
    assert_eq!(Certificate::from_pem(&text), Err(CertificateError::Pem));
    let key = scheme.ca_key.to_pkcs8_pem().unwrap();
    let with_key = format!("{}{}", scheme.device.to_pem(), key.as_str());
    let refused = |text: &str| Certificate::chain_from_pem(text).unwrap_err();
    // The line that ends a block ends there (RFC 7468 s3): a next one that begins on it would else go unseen.
    let glued = text.trim_end().to_owned() + "BEGIN CERTIFICATE---";
    assert_eq!(refused(&glued), CertificateError::Pem);
    // Words may stand between blocks, but not what is left of another block.
    let words = format!("subject=alfa\n{text}");
    assert_eq!(Certificate::chain_from_pem(&words), Ok(chain));
    let remains = format!("x------BEGIN N CERTIFICATE-----\nMIIC\n-----END CERT-----\n{text}");
    assert_eq!(refused(&remains), CertificateError::Pem);
    assert_eq!(refused(&with_key), CertificateError::Pem);
    assert_eq!(refused(""), CertificateError::Pem);
    let cut = &text[..text.len() - 30];
    assert_eq!(refused(cut), CertificateError::Pem);
    let long = "x".repeat(100_000);
    assert_eq!(
        refused(&long),
        CertificateError::TooLong { octets: 100_000 }
    );
}

#[test]
fn no_single_changed_octet_is_accepted() {
    let scheme = Scheme::new();
    let der = scheme.device.der();
    for at in 0..der.len() {
        let mut changed = der.to_vec();
        changed[at] ^= 0x40;
        if let Ok(certificate) = Certificate::from_der(&changed) {
            let verdict = certificate.verify_issued_by(scheme.ca.ca());
            assert!(verdict.is_err(), "octet {at}");
        }
    }
}
