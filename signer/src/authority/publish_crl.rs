//! Owns the making and showing of CRLs: one per issuing CA, rebuilt when a revocation or the schedule makes it due.

use semops_objects::institution::InstitutionId;
use semops_pki::{
    crl::CertificateRevocationList,
    issuer::{Issuer, RevokedEntry},
};

use crate::{
    authority::{Authority, InstitutionKeys},
    clock::Timestamp,
    domain::{
        actor::{Actor, Origin},
        key::{KeyRecord, Purpose},
        operation::{CrlRecord, OVERDUE_SECONDS},
        outcome::State,
    },
    error::{Error, Reason},
    fault::{self, Point},
    ids::RequestId,
    signing::{CrlDraft, Draft},
    store::CrlState,
};

/// Where the CRLs of an institution's CA are published: the address in cRLDistributionPoints.
pub fn crl_address(base: &str, institution: &InstitutionId, purpose: Purpose) -> String {
    format!("{base}/crl/{institution}-{}.crl", purpose.name())
}

/// A CA whose CRL is shown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ca<'a> {
    /// The offline root of the device hierarchy.
    DeviceRoot,
    /// The offline root of the signing hierarchy.
    SigningRoot,
    /// An institution's CA, by its purpose.
    Institution(&'a InstitutionId, Purpose),
}

/// A published CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its CRLNumber.
    pub number: u64,
    /// Its nextUpdate, seconds.
    pub next_update: i64,
    /// Its DER.
    pub der: Vec<u8>,
}

/// When, and for how long, CRLs are made.
struct Calendar {
    now: Timestamp,
    refresh_seconds: i64,
    validity_seconds: i64,
}

impl Calendar {
    /// Whether a CRL is missing, lacks a revocation, is old, or was made by a clock that has been set back since: nobody
    /// takes one before its thisUpdate.
    fn due(&self, state: &CrlState) -> bool {
        state.newest.as_ref().is_none_or(|newest| {
            newest.revocations < state.revocations
                || newest.signed_at.plus_seconds(self.refresh_seconds) <= self.now
                || newest.signed_at > self.now
        })
    }
}

impl Authority {
    /// Makes the CRLs of an institution that are due. One CA's failure does not keep the other's from being made; the
    /// last is returned.
    pub async fn publish_crls(&self, institution: &InstitutionId) -> Result<u32, Error> {
        let keys = self.keys(institution)?;
        let mut made = 0_u32;
        let mut last = Ok(());
        for key in [&keys.device_ca, &keys.signing_ca] {
            match self.publish_crl(keys, key.purpose).await {
                Ok(true) => made = made.saturating_add(1),
                Ok(false) => {}
                Err(error) => last = Err(error),
            }
        }
        last.map(|()| made)
    }

    async fn publish_crl(&self, keys: &InstitutionKeys, purpose: Purpose) -> Result<bool, Error> {
        let record = keys.of(purpose);
        let now = self.clock.now();
        let calendar = self.calendar(now);
        let state = self.store.crl_state(record.id).await?;
        let (since, until) = in_force(&state, keys, purpose)?;
        self.metrics.crl(&record.institution, purpose, since, until);
        if !calendar.due(&state) {
            return Ok(false);
        }
        // Another replica makes it.
        let Some(term) = self.lead().await? else {
            return Ok(false);
        };
        fault::point(Point::CrlDue);
        let key = record.for_signing(now)?;
        let ceremony = CertificateRevocationList::from_der(ceremony_crl(keys, purpose))
            .map_err(Error::internal)?;
        let number = state.last_number.max(ceremony.number()).saturating_add(1);
        let next_update =
            Timestamp::from_seconds(now.seconds()).plus_seconds(calendar.validity_seconds);
        let draft = CrlDraft {
            origin: Origin {
                actor: Actor::Schedule,
                request: RequestId::new(),
            },
            generation: self.store.generation().await?,
            record: CrlRecord {
                term,
                number,
                revocations: state.revocations,
                next_update,
            },
            to_be_signed: self.list(record, &state, number, now, next_update).await?,
        };
        let draft = Draft::crl(&key, draft, now).map_err(Error::internal)?;
        fault::point(Point::CrlFrozen);
        let outcome = self.signer.sign_once(draft, deadline()).await?;
        Ok(outcome.state == State::Authorized)
    }

    async fn list(
        &self,
        record: &KeyRecord,
        state: &CrlState,
        number: u64,
        now: Timestamp,
        next_update: Timestamp,
    ) -> Result<semops_pki::signed::ToBeSigned, Error> {
        // RFC 5280 s3.3: an entry stays until one scheduled CRL past the certificate's notAfter.
        let since = state.newest.as_ref().map_or(now, |newest| newest.signed_at);
        // Nor does a clock that was ahead for a while drop the entry of a certificate that is still valid.
        let since = since.min(now);
        let revoked = self
            .store
            .revoked(record.id, state.revocations, since)
            .await?;
        let entries: Vec<RevokedEntry> = revoked
            .into_iter()
            .map(|r| RevokedEntry {
                serial: r.serial,
                at: r.at.seconds(),
                reason: r.reason,
            })
            .collect();
        let ca = record
            .chain
            .first()
            .ok_or_else(|| Error::internal("a CA key has no certificate"))?;
        Issuer::new(ca.clone())
            .and_then(|issuer| issuer.crl(number, now.seconds(), next_update.seconds(), &entries))
            .map_err(Error::internal)
    }

    fn calendar(&self, now: Timestamp) -> Calendar {
        let seconds = |hours: u32| i64::from(hours).saturating_mul(3600);
        Calendar {
            now,
            refresh_seconds: seconds(self.setup.crl_refresh_hours),
            validity_seconds: seconds(self.setup.crl_validity_hours),
        }
    }

    /// The newest CRL of a CA.
    pub async fn crl(&self, ca: Ca<'_>) -> Result<Published, Error> {
        let (institution, purpose) = match ca {
            Ca::DeviceRoot => return published(&self.setup.device_root.crl),
            Ca::SigningRoot => return published(&self.setup.signing_root.crl),
            Ca::Institution(institution, purpose) => (institution, purpose),
        };
        let keys = self
            .setup
            .institutions
            .get(institution)
            .filter(|_| purpose != Purpose::Authorization);
        let keys = keys.ok_or(Error::NotFound(Reason::CrlNotFound))?;
        match self.store.crl_state(keys.of(purpose).id).await?.newest {
            Some(crl) => Ok(Published {
                number: crl.number,
                next_update: crl.next_update.seconds(),
                der: crl.der,
            }),
            None => published(ceremony_crl(keys, purpose)),
        }
    }
}

fn ceremony_crl(keys: &InstitutionKeys, purpose: Purpose) -> &[u8] {
    match purpose {
        Purpose::DeviceCa => &keys.device_ca_crl,
        Purpose::SigningCa | Purpose::Authorization => &keys.signing_ca_crl,
    }
}

/// From when until when the CRL in force counts.
fn in_force(
    state: &CrlState,
    keys: &InstitutionKeys,
    purpose: Purpose,
) -> Result<(Timestamp, Timestamp), Error> {
    if let Some(newest) = &state.newest {
        return Ok((newest.signed_at, newest.next_update));
    }
    let first = CertificateRevocationList::from_der(ceremony_crl(keys, purpose));
    let first = first.map_err(Error::internal)?;
    Ok((
        Timestamp::from_seconds(first.this_update()),
        Timestamp::from_seconds(first.next_update()),
    ))
}

fn published(der: &[u8]) -> Result<Published, Error> {
    let crl = CertificateRevocationList::from_der(der).map_err(Error::internal)?;
    Ok(Published {
        number: crl.number(),
        next_update: crl.next_update(),
        der: der.to_vec(),
    })
}

fn deadline() -> std::time::Instant {
    let start = std::time::Instant::now();
    let seconds = u64::try_from(OVERDUE_SECONDS).unwrap_or_default();
    start
        .checked_add(std::time::Duration::from_secs(seconds))
        .unwrap_or(start)
}
