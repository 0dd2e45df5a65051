//! CRLs of the scheme's form, judged by openssl and by this crate alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod scheme;

use scheme::{DAY, NOW, Scheme};
use semops_pki::crl::{CertificateRevocationList, Reason, Revoked};
use semops_pki::error::CrlError;
use semops_pki::issuer::RevokedEntry;

#[test]
fn a_revoked_device_is_refused_with_error_23_alone() {
    let scheme = Scheme::new();
    let serial = scheme.device.serial().to_vec();
    let entry = |at, reason| RevokedEntry {
        serial: serial.clone(),
        at,
        reason,
    };
    for reason in [Reason::KeyCompromise, Reason::Unspecified] {
        scheme.write_crls(&[entry(NOW - DAY, reason)]);
        assert_eq!(scheme.verify("device.pem", &[]), [23]);
        let crl = CertificateRevocationList::from_der(&scheme.read("ca.crl")).unwrap();
        assert_eq!(crl.verify_issued_by(scheme.ca.ca()), Ok(()));
        let revoked = Revoked {
            at: NOW - DAY,
            reason,
        };
        assert_eq!(crl.entry(&serial), Some(revoked));
        assert_eq!(crl.entry(scheme.ca.ca().serial()), None);
    }
}

#[test]
fn a_crl_says_what_it_must() {
    let scheme = Scheme::new();
    let bytes = scheme.crl(0x1_0000_0001, &[]);
    let crl = CertificateRevocationList::from_der(&bytes).unwrap();
    assert_eq!(crl.number(), 0x1_0000_0001);
    assert_eq!(
        (crl.this_update(), crl.next_update()),
        (NOW - DAY, NOW + DAY)
    );
    assert_eq!(crl.entries().len(), 0);
    assert!(!crl.stale_at(NOW + DAY - 1) && crl.stale_at(NOW + DAY));
    assert_eq!(crl.der(), bytes);
    scheme.write("numbered.crl", &bytes);
    let arguments = [
        "crl",
        "-inform",
        "DER",
        "-in",
        "numbered.crl",
        "-noout",
        "-text",
        "-CAfile",
        "ca.pem",
    ];
    let output = scheme.openssl(&arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("X509v3 CRL Number"), "{text}");
    assert!(text.contains("4294967297"), "{text}");
    assert!(text.contains("No Revoked Certificates."), "{text}");
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("verify OK")
    );
}

#[test]
fn a_crl_of_another_ca_or_with_a_changed_bit_is_refused() {
    let scheme = Scheme::new();
    let bytes = scheme.crl(7, &[]);
    let crl = CertificateRevocationList::from_der(&bytes).unwrap();
    assert_eq!(
        crl.verify_issued_by(scheme.root.ca()),
        Err(CrlError::Issuer)
    );
    assert_eq!(
        crl.verify_issued_by(Scheme::new().ca.ca()),
        Err(CrlError::Issuer)
    );
    let mut forged = bytes.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = CertificateRevocationList::from_der(&forged).unwrap();
    assert_eq!(
        forged.verify_issued_by(scheme.ca.ca()),
        Err(CrlError::BadSignature)
    );
    let mut longer = bytes;
    longer.push(0);
    assert!(CertificateRevocationList::from_der(&longer).is_err());
}

#[test]
fn an_issuer_without_a_crl_or_with_an_old_one_is_noticed() {
    let scheme = Scheme::new();
    let old = scheme.ca.crl(1, NOW - 2 * DAY, NOW - DAY, &[]).unwrap();
    scheme.write("ca.crl", &scheme::signed(&scheme.ca_key, &old));
    assert_eq!(scheme.verify("device.pem", &[]), [12]);
    scheme.write("ca.crl", &scheme.read("root.crl"));
    assert_eq!(scheme.verify("device.pem", &[]), [3]);
}

#[test]
fn every_reason_survives() {
    let scheme = Scheme::new();
    let codes = [0, 1, 2, 3, 4, 5, 6, 9, 10];
    let entries: Vec<RevokedEntry> = codes
        .iter()
        .map(|code| RevokedEntry {
            serial: vec![0x80 + code],
            at: NOW - i64::from(*code),
            reason: Reason::from_code(*code).unwrap(),
        })
        .collect();
    let crl = CertificateRevocationList::from_der(&scheme.crl(3, &entries)).unwrap();
    assert_eq!(crl.entries().len(), codes.len());
    for (code, entry) in codes.iter().zip(&entries) {
        let revoked = crl.entry(&[0, 0x80 + code]).unwrap();
        assert_eq!((revoked.at, revoked.reason), (entry.at, entry.reason));
        assert_eq!(revoked.reason.code(), *code);
    }
    assert_eq!(Reason::from_code(7), None);
    assert_eq!(Reason::from_code(11), None);
}

#[test]
fn no_single_changed_octet_is_accepted() {
    let scheme = Scheme::new();
    let der = scheme.crl(
        3,
        &[RevokedEntry {
            serial: scheme.device.serial().to_vec(),
            at: NOW,
            reason: Reason::Superseded,
        }],
    );
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0x40;
        if let Ok(crl) = CertificateRevocationList::from_der(&changed) {
            assert!(crl.verify_issued_by(scheme.ca.ca()).is_err(), "octet {at}");
        }
    }
}
