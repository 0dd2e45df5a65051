//! Owns the setting up of the service under test: institutions with keys in memory, and the use cases over a file.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, atomic::AtomicI64},
};

use semops_objects::institution::InstitutionId;
use semops_pki::{
    issuer::{Issuer, Subject},
    local_key::LocalKey,
    signed::assemble,
};

use super::DAY;
use crate::authority::*;
use crate::{
    domain::{
        actor::Actor,
        key::{KeyId, KeyRecord, Purpose},
        retention::Retention,
        scheme_roots::SchemeRoots,
    },
    hsm::LocalToken,
    ids::RequestId,
    metrics::Metrics,
    specimen::{
        self, Certified, NOW, POLICY, WIDE,
        board::{Board, SCHEME},
    },
    store::{KeyRegistration, group::Group, sqlite::SqliteStore},
};

/// The three keys of an institution, and the first CRL of each CA.
pub(in crate::authority) struct InstitutionKeysOf {
    pub(in crate::authority) device_ca: Certified,
    pub(in crate::authority) signing_ca: Certified,
    pub(in crate::authority) authorization: Certified,
    /// Its custodians, with their ceremony.
    pub(in crate::authority) board: Board,
}

impl InstitutionKeysOf {
    pub(in crate::authority) fn new(institution: &str) -> Self {
        let ca = |common_name| {
            Certified::root().issue(institution, Subject::InstitutionCa { common_name }, 300)
        };
        let signing_ca = ca("signing-ca");
        let authorization = signing_ca.issue(
            institution,
            Subject::Authorization {
                common_name: "authorization",
            },
            200,
        );
        let device_ca = ca("device-ca");
        let keys = [
            (&device_ca, Purpose::DeviceCa),
            (&signing_ca, Purpose::SigningCa),
            (&authorization, Purpose::Authorization),
        ];
        let keys = keys.map(|(key, purpose)| (KeyId::of(key.key.public_key()), purpose));
        let policy = format!("{POLICY}{WIDE}").replace("\"alfa\"", &format!("{institution:?}"));
        let board = Board::new(&institution.parse().unwrap(), policy, keys.into());
        Self {
            device_ca,
            signing_ca,
            authorization,
            board,
        }
    }

    /// Begins the institution's history with its ceremony.
    pub(in crate::authority) async fn begin(&self, authority: &Authority) {
        let rules = Rules {
            scheme: SCHEME,
            ceremonies: &authority.setup.ceremonies,
            grounds: authority.setup.grounds(&authority.setup.roots),
        };
        let file = self.board.ceremony.to_json();
        let origin = Origin {
            actor: Actor::Operator(0),
            request: RequestId::new(),
        };
        let (store, clock) = (authority.store.as_ref(), authority.clock);
        bring_change(store, rules, file.as_bytes(), origin, clock)
            .await
            .unwrap();
    }

    /// The keys, each with what the token has of it.
    pub(in crate::authority) fn held(
        &self,
        id: &InstitutionId,
    ) -> [(Arc<KeyRecord>, Arc<LocalKey>); 3] {
        [
            (ca(&self.device_ca, id, Purpose::DeviceCa), &self.device_ca),
            (
                ca(&self.signing_ca, id, Purpose::SigningCa),
                &self.signing_ca,
            ),
            (
                self.authorization.record(id, Purpose::Authorization),
                &self.authorization,
            ),
        ]
        .map(|(record, certified)| (record, Arc::clone(&certified.key)))
    }
}

fn ca(ca: &Certified, id: &InstitutionId, purpose: Purpose) -> Arc<KeyRecord> {
    Arc::new(KeyRecord {
        first_crl: Some(first_crl(ca)),
        ..KeyRecord::clone(&ca.record(id, purpose))
    })
}

fn first_crl(ca: &Certified) -> Vec<u8> {
    let issuer = Issuer::new(ca.certificate.clone()).unwrap();
    let tbs = issuer
        .crl(1, NOW.seconds(), NOW.seconds() + DAY, &[])
        .unwrap();
    assemble(tbs.bytes(), &ca.key.sign(tbs.bytes()).unwrap())
}

pub(in crate::authority) async fn authority(
    file: &Path,
    hands: &'static AtomicI64,
    keys: &BTreeMap<InstitutionId, InstitutionKeysOf>,
    token: &Arc<LocalToken>,
) -> Arc<Authority> {
    let clock = Clock::hands(hands);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(file, NonZeroUsize::MIN).unwrap());
    let institutions: BTreeMap<_, _> = keys
        .iter()
        .map(|(id, keys)| {
            let records = keys.held(id).map(|(record, _)| record);
            (id.clone(), records.to_vec())
        })
        .collect();
    let records = institutions.values().flatten();
    let registrations = records.map(|r| KeyRegistration {
        id: r.id,
        institution: r.institution.clone(),
        purpose: r.purpose,
    });
    store
        .register_keys(registrations.collect(), clock.now())
        .await
        .unwrap();
    let ceremonies = keys.iter();
    let (device, signing) = (Certified::root(), Certified::root());
    let setup = Setup {
        scheme: SCHEME.into(),
        oids: specimen::oids(),
        public_base_url: "http://127.0.0.1:8080".into(),
        device_validity_days: 60,
        crl_validity_hours: 168,
        crl_refresh_hours: 24,
        retention: Retention::default(),
        roots: SchemeRoots::configured(specimen::roots(&device, &signing)),
        institutions,
        ceremonies: ceremonies
            .map(|(id, keys)| (id.clone(), keys.board.pinned()))
            .collect(),
    };
    let (group, _) = Group::start(Arc::clone(&store), clock, Metrics::none());
    let (signer, keys, watch) = hsm::local(token);
    let tokens = Tokens { keys, watch };
    let signer = RecordedSigner::new(group, signer, clock, Metrics::none());
    let limits = Limits::start();
    Arc::new(
        Authority::new(setup, store, signer, tokens, limits, clock, Metrics::none())
            .await
            .unwrap(),
    )
}
