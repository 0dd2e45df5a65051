//! What must hold of X.509: certification requests, certificates and their chains, CRLs, public keys and signatures.

use std::fmt::Display;

use der::{Decode, Encode, pem::LineEnding};
use semops_objects::jwk::{self, Jwk, JwkSet};
use semops_pki::algorithm::{PublicKey, sha256};
use semops_pki::certificate::{Certificate, MAX_CERTIFICATE, rfc3339};
use semops_pki::crl::{CertificateRevocationList, Reason};
use semops_pki::request::{CertificationRequest, MAX_REQUEST, der_of};
use x509_cert::crl::CertificateList;

use crate::Verdict::{self, Accepted, Refused};
use crate::material::{issuer, key, public, signed, with_one_bit_changed};

/// What the signatures of [`signature`] are over.
pub const MESSAGE: &[u8] = b"semops";

/// A reason says something.
fn refused(reason: &impl Display) -> Verdict {
    assert!(!reason.to_string().is_empty());
    Refused
}

/// Bytes as they are, in PEM or DER, and as what is signed: mutation alone would never get past a signature.
pub fn certification_request(bytes: &[u8]) -> Verdict {
    let from_pem = der_of(bytes).map_or(Refused, |der| request(&der));
    from_pem.any(request(&signed(bytes)))
}

fn request(der: &[u8]) -> Verdict {
    let request = match CertificationRequest::parse(der) {
        Ok(request) => request,
        Err(reason) => return refused(&reason),
    };
    assert!(der.len() <= MAX_REQUEST);
    holds_of_key(request.public_key());
    assert_eq!(request.info_sha256(), sha256(&signed_part(der)));
    let pem = der::pem::encode_string("CERTIFICATE REQUEST", LineEnding::LF, der).unwrap();
    let again = CertificationRequest::parse_pem_or_der(pem.as_bytes()).unwrap();
    assert_eq!(again.public_key(), request.public_key());
    assert!(CertificationRequest::parse(&with_one_bit_changed(der)).is_err());
    assert!(CertificationRequest::parse(&[der, &[0]].concat()).is_err());
    Accepted
}

/// As [`certification_request`].
pub fn certificate(bytes: &[u8]) -> Verdict {
    one_certificate(bytes).any(one_certificate(&signed(bytes)))
}

fn one_certificate(der: &[u8]) -> Verdict {
    let certificate = match Certificate::from_der(der) {
        Ok(certificate) => certificate,
        Err(reason) => return refused(&reason),
    };
    assert!(der.len() <= MAX_CERTIFICATE);
    assert_eq!(certificate.der(), der);
    assert_eq!(certificate.sha256(), sha256(der));
    holds_of_key(certificate.public_key());
    holds_of_serial(certificate.serial());
    says_what_it_holds(&certificate);
    let pem = certificate.to_pem();
    assert_eq!(Certificate::from_pem(&pem).as_ref(), Ok(&certificate));
    assert!(Certificate::from_pem(&[pem.as_str(), &pem].concat()).is_err());
    assert!(Certificate::from_der(&[der, &[0]].concat()).is_err());
    let ca = issuer().ca();
    if certificate.verify_issued_by(ca).is_ok() {
        assert_eq!(certificate.issuer_der(), ca.subject_der());
        let changed = Certificate::from_der(&with_one_bit_changed(der));
        assert!(changed.is_err() || changed.unwrap().verify_issued_by(ca).is_err());
    }
    Accepted
}

/// A reader that is not ours finds the same, and writes the same octets.
fn says_what_it_holds(certificate: &Certificate) {
    let read = x509_cert::Certificate::from_der(certificate.der()).unwrap();
    assert_eq!(read.to_der().unwrap(), certificate.der());
    let tbs = read.tbs_certificate();
    assert_eq!(tbs.to_der().unwrap(), signed_part(certificate.der()));
    assert_eq!(tbs.issuer().to_der().unwrap(), certificate.issuer_der());
    assert_eq!(tbs.subject().to_der().unwrap(), certificate.subject_der());
    let subject = tbs.subject().to_string();
    let organization = certificate.subject_organization();
    assert_eq!(
        organization.is_some(),
        certificate.subject_common_name().is_some()
    );
    assert!(organization.is_none() || subject.contains("O="));
    for at in [certificate.not_before(), certificate.not_after()] {
        assert_eq!(rfc3339(at).len(), "1970-01-01T00:00:00Z".len());
        let ordered = certificate.not_before() <= certificate.not_after();
        assert_eq!(certificate.valid_at(at), ordered);
    }
    assert!(!certificate.valid_at(certificate.not_before() - 1));
    assert!(!certificate.valid_at(certificate.not_after() + 1));
    assert!(certificate.is_ca() || certificate.path_len().is_none());
    assert!(certificate.uri_sans().iter().all(|uri| uri.is_ascii()));
}

/// The PEM of one or more certificates.
pub fn certificate_chain(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else {
        return Refused;
    };
    let chain = match Certificate::chain_from_pem(text) {
        Ok(chain) => chain,
        Err(reason) => return refused(&reason),
    };
    assert!((1..=16).contains(&chain.len()));
    let single = Certificate::from_pem(text);
    assert_eq!(single.is_ok(), chain.len() == 1);
    // What is not ASCII or stands in a line of its own may be words between the blocks; their number is that of their ends.
    let ends = text.matches("-----END CERTIFICATE-----").count();
    assert_eq!(ends, chain.len());
    assert_eq!(text.matches("-----BEGIN ").count(), chain.len());
    let canonical: String = chain.iter().map(Certificate::to_pem).collect();
    assert_eq!(Certificate::chain_from_pem(&canonical), Ok(chain));
    Accepted
}

/// As [`certification_request`].
pub fn crl(bytes: &[u8]) -> Verdict {
    one_crl(bytes).any(one_crl(&signed(bytes)))
}

fn one_crl(der: &[u8]) -> Verdict {
    let crl = match CertificateRevocationList::from_der(der) {
        Ok(crl) => crl,
        Err(reason) => return refused(&reason),
    };
    assert_eq!(crl.der(), der);
    assert!(i64::try_from(crl.number()).is_ok());
    assert!(crl.this_update() < crl.next_update());
    assert!(crl.stale_at(crl.next_update()) && !crl.stale_at(crl.next_update() - 1));
    let read: CertificateList = CertificateList::from_der(der).unwrap();
    assert_eq!(read.to_der().unwrap(), der);
    let listed = read.tbs_cert_list.revoked_certificates.unwrap_or_default();
    assert_eq!(listed.len(), crl.entries().len());
    for entry in &listed {
        let found = crl.entry(entry.serial_number.as_bytes()).unwrap();
        assert_ne!(found.reason, Reason::RemoveFromCrl);
    }
    for (serial, revoked) in crl.entries() {
        holds_of_serial(serial);
        assert_eq!(crl.entry(serial), Some(revoked));
        assert_eq!(crl.entry(&[&[0], serial].concat()), Some(revoked));
    }
    assert!(CertificateRevocationList::from_der(&[der, &[0]].concat()).is_err());
    let ca = issuer().ca();
    if crl.verify_issued_by(ca).is_ok() {
        let changed = CertificateRevocationList::from_der(&with_one_bit_changed(der));
        assert!(changed.is_err() || changed.unwrap().verify_issued_by(ca).is_err());
    }
    Accepted
}

/// A SubjectPublicKeyInfo or a point, and the JWK of what it is.
pub fn public_key(bytes: &[u8]) -> Verdict {
    let spki = PublicKey::from_spki_der(bytes);
    let sec1 = PublicKey::from_sec1(bytes);
    if let Ok(key) = &spki {
        assert_eq!(key.spki_der(), bytes);
    }
    if let Ok(key) = &sec1 {
        assert_eq!(key.sec1(), bytes);
    }
    match (spki, sec1) {
        (Ok(_), Ok(_)) => panic!("both a point and a SubjectPublicKeyInfo"),
        (Ok(key), Err(_)) | (Err(_), Ok(key)) => {
            holds_of_key(&key);
            holds_of_jwk(&key);
            Accepted
        }
        (Err(reason), Err(_)) => refused(&reason),
    }
}

fn holds_of_key(key: &PublicKey) {
    assert_eq!(PublicKey::from_spki_der(key.spki_der()).as_ref(), Ok(key));
    assert_eq!(PublicKey::from_sec1(key.sec1()).as_ref(), Ok(key));
    assert_eq!(key.sec1(), [&[4][..], key.x(), key.y()].concat());
    assert_eq!(key.sha256(), sha256(key.spki_der()));
    assert!(key.verify_raw(MESSAGE, &[0; 64]).is_err());
}

/// The members of a JWK are those of RFC 7517, and its `kid` is the SHA-256 of the required ones (RFC 7638 s3).
fn holds_of_jwk(key: &PublicKey) {
    let set: JwkSet = [Jwk::new(key, b"leaf", &[])].into_iter().collect();
    let json: serde_json::Value = serde_json::from_str(&set.to_json()).unwrap();
    let jwk = &json["keys"][0];
    let required = format!(
        r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#,
        jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]
    );
    assert_eq!(sha256(required.as_bytes()), jwk::thumbprint(key));
    assert_eq!(jwk["kid"], set.keys()[0].kid());
}

/// A signature over [`MESSAGE`], as 64 octets or as DER: of all that there are, the fuzzer knows that of the seed and its
/// twin (r, n - s); another one that is taken is a forgery.
pub fn signature(bytes: &[u8]) -> Verdict {
    let raw = match <&[u8; 64]>::try_from(bytes) {
        Ok(rs) => public().verify_raw(MESSAGE, rs),
        Err(_) => public().verify_der(MESSAGE, bytes),
    };
    let Ok(signature) = raw else { return Refused };
    let (rs, der) = (signature.to_raw(), signature.to_der());
    assert!(
        bytes == rs || bytes == der,
        "another spelling of a signature"
    );
    assert_eq!(public().verify_der(MESSAGE, &der), Ok(signature.clone()));
    assert_eq!(public().verify_raw(MESSAGE, &rs), Ok(signature));
    assert!(public().verify_raw(b"semopt", &rs).is_err());
    let changed: [u8; 64] = with_one_bit_changed(&rs).try_into().unwrap();
    assert!(public().verify_raw(MESSAGE, &changed).is_err());
    assert!(
        public()
            .verify_der(MESSAGE, &with_one_bit_changed(&der))
            .is_err()
    );
    let of_others = key().sign_raw(b"another message").unwrap();
    assert!(public().verify_raw(MESSAGE, &of_others).is_err());
    Accepted
}

fn holds_of_serial(serial: &[u8]) {
    assert!((1..=20).contains(&serial.len()) && serial[0] != 0);
}

/// The octets that the signature of a SIGNED{} is over: the first element of its SEQUENCE.
///
/// # Panics
/// There is none.
pub fn signed_part(der: &[u8]) -> Vec<u8> {
    let (header, _) = lengths(der);
    let rest = &der[header..];
    let (header, content) = lengths(rest);
    rest[..header + content].to_vec()
}

/// How many octets identifier and length of an element have, and how many its content has (X.690 s8.1.3).
fn lengths(element: &[u8]) -> (usize, usize) {
    let first = usize::from(element[1]);
    if first < 0x80 {
        return (2, first);
    }
    let more = &element[2..2 + (first & 0x7f)];
    let length = more
        .iter()
        .fold(0, |sum, octet| sum << 8 | usize::from(*octet));
    (2 + more.len(), length)
}
