//! What must hold of trust documents: the TOML that names whose certificates count, and what a stranger makes of it.

use semops_objects::trust::{self, TrustDocument, verify_authorization};
use semops_pki::algorithm::sha256;
use semops_pki::certificate::Certificate;

use crate::Verdict::{self, Accepted, Refused};
use crate::material::{NOW, oids};
use crate::objects::{compact, sample};

/// A trust document.
pub fn trust(bytes: &[u8]) -> Verdict {
    let document = match TrustDocument::parse(bytes, &oids()) {
        Ok(document) => document,
        Err(reason) => {
            assert!(!reason.to_string().is_empty());
            return Refused;
        }
    };
    assert_eq!(document.sha256(), sha256(bytes));
    assert!(document.version() > 0);
    assert!(document.device_root().is_ca() && document.signing_root().is_ca());
    assert_eq!(
        document
            .signing_root_crl()
            .verify_issued_by(document.signing_root()),
        Ok(())
    );
    let mut keys = 0;
    for (index, trusted) in document.trusted().iter().enumerate() {
        let before = &document.trusted()[..index];
        assert!(
            before
                .iter()
                .all(|other| other.institution() != trusted.institution())
        );
        for ca in trusted.signing_cas() {
            let certificate = ca.certificate();
            assert_eq!(
                certificate.verify_issued_by(document.signing_root()),
                Ok(())
            );
            assert_eq!(
                certificate.subject_organization(),
                Some(trusted.institution().as_str())
            );
            assert_eq!(ca.crl().verify_issued_by(certificate), Ok(()));
            for leaf in ca.authorization_certificates() {
                assert_eq!(leaf.verify_issued_by(certificate), Ok(()));
                assert_eq!(
                    leaf.subject_organization(),
                    certificate.subject_organization()
                );
                a_strangers_signature_counts_for_nothing(&document, leaf);
                keys += 1;
            }
        }
    }
    let set: serde_json::Value = serde_json::from_str(&document.jwk_set().to_json()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), keys);
    Accepted
}

/// A good authorization that names `leaf` and was signed by the key that everybody knows.
fn a_strangers_signature_counts_for_nothing(document: &TrustDocument, leaf: &Certificate) {
    let header = sample::header(&leaf.sha256());
    let jws = compact(header.as_bytes(), sample::authorization().as_bytes());
    let now = NOW.try_into().unwrap();
    let verdict = verify_authorization(&jws, document, document.institution(), now);
    assert!(matches!(verdict, trust::Verdict::Refused { .. }));
}
