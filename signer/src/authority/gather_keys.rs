//! Owns the putting together of an institution's keyring: the keys that stand by its history, each with the certificate that
//! the configuration names or that the change brought along which took it up. A key of which nobody approved the
//! certificate, or nobody who may has issued it, is on no ring.

use std::{collections::BTreeMap, sync::Arc};

use semops_objects::{
    change::{ChangeRefusal, KeyLife, Publication, Standing},
    institution::InstitutionId,
};
use semops_pki::{certificate::Certificate, profile::Oids};

use crate::{
    clock::Timestamp,
    domain::{
        key::{Certifiers, KeyId, KeyRecord, Purpose},
        keyring::{Held, Keyring},
        published_roots::RevokedCa,
        scheme_roots::SchemeRoots,
    },
};

/// By what keys are certified: of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// The scheme's object identifiers.
    pub oids: &'a Oids,
    /// The roots in force.
    pub roots: &'a SchemeRoots,
    /// The keys of each institution of which the configuration names the certificates.
    pub keys: &'a BTreeMap<InstitutionId, Vec<Arc<KeyRecord>>>,
}

/// Why a key that stands is not on the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// Which.
    pub(super) key: KeyId,
    /// Why.
    pub(super) why: String,
}

/// The certificates that changes brought along, DER.
pub(super) type Certificates = [(KeyId, Vec<u8>)];

/// The ring of the keys that stand, and those that cannot be on it.
pub(super) fn gather(
    grounds: Grounds<'_>,
    standing: &Standing,
    certificates: &Certificates,
) -> (Keyring, Vec<Unusable>) {
    let institution = standing.institution();
    let configured = grounds.keys.get(institution);
    let (mut held, mut unusable) = (Vec::<Held>::new(), Vec::new());
    let mut keys: Vec<_> = standing.keys().collect();
    // CAs come before what they have certified.
    keys.sort_by_key(|(_, life)| life.purpose());
    for (key, life) in keys {
        let record = match life.certificate() {
            None => named(configured.map_or(&[][..], Vec::as_slice), key, life),
            Some(sha256) => brought(certificates, key, sha256).and_then(|certificate| {
                certify(
                    grounds,
                    institution,
                    &held,
                    key,
                    life.purpose(),
                    certificate,
                )
                .map(Arc::new)
            }),
        };
        match record {
            Ok(record) => {
                let revoked = grounds.roots.revocation(&record);
                let revoked = revoked.map(|revoked| RevokedCa(revoked.reason));
                held.push(Held::new(record, life.clone()).of_revoked_ca(revoked));
            }
            Err(why) => unusable.push(Unusable { key, why }),
        }
    }
    (Keyring::new(held), unusable)
}

/// A key of the ceremony: the configuration names its certificate.
fn named(
    configured: &[Arc<KeyRecord>],
    key: KeyId,
    life: &KeyLife,
) -> Result<Arc<KeyRecord>, String> {
    let mut configured = configured.iter();
    let found = configured.find(|record| record.id == key && record.purpose == life.purpose());
    let found = found.map(Arc::clone);
    found.ok_or_else(|| {
        format!(
            "the configuration names no {} certificate of it",
            life.purpose().name()
        )
    })
}

fn brought(
    certificates: &Certificates,
    key: KeyId,
    approved: &[u8; 32],
) -> Result<Certificate, String> {
    let mut certificates = certificates.iter();
    let der = certificates.find(|(of, _)| *of == key).map(|(_, der)| der);
    let der = der.ok_or("the record has no certificate of it")?;
    let certificate = Certificate::from_der(der).map_err(|e| e.to_string())?;
    let same = certificate.sha256() == *approved;
    same.then_some(certificate)
        .ok_or_else(|| "its certificate in the record is not the one that was approved".to_owned())
}

fn certify(
    grounds: Grounds<'_>,
    institution: &InstitutionId,
    held: &[Held],
    key: KeyId,
    purpose: Purpose,
    certificate: Certificate,
) -> Result<KeyRecord, String> {
    let cas = |of: Purpose| {
        let records = held
            .iter()
            .map(Held::record)
            .filter(move |ca| ca.purpose == of);
        records
            .filter_map(|ca| ca.chain.first())
            .collect::<Vec<&Certificate>>()
    };
    let by = Certifiers {
        roots: grounds.roots,
        device_cas: &cas(Purpose::DeviceCa),
        signing_cas: &cas(Purpose::SigningCa),
        oids: grounds.oids,
    };
    KeyRecord::certified(institution, purpose, key, certificate, by).map_err(|e| e.to_string())
}

/// Whether the key that a change publishes could sign with this certificate, from the time on that it names.
///
/// # Errors
/// `CERTIFICATE_INVALID` with the rule that is broken.
pub(super) fn check_publication(
    grounds: Grounds<'_>,
    standing: &Standing,
    keyring: &Keyring,
    publication: &Publication,
    purpose: Purpose,
    certificate: Certificate,
) -> Result<(), ChangeRefusal> {
    let (institution, held) = (standing.institution(), keyring.keys());
    let record = certify(
        grounds,
        institution,
        held,
        publication.key,
        purpose,
        certificate,
    )
    .map_err(ChangeRefusal::Certificate)?;
    if let Some(revoked) = grounds.roots.revocation(&record) {
        let why = RevokedCa(revoked.reason).to_string();
        return Err(ChangeRefusal::Certificate(why));
    }
    let at = i64::try_from(publication.activate_at).unwrap_or(i64::MAX);
    let at = Timestamp::from_seconds(at);
    if record.not_before <= at && at < record.signs_until {
        return Ok(());
    }
    let why = "it is not valid when the key is to sign from";
    Err(ChangeRefusal::Certificate(why.to_owned()))
}
