//! Owns what is done once when the record was put back from a backup, before anything is served: the newest published
//! CRLs are judged, and what they tell of the lost time is taken over.
//!
//! Lost are orders that were authorized, revocations, CRLNumbers, enrolments and documents. The hold outlasts every order
//! that can have been authorized before; the lists tell the numbers and the revocations; documents are the operator's.

use std::fmt;

use semops_objects::{institution::InstitutionId, jwk::thumbprint};
use semops_pki::{
    certificate::Certificate, crl::CertificateRevocationList, error::CrlError,
    profile::MAX_LEAF_VALIDITY,
};

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        key::{KeyId, Purpose},
    },
    policy::LONGEST_GOOD_SECONDS,
    store::{
        KeyRegistration, LastPublished, Restoration, Restored, RevokedCertificate, Store,
        StoreError,
    },
};

/// A CA that publishes, by the configuration or by what the record holds.
#[derive(Debug)]
pub struct IssuingCa {
    /// Whose.
    pub institution: InstitutionId,
    /// Which of its two.
    pub purpose: Purpose,
    /// Its certificate.
    pub certificate: Certificate,
    /// Where its CRLs are published: the address in cRLDistributionPoints.
    pub address: String,
    /// Whether a change took it up after the ceremony.
    pub later: bool,
    /// Whether it answers for certificates that are valid still, so that its newest CRL must be there.
    pub answers: bool,
}

/// A file that should be a published CRL.
#[derive(Debug)]
pub struct PublishedFile {
    /// Its name, for people.
    pub name: String,
    /// What is in it.
    pub der: Vec<u8>,
}

/// All that is wrong with the published CRLs; never empty. Nothing was changed.
#[derive(Debug, PartialEq, Eq)]
pub struct PublishedMistakes(pub Vec<String>);

impl fmt::Display for PublishedMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        let count = self.0.len();
        writeln!(f, "the published CRLs have {count} mistake{plural}:")?;
        self.0
            .iter()
            .try_for_each(|mistake| writeln!(f, "  {mistake}"))
    }
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The lists are not what they should be.
    #[error("{0}")]
    Mistaken(PublishedMistakes),
    /// The store could not do it.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

/// Takes over what these CAs have published. `roots` may have lists there too.
///
/// # Errors
/// [`RestoreError`]; then nothing was changed.
pub async fn after_restore(
    store: &dyn Store,
    cas: &[IssuingCa],
    roots: &[&Certificate],
    files: &[PublishedFile],
    origin: Origin,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    // 1 read and verify
    let (mut mistakes, mut found) = (Vec::new(), Vec::new());
    for file in files {
        match read(file, cas, roots) {
            Ok(read) => found.extend(read),
            Err(mistake) => mistakes.push(mistake),
        }
    }

    // 2 compare: one list of each CA, the newest, and none older than the record
    let mut lists = Vec::new();
    for ca in cas {
        let own = found.iter().filter(|(of, _, _)| std::ptr::eq(*of, ca));
        let newest = own.max_by_key(|(_, _, list)| list.number());
        let held = store.crl_state(ca.key()).await?.newest;
        let held = held.map_or(0, |crl| crl.number);
        match newest {
            // One that was taken up shortly before the loss may have published nothing.
            None if ca.answers && (held > 0 || !ca.later) => mistakes.push(ca.missing()),
            None => {}
            Some((_, file, list)) if list.number() < held => {
                mistakes.push(ca.older(file, list, held));
            }
            Some((_, _, list)) => lists.push((ca, list)),
        }
    }
    if !mistakes.is_empty() {
        return Err(RestoreError::Mistaken(PublishedMistakes(mistakes)));
    }
    let lists: Result<_, CrlError> = lists.iter().map(|(ca, list)| ca.published(list)).collect();
    let lists =
        lists.map_err(|e| RestoreError::Mistaken(PublishedMistakes(vec![e.to_string()])))?;

    // 3 take over, in one transaction; a key may be younger than the backup
    let keys = cas.iter().map(IssuingCa::registration).collect();
    store.register_keys(keys, now).await?;
    let restoration = Restoration {
        lists,
        hold_until: now.plus_seconds(LONGEST_GOOD_SECONDS),
        expired_after: now.plus_seconds(MAX_LEAF_VALIDITY),
        origin,
    };
    Ok(store.restore(restoration, now).await?)
}

type Found<'a> = (&'a IssuingCa, &'a str, CertificateRevocationList);

/// The list in a file with the CA that issued it; nothing if a root did.
fn read<'a>(
    file: &'a PublishedFile,
    cas: &'a [IssuingCa],
    roots: &[&Certificate],
) -> Result<Option<Found<'a>>, String> {
    let PublishedFile { name, der } = file;
    let list = CertificateRevocationList::from_der(der)
        .map_err(|e| format!("{name}: {e}: fetch it again, in DER, or take it away"))?;
    for ca in cas {
        match list.verify_issued_by(&ca.certificate) {
            Ok(()) => return Ok(Some((ca, name, list))),
            Err(CrlError::Issuer) => {}
            Err(e) => return Err(format!("{name}: {e}: fetch {}", ca.address)),
        }
    }
    if roots.iter().any(|root| list.verify_issued_by(root).is_ok()) {
        return Ok(None);
    }
    Err(format!(
        "{name}: no CA of the configuration or of the record issued it: load the change first that took its CA up, or take it \
         away"
    ))
}

impl IssuingCa {
    /// Its key.
    pub fn key(&self) -> KeyId {
        KeyId::new(thumbprint(self.certificate.public_key()))
    }

    fn registration(&self) -> KeyRegistration {
        KeyRegistration {
            id: self.key(),
            institution: self.institution.clone(),
            purpose: self.purpose,
        }
    }

    fn missing(&self) -> String {
        format!("{self}: no CRL of it is there: fetch {}", self.address)
    }

    fn older(&self, file: &str, list: &CertificateRevocationList, held: u64) -> String {
        let (number, address) = (list.number(), &self.address);
        format!(
            "{file}: CRLNumber {number} of {self} is below {held}, which the record itself holds: fetch {address}"
        )
    }

    fn published(&self, list: &CertificateRevocationList) -> Result<LastPublished, CrlError> {
        let entries = list.entries().map(|(serial, revoked)| RevokedCertificate {
            serial: serial.to_vec(),
            at: Timestamp::from_seconds(revoked.at),
            reason: revoked.reason,
        });
        Ok(LastPublished {
            institution: self.institution.clone(),
            issuer: self.key(),
            number: list.number(),
            this_update: Timestamp::from_seconds(list.this_update()),
            next_update: Timestamp::from_seconds(list.next_update()),
            to_be_signed: list.tbs()?.to_vec(),
            der: list.der().to_vec(),
            entries: entries.collect(),
        })
    }
}

impl fmt::Display for IssuingCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of {}", self.purpose.name(), self.institution)?;
        if self.later {
            write!(f, " with key {}", self.key())?;
        }
        Ok(())
    }
}
