//! Owns the keys of an institution as the configuration names them.

use std::sync::Arc;

use crate::{
    config::{CaFiles, Institution},
    domain::{
        key::{KeyRecord, Purpose},
        keyring::Keyring,
    },
};

/// The keys of an institution, with the first CRLs of its CAs.
pub fn of(institution: &Institution) -> Keyring {
    let ca = |purpose, files: &CaFiles| {
        let certificate = files.certificate.clone();
        Arc::new(KeyRecord {
            first_crl: Some(files.crl.der().to_vec()),
            ..KeyRecord::new(&institution.id, purpose, certificate, None)
        })
    };
    let (leaf, issuer) = (&institution.authorization, &institution.signing_ca);
    let authorization = KeyRecord::new(
        &institution.id,
        Purpose::Authorization,
        leaf.clone(),
        Some(issuer.certificate.clone()),
    );
    Keyring::new([
        ca(Purpose::DeviceCa, &institution.device_ca),
        ca(Purpose::SigningCa, issuer),
        Arc::new(authorization),
    ])
}
