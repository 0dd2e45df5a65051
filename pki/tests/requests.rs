//! Certification requests as openssl makes them: accepted, or refused with the very reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod scheme;

use scheme::openssl;
use semops_pki::algorithm::sha256;
use semops_pki::error::{KeyError, RequestError, SignedError};
use semops_pki::local_key::LocalKey;
use semops_pki::request::{CertificationRequest, MAX_REQUEST, to_be_signed};
use semops_pki::signed::assemble;
use tempfile::TempDir;

const P256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// The DER of a request that `openssl req` makes with these further arguments.
fn request(directory: &TempDir, arguments: &[&str]) -> Vec<u8> {
    let mut all = vec!["req", "-new", "-nodes", "-subj", "/CN=phone", "-sha256"];
    all.extend([
        "-keyout",
        "key.pem",
        "-outform",
        "DER",
        "-out",
        "request.der",
    ]);
    all.extend(arguments);
    let output = openssl(directory.path(), &all);
    assert!(output.status.success(), "{output:?}");
    std::fs::read(directory.path().join("request.der")).unwrap()
}

fn refused(der: &[u8]) -> RequestError {
    CertificationRequest::parse(der).unwrap_err()
}

#[test]
fn a_p256_request_is_accepted() {
    let directory = TempDir::new().unwrap();
    let der = request(&directory, P256);
    let parsed = CertificationRequest::parse(&der).unwrap();
    let arguments = [
        "req",
        "-inform",
        "DER",
        "-in",
        "request.der",
        "-pubkey",
        "-noout",
        "-out",
        "public.pem",
    ];
    assert!(openssl(directory.path(), &arguments).status.success());
    let pem = std::fs::read(directory.path().join("public.pem")).unwrap();
    let (_, spki) = der::pem::decode_vec(&pem).unwrap();
    assert_eq!(parsed.public_key().spki_der(), spki);
}

#[test]
fn pem_and_der_are_the_same_request() {
    let directory = TempDir::new().unwrap();
    let der = request(&directory, P256);
    let arguments = [
        "req",
        "-inform",
        "DER",
        "-in",
        "request.der",
        "-out",
        "request.pem",
    ];
    assert!(openssl(directory.path(), &arguments).status.success());
    let pem = std::fs::read(directory.path().join("request.pem")).unwrap();
    let parsed = CertificationRequest::parse(&der).unwrap();
    for bytes in [&der, &pem] {
        let again = CertificationRequest::parse_pem_or_der(bytes).unwrap();
        assert_eq!(again.info_sha256(), parsed.info_sha256());
    }
    let other = String::from_utf8(pem).unwrap().replace("REQUEST", "X");
    let error = CertificationRequest::parse_pem_or_der(other.as_bytes()).unwrap_err();
    assert_eq!(error, RequestError::Pem);
}

#[test]
fn a_retry_with_a_new_signature_has_the_same_info() {
    let key = LocalKey::generate().unwrap();
    let [one, other] = [(); 2].map(|()| key.certification_request("phone").unwrap());
    assert_ne!(one, other);
    let [one, other] = [one, other].map(|der| CertificationRequest::parse(&der).unwrap());
    assert_eq!(one.info_sha256(), other.info_sha256());
    let third = CertificationRequest::parse(&key.certification_request("other").unwrap()).unwrap();
    assert_ne!(one.info_sha256(), third.info_sha256());
}

#[test]
fn the_info_digest_is_that_of_the_octets_as_received() {
    let key = LocalKey::generate().unwrap();
    let der = key.certification_request("phone").unwrap();
    // SEQUENCE { CertificationRequestInfo ...: both lengths fit in one further octet here.
    assert_eq!((der[0], der[1], der[3]), (0x30, 0x81, 0x30));
    let info = &der[3..5 + usize::from(der[4])];
    let parsed = CertificationRequest::parse(&der).unwrap();
    assert_eq!(parsed.info_sha256(), sha256(info));
}

#[test]
fn openssl_accepts_our_requests() {
    let directory = TempDir::new().unwrap();
    let key = LocalKey::generate().unwrap();
    let der = key.certification_request("phone").unwrap();
    std::fs::write(directory.path().join("ours.der"), &der).unwrap();
    let arguments = [
        "req", "-inform", "DER", "-in", "ours.der", "-verify", "-noout", "-subject",
    ];
    let output = openssl(directory.path(), &arguments);
    assert!(output.status.success(), "{output:?}");
    let subject = String::from_utf8(output.stdout).unwrap();
    assert!(subject.contains("CN = phone"), "{subject}");
}

#[test]
fn keys_other_than_p256_are_refused_with_their_reason() {
    let directory = TempDir::new().unwrap();
    let rsa = request(&directory, &["-newkey", "rsa:2048"]);
    assert!(
        matches!(refused(&rsa), RequestError::Key(KeyError::NotEc(oid))
        if oid.to_string() == "1.2.840.113549.1.1.1")
    );
    let large_rsa = request(&directory, &["-newkey", "rsa:4096"]);
    assert!(matches!(
        refused(&large_rsa),
        RequestError::Key(KeyError::NotEc(_))
    ));
    let ed25519 = request(&directory, &["-newkey", "ed25519"]);
    assert!(matches!(
        refused(&ed25519),
        RequestError::Key(KeyError::NotEc(_))
    ));
    for curve in ["P-384", "P-521", "secp256k1"] {
        let option = format!("ec_paramgen_curve:{curve}");
        let other = request(&directory, &["-newkey", "ec", "-pkeyopt", &option]);
        assert!(
            matches!(refused(&other), RequestError::Key(KeyError::OtherCurve(_))),
            "{curve}"
        );
    }
}

#[test]
fn other_encodings_of_p256_keys_are_refused() {
    let directory = TempDir::new().unwrap();
    for (option, value, error) in [
        ("-conv_form", "compressed", KeyError::Compressed),
        ("-conv_form", "hybrid", KeyError::BadPoint),
        ("-param_enc", "explicit", KeyError::NoNamedCurve),
    ] {
        request(&directory, P256);
        let arguments = ["ec", "-in", "key.pem", option, value, "-out", "odd.pem"];
        assert!(openssl(directory.path(), &arguments).status.success());
        let der = request(&directory, &["-key", "odd.pem"]);
        assert_eq!(refused(&der), RequestError::Key(error));
    }
}

#[test]
fn another_hash_is_refused() {
    let directory = TempDir::new().unwrap();
    let mut arguments = P256.to_vec();
    arguments.push("-sha384");
    let der = request(&directory, &arguments);
    assert!(matches!(
        refused(&der),
        RequestError::Signed(SignedError::Algorithm(_))
    ));
}

#[test]
fn a_proof_that_does_not_hold_is_refused() {
    let directory = TempDir::new().unwrap();
    let der = request(&directory, P256);
    let mut signature = der.clone();
    let last = signature.len() - 1;
    signature[last] ^= 1;
    assert_eq!(refused(&signature), RequestError::BadSignature);
    let mut subject = der.clone();
    let at = subject
        .windows(5)
        .position(|part| part == b"phone")
        .unwrap();
    subject[at] = b'q';
    assert_eq!(refused(&subject), RequestError::BadSignature);
    let [one, other] = [(); 2].map(|()| LocalKey::generate().unwrap());
    let own = one.certification_request("phone").unwrap();
    let foreign = other.certification_request("phone").unwrap();
    let key = own
        .windows(65)
        .position(|part| part == one.public_key().sec1())
        .unwrap();
    let mut stolen = own;
    stolen[key..key + 65].copy_from_slice(foreign[key..].get(..65).unwrap());
    assert_eq!(refused(&stolen), RequestError::BadSignature);
}

#[test]
fn requested_extensions_are_refused() {
    let directory = TempDir::new().unwrap();
    for extension in [
        "subjectAltName=DNS:phone.example",
        "basicConstraints=critical,CA:true",
        "keyUsage=digitalSignature",
    ] {
        let mut arguments = P256.to_vec();
        arguments.extend(["-addext", extension]);
        let der = request(&directory, &arguments);
        assert_eq!(refused(&der), RequestError::ExtensionRequest, "{extension}");
    }
}

/// A request with one attribute of openssl's configuration.
fn with_attribute(directory: &TempDir, attribute: &str) -> Vec<u8> {
    let config = format!(
        "[req]\nprompt=no\ndistinguished_name=dn\nattributes=at\n[dn]\nCN=phone\n[at]\n{attribute}\n"
    );
    std::fs::write(directory.path().join("req.cnf"), config).unwrap();
    let mut all = vec![
        "req", "-new", "-nodes", "-config", "req.cnf", "-keyout", "key.pem",
    ];
    all.extend(["-outform", "DER", "-out", "request.der"]);
    all.extend(P256);
    let output = openssl(directory.path(), &all);
    assert!(output.status.success(), "{output:?}");
    std::fs::read(directory.path().join("request.der")).unwrap()
}

#[test]
fn attributes_that_reach_no_certificate_are_ignored_and_others_refused() {
    let directory = TempDir::new().unwrap();
    let der = with_attribute(&directory, "challengePassword=abcdefgh");
    assert!(CertificationRequest::parse(&der).is_ok());
    let der = with_attribute(&directory, "unstructuredName=phone");
    assert!(CertificationRequest::parse(&der).is_ok());
    let der = with_attribute(&directory, "unstructuredAddress=somewhere");
    assert!(matches!(refused(&der), RequestError::Attribute(oid)
        if oid.to_string() == "1.2.840.113549.1.9.8"));
}

#[test]
fn lengths_are_bounded_before_anything_is_parsed() {
    let directory = TempDir::new().unwrap();
    let comment = format!("nsComment={}", "x".repeat(MAX_REQUEST));
    let mut arguments = P256.to_vec();
    arguments.extend(["-addext", &comment]);
    let der = request(&directory, &arguments);
    assert_eq!(refused(&der), RequestError::TooLong { octets: der.len() });
    let octets = 2 * MAX_REQUEST + 1;
    let long = CertificationRequest::parse_pem_or_der(&vec![b'-'; octets]).unwrap_err();
    assert_eq!(long, RequestError::TooLong { octets });
}

#[test]
fn malformed_octets_are_refused() {
    let directory = TempDir::new().unwrap();
    let der = request(&directory, P256);
    let mut trailing = der.clone();
    trailing.push(0);
    assert_eq!(
        refused(&trailing),
        RequestError::Signed(SignedError::TrailingData)
    );
    let mut version = der.clone();
    let at = version
        .windows(3)
        .position(|part| part == [2, 1, 0])
        .unwrap();
    version[at + 2] = 1;
    assert_eq!(refused(&version), RequestError::Version);
    for length in 0..der.len() {
        assert!(CertificationRequest::parse(&der[..length]).is_err());
    }
    assert_eq!(refused(&[]), RequestError::Signed(SignedError::Malformed));
    assert_eq!(
        refused(&[0x30, 0]),
        RequestError::Signed(SignedError::Malformed)
    );
}

#[test]
fn no_single_changed_octet_is_accepted() {
    let der = LocalKey::generate()
        .unwrap()
        .certification_request("phone")
        .unwrap();
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0x40;
        assert!(CertificationRequest::parse(&changed).is_err(), "octet {at}");
    }
}

#[test]
fn a_ca_asks_by_the_name_that_its_certificate_shall_have() {
    let key = LocalKey::generate().unwrap();
    let public = key.public_key();
    let info = to_be_signed("alfa", "device CA abcdefgh", public).unwrap();
    let raw = key.sign_raw(info.bytes()).unwrap();
    let signature = public.verify_raw(info.bytes(), &raw).unwrap();
    let request = CertificationRequest::parse(&assemble(info.bytes(), &signature)).unwrap();
    assert_eq!(request.public_key(), public);
    let subject = request.organization_and_common_name();
    assert_eq!(subject, Some(("alfa", "device CA abcdefgh")));
    assert_eq!(request.info_sha256(), sha256(info.bytes()));
    // A phone's has CN alone.
    let phone = key.certification_request("phone").unwrap();
    let phone = CertificationRequest::parse(&phone).unwrap();
    assert_eq!(phone.organization_and_common_name(), None);
    for (organization, common_name) in [("ALFA", "x"), ("", "x"), ("alfa", ""), ("alfa", "\u{e9}")]
    {
        assert!(to_be_signed(organization, common_name, public).is_err());
    }
}
