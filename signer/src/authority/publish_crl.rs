//! Owns the making and showing of CRLs: one per issuing CA, rebuilt when a revocation or the schedule makes it due.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use semops_objects::institution::InstitutionId;
use semops_pki::{
    certificate::Certificate,
    crl::CertificateRevocationList,
    issuer::{Issuer, RevokedEntry},
};

use crate::{
    authority::Authority,
    clock::Timestamp,
    domain::{
        actor::{Actor, Origin},
        key::{KeyId, KeyRecord, Purpose},
        keyring::{Held, Keyring},
        operation::{CrlRecord, OVERDUE_SECONDS},
        outcome::State,
        published_roots::Hierarchy,
    },
    error::{Error, Reason},
    fault::{self, Point},
    ids::RequestId,
    signing::{CrlDraft, Draft},
    store::CrlState,
};

/// Where the CRLs of an institution's CA are published: the address in cRLDistributionPoints.
pub fn crl_address(base: &str, ca: &KeyRecord) -> String {
    format!("{base}/crl/{}.crl", ca.published_as())
}

/// Where the certificate of an institution's CA is published: the address of caIssuers.
pub fn ca_address(base: &str, ca: &KeyRecord) -> String {
    format!("{base}/ca/{}.cer", ca.published_as())
}

/// A CA whose CRL is shown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ca<'a> {
    /// An offline root of this hierarchy: the one with this key, or the first one.
    Root(Hierarchy, Option<KeyId>),
    /// That CA of an institution which issues now.
    Issuing(&'a InstitutionId, Purpose),
    /// The CA of an institution with this key, whether it issues now or not.
    Key(&'a InstitutionId, Purpose, KeyId),
    /// A CA of an institution, by the name under which it publishes.
    Published(&'a InstitutionId, &'a str),
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

/// From when until when the CRL in force of each CA counts, as last looked at.
#[derive(Default)]
pub(super) struct CrlsInForce(Mutex<BTreeMap<KeyId, (Timestamp, Timestamp)>>);

impl CrlsInForce {
    fn note(&self, ca: KeyId, counts: (Timestamp, Timestamp)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(ca, counts);
    }

    pub(super) fn of(&self, ca: KeyId) -> Option<(Timestamp, Timestamp)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&ca).copied()
    }
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
    /// The CAs of an institution that have certificates to answer for, each with a CRL of its own.
    pub fn listing_cas(&self, institution: &InstitutionId) -> Result<Vec<KeyId>, Error> {
        let (snapshot, now) = (self.snapshot(), self.clock.now());
        let keys = snapshot.keyring(institution)?.keys().iter();
        let answering = keys.filter(|key| key.answers(now));
        Ok(answering.map(|key| key.record().id).collect())
    }

    /// Makes the CRL of a CA, if it is due: whether it was made.
    pub async fn publish_crl(&self, institution: &InstitutionId, ca: KeyId) -> Result<bool, Error> {
        let snapshot = self.snapshot();
        let keyring = snapshot.keyring(institution)?;
        let Some(ca) = keyring.get(ca).map(Held::record) else {
            return Ok(false);
        };
        let now = self.clock.now();
        let calendar = self.calendar(now);
        let state = self.store.crl_state(ca.id).await?;
        let first = first_crl(ca)?;
        if let Some(counts) = in_force(&state, first.as_ref()) {
            self.crls.note(ca.id, counts);
        }
        if !calendar.due(&state) {
            return Ok(false);
        }
        // Another replica makes it.
        let Some(term) = self.lead().await? else {
            return Ok(false);
        };
        fault::point(Point::CrlDue);
        let key = keyring.listing(ca, now)?;
        let before = first.map_or(0, |first| first.number());
        let number = state.last_number.max(before).saturating_add(1);
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
            to_be_signed: self.list(ca, &state, number, now, next_update).await?,
        };
        let draft = Draft::crl(&key, draft, now).map_err(Error::internal)?;
        fault::point(Point::CrlFrozen);
        let outcome = self.signer.sign_once(draft, keyring, deadline()).await?;
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
        let key = match ca {
            Ca::Root(hierarchy, key) => {
                let roots = self.roots();
                let root = roots.published().named(hierarchy, key);
                let root = root.ok_or(Error::NotFound(Reason::CrlNotFound))?;
                return Ok(of_list(root.crl()));
            }
            Ca::Issuing(..) | Ca::Key(..) | Ca::Published(..) => self.issuing(ca),
        };
        let key = key.ok_or(Error::NotFound(Reason::CrlNotFound))?;
        match (self.store.crl_state(key.id).await?.newest, &key.first_crl) {
            (Some(crl), _) => Ok(Published {
                number: crl.number,
                next_update: crl.next_update.seconds(),
                der: crl.der,
            }),
            (None, Some(first)) => published(first),
            // It is made in the next second.
            (None, None) => Err(Error::NotFound(Reason::CrlNotFound)),
        }
    }

    /// The certificate of a CA that publishes here, DER.
    pub fn ca_certificate(&self, ca: Ca<'_>) -> Option<Vec<u8>> {
        let of = |certificate: &Certificate| certificate.der().to_vec();
        match ca {
            Ca::Root(hierarchy, key) => {
                let roots = self.roots();
                let root = roots.published().named(hierarchy, key)?;
                Some(of(root.certificate()))
            }
            Ca::Issuing(..) | Ca::Key(..) | Ca::Published(..) => {
                self.issuing(ca)?.chain.first().map(of)
            }
        }
    }

    /// The key of an institution's CA.
    fn issuing(&self, ca: Ca<'_>) -> Option<Arc<KeyRecord>> {
        match ca {
            Ca::Root(..) => None,
            Ca::Issuing(institution, purpose) => {
                let keyring = self.published(institution)?;
                keyring.issuing(purpose, self.clock.now()).cloned()
            }
            Ca::Key(institution, purpose, key) => {
                let keyring = self.published(institution)?;
                let mut cas = keyring.cas();
                let found = cas.find(|ca| ca.id == key && ca.purpose == purpose);
                found.cloned()
            }
            Ca::Published(institution, name) => {
                self.published(institution)?.publisher(name).cloned()
            }
        }
    }

    /// The keys of which something is published. What was is still had, and says for itself who made it, while nothing of
    /// the institution's history is used.
    fn published(&self, institution: &InstitutionId) -> Option<Arc<Keyring>> {
        if let Ok(keyring) = self.snapshot().keyring(institution) {
            return Some(Arc::clone(keyring));
        }
        let configured = self.setup.institutions.get(institution)?;
        Some(Arc::new(Keyring::of_ceremony(configured.iter().cloned())))
    }
}

/// The CRL that was made with the CA at the ceremony.
fn first_crl(ca: &KeyRecord) -> Result<Option<CertificateRevocationList>, Error> {
    let first = ca.first_crl.as_deref();
    let first = first.map(CertificateRevocationList::from_der).transpose();
    first.map_err(Error::internal)
}

/// From when until when the CRL in force counts, if there is one.
fn in_force(
    state: &CrlState,
    first: Option<&CertificateRevocationList>,
) -> Option<(Timestamp, Timestamp)> {
    if let Some(newest) = &state.newest {
        return Some((newest.signed_at, newest.next_update));
    }
    let first = first?;
    Some((
        Timestamp::from_seconds(first.this_update()),
        Timestamp::from_seconds(first.next_update()),
    ))
}

fn published(der: &[u8]) -> Result<Published, Error> {
    let crl = CertificateRevocationList::from_der(der).map_err(Error::internal)?;
    Ok(of_list(&crl))
}

fn of_list(crl: &CertificateRevocationList) -> Published {
    Published {
        number: crl.number(),
        next_update: crl.next_update(),
        der: crl.der().to_vec(),
    }
}

fn deadline() -> std::time::Instant {
    let start = std::time::Instant::now();
    let seconds = u64::try_from(OVERDUE_SECONDS).unwrap_or_default();
    start
        .checked_add(std::time::Duration::from_secs(seconds))
        .unwrap_or(start)
}
