//! The certificates of an institution's own keys, told apart by openssl and by this crate alike: whoever looks for one usage
//! never takes another's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod scheme;

use const_oid::db::{rfc5280::ID_KP_OCSP_SIGNING, rfc6960::ID_PKIX_OCSP_NOCHECK};
use scheme::{ADDRESSES, DAY, NOW, Scheme, content, oids, sign};
use semops_pki::certificate::Certificate;
use semops_pki::error::ProfileError;
use semops_pki::issuer::{Addresses, Content, Subject};
use semops_pki::local_key::LocalKey;
use semops_pki::profile::{self, Kind, MAX_EVIDENCE_VALIDITY, MAX_OCSP_RESPONDER_VALIDITY, Oids};

const COMMON_NAME: &str = "key";
const OWN: [(Subject<'static>, Kind); 4] = [
    (
        Subject::Authorization {
            common_name: COMMON_NAME,
        },
        Kind::Authorization,
    ),
    (
        Subject::OcspResponder {
            common_name: COMMON_NAME,
        },
        Kind::OcspResponder,
    ),
    (
        Subject::Audit {
            common_name: COMMON_NAME,
        },
        Kind::Audit,
    ),
    (
        Subject::Statement {
            common_name: COMMON_NAME,
        },
        Kind::Statement,
    ),
];

fn addresses(kind: Kind) -> Option<Addresses<'static>> {
    (kind != Kind::OcspResponder).then_some(ADDRESSES)
}

fn short<'a>(key: &'a LocalKey, serial: u8) -> Content<'a> {
    let content = content("alfa", key.public_key(), serial);
    Content {
        not_after: content.not_before + MAX_OCSP_RESPONDER_VALIDITY,
        ..content
    }
}

fn issued(scheme: &Scheme, subject: Subject<'_>, kind: Kind, serial: u8) -> Certificate {
    let key = LocalKey::generate().unwrap();
    let tbs = scheme
        .ca
        .certificate(&short(&key, serial), subject, addresses(kind), &oids());
    sign(&scheme.ca_key, &tbs.unwrap())
}

#[test]
fn each_is_of_its_kind_alone() {
    let scheme = Scheme::new();
    for (serial, (subject, kind)) in (10..).zip(OWN) {
        let certificate = issued(&scheme, subject, kind, serial);
        for (_, other) in OWN {
            let checked = profile::check(&certificate, other, scheme.ca.ca(), &oids());
            assert_eq!(checked.is_ok(), kind == other, "{kind:?} as {other:?}");
        }
        assert!(profile::check(&certificate, Kind::Device, scheme.ca.ca(), &oids()).is_err());
    }
}

#[test]
fn openssl_tells_them_apart() {
    let scheme = Scheme::new();
    for (serial, (subject, kind)) in (10..).zip(OWN) {
        let certificate = issued(&scheme, subject, kind, serial);
        scheme.write("own.pem", certificate.to_pem().as_bytes());
        assert_eq!(scheme.verify("own.pem", &[]), [], "{kind:?}");
        let sells = scheme.verify("own.pem", &["-purpose", "sslclient"]);
        assert_eq!(sells, [26], "{kind:?}");
        let text = scheme.openssl(&["x509", "-in", "own.pem", "-noout", "-text"]);
        let text = String::from_utf8(text.stdout).unwrap();
        let (usage, addressed) = match kind {
            Kind::OcspResponder => (
                "X509v3 Extended Key Usage: \n                OCSP Signing\n",
                false,
            ),
            Kind::Audit => (
                "X509v3 Extended Key Usage: critical\n                2.25.111111.4\n",
                true,
            ),
            Kind::Statement => (
                "X509v3 Extended Key Usage: critical\n                2.25.111111.5\n",
                true,
            ),
            _ => (
                "X509v3 Extended Key Usage: critical\n                2.25.111111.2\n",
                true,
            ),
        };
        assert!(text.contains(usage), "{text}");
        assert_eq!(
            text.contains("OCSP No Check"),
            kind == Kind::OcspResponder,
            "{text}"
        );
        assert_eq!(text.contains("URI:"), addressed, "{text}");
        assert!(
            text.contains("Digital Signature\n") && !text.contains("CA:TRUE"),
            "{text}"
        );
    }
}

/// openssl answers for the device CA with this key, and says what it thinks of that answer.
fn responds(scheme: &Scheme, key: &LocalKey, certificate: &Certificate) -> String {
    scheme.write("own.pem", certificate.to_pem().as_bytes());
    scheme.write("own.key", key.to_pkcs8_pem().unwrap().as_bytes());
    scheme.write("index.txt", b"");
    let (ask, now) = ("ocsp -issuer ca.pem -cert device.pem", NOW.to_string());
    let answer = "ocsp -index index.txt -CA ca.pem -rsigner own.pem -rkey own.key -reqin ask.der -respout answer.der -ndays 1";
    let verify = format!(
        "{ask} -respin answer.der -no_nonce -CAfile root.pem -verify_other ca.pem -attime {now}"
    );
    let mut said = String::new();
    for words in [&format!("{ask} -no_nonce -reqout ask.der"), answer, &verify] {
        let words: Vec<&str> = words.split(' ').collect();
        let output = scheme.openssl(&words);
        assert!(
            output.status.success() || words.contains(&"-respin"),
            "{output:?}"
        );
        said = String::from_utf8(output.stderr).unwrap();
    }
    said
}

#[test]
fn openssl_takes_the_answers_of_the_responder_alone() {
    let scheme = Scheme::new();
    for (serial, (subject, kind)) in (10..).zip(OWN) {
        let key = LocalKey::generate().unwrap();
        let tbs = scheme
            .ca
            .certificate(&short(&key, serial), subject, addresses(kind), &oids());
        let certificate = sign(&scheme.ca_key, &tbs.unwrap());
        let said = responds(&scheme, &key, &certificate);
        let (good, bad) = (
            said.contains("Response verify OK"),
            said.contains("missing ocspsigning usage"),
        );
        let responder = kind == Kind::OcspResponder;
        assert_eq!((good, bad), (responder, !responder), "{kind:?}: {said}");
    }
}

#[test]
fn a_responder_is_delegated_as_rfc_6960_has_it() {
    let scheme = Scheme::new();
    let (subject, kind) = OWN[1];
    let responder = issued(&scheme, subject, kind, 9);
    assert_eq!(responder.extended_key_usages(), [ID_KP_OCSP_SIGNING]);
    assert!(responder.crl_addresses().is_empty() && responder.ca_issuer_addresses().is_empty());
    let found = responder
        .der()
        .windows(ID_PKIX_OCSP_NOCHECK.as_bytes().len());
    let found = found.filter(|octets| *octets == ID_PKIX_OCSP_NOCHECK.as_bytes());
    assert_eq!(found.count(), 1);
    let key = LocalKey::generate().unwrap();
    let refused = |content: &Content<'_>, addresses| {
        let made = scheme.ca.certificate(content, subject, addresses, &oids());
        made.unwrap_err()
    };
    assert!(matches!(
        refused(&short(&key, 1), Some(ADDRESSES)),
        ProfileError::Extensions(_)
    ));
    let longer = Content {
        not_after: short(&key, 1).not_after + 1,
        ..short(&key, 1)
    };
    assert_eq!(refused(&longer, None), ProfileError::Validity);
}

#[test]
fn evidence_is_verified_for_three_years() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    let good = content("alfa", key.public_key(), 1);
    for (subject, kind) in &OWN[2..] {
        let longer = Content {
            not_before: good.not_after - MAX_EVIDENCE_VALIDITY - DAY,
            ..good
        };
        let made = scheme
            .ca
            .certificate(&longer, *subject, addresses(*kind), &oids());
        assert_eq!(made.unwrap_err(), ProfileError::Validity);
    }
}

#[test]
fn a_scheme_without_a_usage_has_no_such_certificates() {
    let scheme = Scheme::new();
    let without = Oids {
        audit_eku: None,
        statement_eku: None,
        ..oids()
    };
    for (serial, (subject, kind)) in (10..).zip(OWN) {
        let named = !matches!(kind, Kind::Audit | Kind::Statement);
        let certificate = issued(&scheme, subject, kind, serial);
        let checked = profile::check(&certificate, kind, scheme.ca.ca(), &without);
        let key = LocalKey::generate().unwrap();
        let made = scheme
            .ca
            .certificate(&short(&key, serial), subject, addresses(kind), &without);
        assert_eq!((checked.is_ok(), made.is_ok()), (named, named), "{kind:?}");
        if !named {
            assert_eq!(made.unwrap_err(), ProfileError::UnnamedUsage);
        }
    }
}

#[test]
fn no_two_usages_are_the_same() {
    assert_eq!(oids().same_usage(), None);
    let oids = oids();
    for (oids, same) in [
        (
            Oids {
                statement_eku: oids.audit_eku,
                ..oids
            },
            ("audit_eku", "statement_eku"),
        ),
        (
            Oids {
                audit_eku: Some(oids.device_eku),
                ..oids
            },
            ("device_eku", "audit_eku"),
        ),
        (
            Oids {
                authorization_eku: oids.device_eku,
                ..oids
            },
            ("device_eku", "authorization_eku"),
        ),
    ] {
        assert_eq!(oids.same_usage(), Some(same));
    }
}
