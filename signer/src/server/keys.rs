//! Owns the keys of an institution as the configuration names them.

use std::sync::Arc;

use semops_objects::institution::InstitutionId;

use crate::{
    config::{CaFiles, KeyFiles},
    domain::key::{KeyRecord, Purpose},
};

/// The keys of an institution, with the first CRLs of its CAs.
pub fn of(institution: &InstitutionId, files: &KeyFiles) -> Vec<Arc<KeyRecord>> {
    let ca = |purpose, files: &CaFiles| {
        let certificate = files.certificate.clone();
        Arc::new(KeyRecord {
            first_crl: Some(files.crl.der().to_vec()),
            ..KeyRecord::new(institution, purpose, certificate, None)
        })
    };
    let (leaf, issuer) = (&files.authorization, &files.signing_ca);
    let authorization = KeyRecord::new(
        institution,
        Purpose::Authorization,
        leaf.clone(),
        Some(issuer.certificate.clone()),
    );
    vec![
        ca(Purpose::DeviceCa, &files.device_ca),
        ca(Purpose::SigningCa, issuer),
        Arc::new(authorization),
    ]
}
