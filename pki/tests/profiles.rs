//! What a profile forbids is never made into octets to sign.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod scheme;

use scheme::{ADDRESSES, DAY, DEVICE_ID, NOW, Scheme, content, oids};
use semops_pki::error::{CertificateError, ProfileError};
use semops_pki::issuer::{Addresses, Content, Issuer, Subject, root};
use semops_pki::local_key::LocalKey;

const DEVICE: Subject<'static> = Subject::Device {
    device_id: DEVICE_ID,
};
const CLIENT: Subject<'static> = Subject::TlsClient {
    common_name: "core",
    spiffe_id: "spiffe://scheme/alfa/payments/core",
};

fn refused(
    issuer: &Issuer,
    content: &Content<'_>,
    subject: Subject<'_>,
    addresses: Option<Addresses<'_>>,
) -> ProfileError {
    issuer
        .certificate(content, subject, addresses, &oids())
        .unwrap_err()
}

#[test]
fn a_device_of_another_institution_is_refused() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    let content = content("beta", key.public_key(), 1);
    assert_eq!(
        refused(&scheme.ca, &content, DEVICE, Some(ADDRESSES)),
        ProfileError::OtherOrganization
    );
}

#[test]
fn names_are_bounded() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    for organization in ["", "Alfa", "al fa", "alfa\u{301}", &"a".repeat(33)] {
        let content = content(organization, key.public_key(), 1);
        assert_eq!(
            refused(&scheme.ca, &content, DEVICE, Some(ADDRESSES)),
            ProfileError::Organization
        );
    }
    let content = content("alfa", key.public_key(), 1);
    for common_name in ["", "line\nend", "Autorit\u{e9}", &"x".repeat(65)] {
        let subject = Subject::Authorization { common_name };
        assert_eq!(
            refused(&scheme.ca, &content, subject, Some(ADDRESSES)),
            ProfileError::CommonName
        );
    }
    let upper = DEVICE_ID.to_uppercase();
    let subject = Subject::Device { device_id: &upper };
    assert_eq!(
        refused(&scheme.ca, &content, subject, Some(ADDRESSES)),
        ProfileError::CommonName
    );
}

#[test]
fn validity_is_bounded_by_profile_and_issuer() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    let good = content("alfa", key.public_key(), 1);
    let with = |not_before, not_after| Content {
        not_before,
        not_after,
        ..good
    };
    let refused = |content| refused(&scheme.ca, &content, DEVICE, Some(ADDRESSES));
    assert_eq!(refused(with(NOW, NOW)), ProfileError::Validity);
    assert_eq!(refused(with(NOW, NOW - 1)), ProfileError::Validity);
    assert_eq!(refused(with(-1, NOW)), ProfileError::Validity);
    assert_eq!(
        refused(with(NOW, NOW + 397 * DAY + 1)),
        ProfileError::Validity
    );
    assert_eq!(
        refused(with(NOW, NOW + 301 * DAY)),
        ProfileError::OutsideIssuer
    );
    assert_eq!(
        refused(with(NOW - 31 * DAY, NOW)),
        ProfileError::OutsideIssuer
    );
}

#[test]
fn serial_numbers_and_keys_are_checked() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    let zero = Content {
        serial: [0; 16],
        ..content("alfa", key.public_key(), 1)
    };
    assert_eq!(
        refused(&scheme.ca, &zero, DEVICE, Some(ADDRESSES)),
        ProfileError::Serial
    );
    let own = content("alfa", scheme.ca_key.public_key(), 1);
    assert_eq!(
        refused(&scheme.ca, &own, DEVICE, Some(ADDRESSES)),
        ProfileError::IssuersKey
    );
}

#[test]
fn addresses_are_absolute_and_present() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    let content = content("alfa", key.public_key(), 1);
    assert!(matches!(
        refused(&scheme.ca, &content, DEVICE, None),
        ProfileError::Extensions(missing) if missing.contains("[missing 2.5.29.31]")
    ));
    for crl in [
        "",
        "/crl",
        "https://h/crl",
        "http://",
        "http:///crl",
        "http://h/a b",
    ] {
        let addresses = Addresses { crl, ..ADDRESSES };
        assert_eq!(
            refused(&scheme.ca, &content, DEVICE, Some(addresses)),
            ProfileError::Address,
            "{crl}"
        );
    }
    let addresses = Addresses {
        crl: "http://h/\u{e9}",
        ..ADDRESSES
    };
    assert!(matches!(
        refused(&scheme.ca, &content, DEVICE, Some(addresses)),
        ProfileError::Encoding(_)
    ));
}

#[test]
fn a_spiffe_id_is_the_institutions_own() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    let content = content("alfa", key.public_key(), 1);
    assert!(
        scheme
            .ca
            .certificate(&content, CLIENT, None, &oids())
            .is_ok()
    );
    let foreign = Subject::TlsClient {
        common_name: "core",
        spiffe_id: "spiffe://scheme/beta/payments/core",
    };
    assert_eq!(
        refused(&scheme.ca, &content, foreign, None),
        ProfileError::SubjectAltName
    );
    let nowhere = Subject::TlsServer {
        common_name: "signer",
        spiffe_id: "spiffe://scheme/alfa/server/signer",
        dns_names: &[],
        ip_addresses: &[],
    };
    assert_eq!(
        refused(&scheme.ca, &content, nowhere, None),
        ProfileError::SubjectAltName
    );
}

#[test]
fn only_a_root_makes_cas_and_only_a_ca_issues() {
    let scheme = Scheme::new();
    let key = LocalKey::generate().unwrap();
    let content = content("alfa", key.public_key(), 1);
    let subject = Subject::InstitutionCa {
        common_name: "Another CA",
    };
    assert_eq!(
        refused(&scheme.ca, &content, subject, Some(ADDRESSES)),
        ProfileError::NotAllowed(CertificateError::PathLength)
    );
    assert_eq!(
        Issuer::new(scheme.device.clone()).unwrap_err(),
        ProfileError::Issuer
    );
    assert_eq!(
        refused(&scheme.root, &content, DEVICE, Some(ADDRESSES)),
        ProfileError::OtherOrganization
    );
}

#[test]
fn a_root_is_checked_too() {
    let key = LocalKey::generate().unwrap();
    let good = content("scheme", key.public_key(), 1);
    assert!(root(&good, "Root", &oids()).is_ok());
    assert_eq!(
        root(&good, "", &oids()).unwrap_err(),
        ProfileError::CommonName
    );
    let long = Content {
        not_after: NOW + 20 * 365 * DAY,
        ..good
    };
    assert!(root(&long, "Root", &oids()).is_ok());
}

#[test]
fn a_crl_is_checked_too() {
    let ca = Scheme::new().ca;
    let refused = |number, next| ca.crl(number, NOW, next, &[]).unwrap_err();
    assert_eq!(refused(0, NOW + DAY), ProfileError::CrlNumber);
    assert_eq!(refused(u64::MAX, NOW + DAY), ProfileError::CrlNumber);
    assert_eq!(refused(1, NOW), ProfileError::NextUpdate);
    assert_eq!(refused(1, i64::MAX), ProfileError::Validity);
}

#[test]
fn the_same_state_gives_the_same_octets() {
    let scheme = Scheme::new();
    let one = scheme.ca.crl(5, NOW, NOW + DAY, &[]).unwrap();
    assert_eq!(one, scheme.ca.crl(5, NOW, NOW + DAY, &[]).unwrap());
    let key = LocalKey::generate().unwrap();
    let content = content("alfa", key.public_key(), 1);
    let build = || {
        let addresses = Some(ADDRESSES);
        scheme
            .ca
            .certificate(&content, DEVICE, addresses, &oids())
            .unwrap()
    };
    assert_eq!(build(), build());
    assert_eq!(build().bytes(), build().into_bytes());
}
