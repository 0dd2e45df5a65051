//! Owns the use cases: one operation per file, read top to bottom, its steps numbered as in the house plan.

mod accept;
mod admit;
mod adopt_keys;
mod certify_key;
mod change;
mod cosign;
mod create_key;
mod destroy_keys;
mod device;
mod discard_key;
mod enroll;
mod erase;
mod failover;
mod gather_keys;
mod history;
mod lead;
mod lending;
mod list_devices;
mod list_signed;
mod observe;
mod prune;
mod publish_crl;
mod publishers;
mod readiness;
mod reads;
mod refusals;
mod reissue;
mod restore;
mod revoke;
mod ruled;
mod show_documents;
mod show_keys;
mod show_status;
mod snapshot;
mod step_down;
mod sweep;
mod take_roots;
mod verify;

#[cfg(test)]
mod interleavings;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use semops_objects::institution::InstitutionId;
use semops_pki::profile::Oids;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub use admit::{Admission, AdmittedBy};
use adopt_keys::Missed;
pub use change::{
    BringError, BroughtIn, ChangeError, ChangeShown, Deciding, Listing, Rules, bring_change,
};
pub use cosign::{Cosign, Cosigned};
pub use destroy_keys::dispensable_keys;
pub use device::{DeviceShown, Issued};
pub use enroll::Enrolled;
pub use erase::erase;
pub use gather_keys::Grounds;
use lending::Lending;
pub use list_devices::DevicesShown;
pub use list_signed::{SignedObjects, SignedShown};
use observe::Worn;
pub use prune::Pruned;
use prune::Pruning;
use publish_crl::CrlsInForce;
pub use publish_crl::{Ca, Published, ca_address, crl_address};
pub use publishers::publishers;
use readiness::Readiness;
use reads::Reads;
pub use reissue::Reissued;
pub use restore::{IssuingCa, PublishedFile, PublishedMistakes, RestoreError, after_restore};
pub use ruled::{Unapproved, What};
pub use show_keys::KeyShown;
pub use show_status::StatusShown;
pub use snapshot::Snapshot;
pub use take_roots::TakeRootsError;

pub use crate::{
    hsm::{Health, TokenView},
    signing::BankReferences,
    store::SignedPlace,
};

use self::refusals::Refusals;

use crate::{
    clock::{Clock, Timestamp},
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        ceremony::Ceremony,
        device::DeviceId,
        key::{KeyRecord, Purpose, SigningKey},
        keyring::{Keyring, NoActiveKey},
        retention::Retention,
        scheme_roots::SchemeRoots,
    },
    error::{Error, Reason},
    hsm,
    limits::Limits,
    metrics::Metrics,
    policy::Policy,
    signing::{RecordedSigner, SigningError},
    store::{Refusal, Store},
};

/// One authenticated request.
#[derive(Clone, Debug)]
pub struct Context {
    /// For whom.
    pub institution: InstitutionId,
    /// By whom, and which request.
    pub origin: Origin,
    /// The documents by which the caller was authenticated, and by which the request is decided.
    pub snapshot: Arc<Snapshot>,
    /// No wait goes beyond it.
    pub deadline: Instant,
    /// By what it was let in.
    pub admitted_by: AdmittedBy,
}

impl Context {
    /// Whether a read saw the documents by which this request is decided.
    fn still(&self, generation: u64) -> Result<(), Error> {
        (self.snapshot.generation() == generation)
            .then_some(())
            .ok_or(Error::Stale)
    }

    fn policy(&self) -> Result<&Arc<Policy>, Error> {
        let policy = self.snapshot.policy(&self.institution);
        policy.ok_or_else(|| Error::not_approved(&self.institution, "policy"))
    }
}

/// What the use cases are set up with: machine matters, from the configuration.
#[derive(Debug)]
pub struct Setup {
    /// The SPIFFE trust domain of the deployment.
    pub scheme: String,
    /// Object identifiers of the scheme.
    pub oids: Oids,
    /// What certificates say about where CRLs and CA certificates are, without a slash at the end.
    pub public_base_url: String,
    /// The validity of device certificates, days.
    pub device_validity_days: u16,
    /// From a CRL's thisUpdate to its nextUpdate, hours.
    pub crl_validity_hours: u32,
    /// The longest time between two CRLs, hours.
    pub crl_refresh_hours: u32,
    /// For how long what is kept.
    pub retention: Retention,
    /// The roots in force at the start, and those that are published here.
    pub roots: SchemeRoots,
    /// The institutions with tokens here, each with the keys that the configuration names.
    pub institutions: BTreeMap<InstitutionId, Vec<Arc<KeyRecord>>>,
    /// The first change of each of them, from which whatever rules it is verified.
    pub ceremonies: BTreeMap<InstitutionId, Ceremony>,
}

impl Setup {
    /// By what keys are certified and documents judged, with the roots now in force.
    pub fn grounds<'a>(&'a self, roots: &'a SchemeRoots) -> Grounds<'a> {
        Grounds {
            oids: &self.oids,
            roots,
            keys: &self.institutions,
        }
    }
}

/// A refusal before anything was recorded.
struct Refused {
    operation: &'static str,
    object: Option<String>,
    device: Option<DeviceId>,
    reason: Reason,
}

/// What the use cases know of the tokens beside signatures, which go another way.
pub struct Tokens {
    /// Their keys and random numbers.
    pub keys: hsm::Keys,
    /// How they fare.
    pub watch: hsm::Watch,
}

/// The use cases, with what they act on.
pub struct Authority {
    setup: Setup,
    started_at: Timestamp,
    store: Arc<dyn Store>,
    signer: RecordedSigner,
    tokens: Tokens,
    limits: Arc<Limits>,
    lending: Option<Lending>,
    refusals: Refusals,
    clock: Clock,
    roots: watch::Sender<Arc<SchemeRoots>>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    reads: Reads,
    crl_due: Notify,
    /// What this process leads the scheduled work as.
    replica: Uuid,
    readiness: Readiness,
    pruning: Pruning,
    crls: CrlsInForce,
    missed: Missed,
    worn: Worn,
    metrics: Metrics,
}

impl Authority {
    /// Sets up the use cases with the documents now in force.
    pub async fn new(
        setup: Setup,
        store: Arc<dyn Store>,
        signer: RecordedSigner,
        tokens: Tokens,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let roots = Arc::new(setup.roots.clone());
        let read = Snapshot::read(store.as_ref(), &setup, &roots, None, clock.now());
        let snapshot = read.await?;
        snapshot.tell();
        let readiness = Readiness::held_until(store.held_until().await?);
        let limits = Arc::new(limits);
        let lending = Lending::start(&store, &limits, &metrics).await?;
        Ok(Self {
            setup,
            started_at: clock.now(),
            store,
            signer,
            tokens,
            limits,
            lending,
            refusals: Refusals::default(),
            clock,
            roots: watch::Sender::new(roots),
            snapshot: watch::Sender::new(Arc::new(snapshot)),
            reads: Reads::default(),
            crl_due: Notify::new(),
            replica: Uuid::new_v4(),
            readiness,
            pruning: Pruning::default(),
            crls: CrlsInForce::default(),
            missed: Missed::default(),
            worn: Worn::default(),
            metrics,
        })
    }

    /// The machine matters that it was set up with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The clock of the process.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Waits until a revocation makes a CRL due.
    pub async fn crl_due(&self) {
        self.crl_due.notified().await;
    }

    /// The key of a ring that signs what a key of this purpose signs, now.
    fn signing_key(
        &self,
        keyring: &Keyring,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<SigningKey, Error> {
        let keys = &self.tokens.keys;
        Ok(keyring.signing(purpose, now, |key| keys.fit(&key.institution, key.id))?)
    }

    /// Whether nothing was signed because another key signs by now. Then it is decided again.
    fn is_succeeded(&self, keyring: &Keyring, key: &SigningKey, why: &SigningError) -> bool {
        let refused = matches!(why, SigningError::Refused(Refusal::KeyNotActive));
        let next = self.signing_key(keyring, key.record().purpose, self.clock.now());
        refused && next.is_ok_and(|next| next.record().id != key.record().id)
    }

    /// Writes the event of a refusal.
    async fn audit_refusal(&self, ctx: &Context, refused: Refused) -> Result<(), Error> {
        let policy = ctx.snapshot.policy(&ctx.institution);
        let event = Event {
            origin: ctx.origin.clone(),
            institution: ctx.institution.clone(),
            operation: refused.operation,
            object: refused.object,
            device: refused.device,
            policy: policy.map(|policy| policy.sha256()),
            key: None,
            result: Resulted::Refused,
            reason: Some(refused.reason.name().to_owned()),
        };
        Ok(self.signer.audit(event).await?)
    }
}

impl From<SigningError> for Error {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Conflict => Self::Conflict(Reason::OrderConflict),
            SigningError::OverLimit(limit) => Self::Precondition(limit.into()),
            SigningError::Refused(refusal) => refusal.into(),
            SigningError::Store(error) => error.into(),
            SigningError::Hsm(error) => error.into(),
            SigningError::TokenFailed { cause, .. } => (*cause).into(),
            SigningError::FaultySignature(_) => Self::Unavailable {
                reason: Reason::FaultySignature,
                cause: error.to_string(),
            },
        }
    }
}

impl From<NoActiveKey> for Error {
    fn from(error: NoActiveKey) -> Self {
        let reason = match error {
            NoActiveKey::Here(_) => Reason::KeyNotActive,
            NoActiveKey::RevokedCa(..) => Reason::CaRevoked,
        };
        Self::Unavailable {
            reason,
            cause: error.to_string(),
        }
    }
}
