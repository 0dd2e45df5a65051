//! The service for two institutions over a real record, with their custodians at hand.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicI64},
    time::{Duration, Instant},
};

use semops_objects::change::{ChangeFile, Decision, DocumentKind, KeyOperation, Operation};

use interleavings::scheme::{InstitutionKeysOf, authority};

use crate::authority::{AdmittedBy, change::*, interleavings};
use crate::{
    domain::{
        actor::{Actor, Origin},
        change::StoredChange,
        key::{KeyId, Purpose},
    },
    hsm::LocalToken,
    ids::RequestId,
    specimen::{Certified, NOW, POLICY, WIDE, board::Board},
    store::sqlite,
};

/// The service for alfa and beta, each begun with its ceremony.
pub(super) struct World {
    directory: tempfile::TempDir,
    pub(super) hands: &'static AtomicI64,
    keys: BTreeMap<InstitutionId, InstitutionKeysOf>,
    token: Arc<LocalToken>,
    pub(super) authority: Arc<Authority>,
}

impl World {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hands: &'static AtomicI64 = Box::leak(Box::new(AtomicI64::new(NOW.micros())));
        let keys: BTreeMap<InstitutionId, _> = ["alfa", "beta"]
            .map(|id| (id.parse().unwrap(), InstitutionKeysOf::new(id)))
            .into();
        let held = keys.iter().flat_map(|(id, keys)| keys.held(id));
        let token = Arc::new(LocalToken::new(held.map(|(record, key)| (record.id, key))));
        let file = directory.path().join("signer.db");
        sqlite::migrate(&file).unwrap();
        let authority = authority(&file, hands, &keys, &token).await;
        for keys in keys.values() {
            keys.begin(&authority).await;
        }
        authority.refresh().await.unwrap();
        Self {
            directory,
            hands,
            keys,
            token,
            authority,
        }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.directory.path().join("signer.db")
    }

    /// Another process on the same record.
    pub(super) async fn restarted(&self) -> Arc<Authority> {
        authority(&self.file(), self.hands, &self.keys, &self.token).await
    }

    pub(super) fn token(&self) -> &LocalToken {
        &self.token
    }

    pub(super) fn board(&self) -> &Board {
        &self.keys[&alfa()].board
    }

    pub(super) fn ctx(&self) -> Context {
        context(&self.authority)
    }

    /// A policy of this version, approved by these persons.
    pub(super) fn policy(&self, version: u64, persons: &[usize]) -> ChangeFile {
        let text = format!("{POLICY}{WIDE}");
        let text = text.replace("version = 1", &format!("version = {version}"));
        let base = self.authority.snapshot().standing(&alfa()).unwrap().base();
        let board = self.board();
        board.document(base, DocumentKind::Policy, &text, persons)
    }

    pub(super) fn key(&self, operation: KeyOperation, persons: &[usize]) -> ChangeFile {
        let key = self.authorization();
        let base = self.authority.snapshot().standing(&alfa()).unwrap().base();
        let operation = Operation::Key { operation, key };
        self.board().change(base, operation, Vec::new(), persons)
    }

    /// The CA that certifies alfa's authorization keys.
    pub(super) fn signing_ca(&self) -> &Certified {
        &self.keys[&alfa()].signing_ca
    }

    /// The key that signs alfa's authorizations at `now`.
    pub(super) fn signing(&self, now: Timestamp) -> Result<KeyId, Error> {
        let snapshot = self.authority.snapshot();
        let keyring = snapshot.keyring(&alfa())?;
        let key = self
            .authority
            .signing_key(keyring, Purpose::Authorization, now)?;
        Ok(key.record().id)
    }

    pub(super) fn authorization(&self) -> KeyId {
        let held = self.keys[&alfa()].held(&alfa());
        let mut records = held.into_iter().map(|(record, _)| record);
        let found = records.find(|record| record.purpose == Purpose::Authorization);
        found.unwrap().id
    }

    pub(super) async fn propose(&self, file: &ChangeFile) -> Result<StoredChange, Error> {
        self.authority.refresh().await.unwrap();
        self.authority
            .propose_change(&self.ctx(), file.clone())
            .await
    }

    pub(super) async fn decide(
        &self,
        file: &ChangeFile,
        person: usize,
        decision: Decision,
    ) -> Result<StoredChange, Error> {
        self.authority.refresh().await.unwrap();
        let ask = Deciding {
            change: file.proposal.id(),
            approval: self.board().says(person, &file.proposal, decision),
        };
        self.authority.decide_change(&self.ctx(), ask).await
    }

    pub(super) async fn bring(&self, file: &ChangeFile) -> Result<BroughtIn, BringError> {
        let setup = self.authority.setup();
        let rules = Rules {
            scheme: &setup.scheme,
            ceremonies: &setup.ceremonies,
            grounds: setup.grounds(&setup.roots),
        };
        let json = file.to_json();
        let (store, clock) = (self.authority.store.as_ref(), self.authority.clock);
        bring_change(store, rules, json.as_bytes(), operator(), clock).await
    }

    /// The version of alfa's policy that requests are decided by from now on.
    pub(super) async fn version(&self) -> Option<u64> {
        let snapshot = self.authority.current().await.unwrap();
        Some(snapshot.policy(&alfa())?.version())
    }

    /// Has somebody write the record beside the service, so that it looks.
    pub(super) fn write(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.file()).unwrap();
        for rule in triggers(&connection) {
            connection
                .execute_batch(&format!("DROP TRIGGER {rule}"))
                .unwrap();
        }
        let raised = format!("{sql}; UPDATE generation SET value = value + 1");
        connection.execute_batch(&raised).unwrap();
    }
}

/// The rules of the record's own that keep rows as they are; whoever owns the file can drop them.
fn triggers(connection: &rusqlite::Connection) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        .unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

pub(super) fn alfa() -> InstitutionId {
    "alfa".parse().unwrap()
}

fn operator() -> Origin {
    Origin {
        actor: Actor::Operator(0),
        request: RequestId::new(),
    }
}

fn context(authority: &Authority) -> Context {
    let caller = "spiffe://semops.example/alfa/custodian/desk";
    Context {
        institution: alfa(),
        origin: Origin {
            actor: Actor::Caller(caller.parse().unwrap()),
            request: RequestId::new(),
        },
        snapshot: authority.snapshot(),
        deadline: Instant::now() + Duration::from_secs(30),
        admitted_by: AdmittedBy::Quota,
    }
}

/// The reason of a refusal.
pub(super) fn reason<T: std::fmt::Debug>(answer: Result<T, Error>) -> Reason {
    match answer.unwrap_err() {
        Error::Refused { reason, .. } | Error::Unavailable { reason, .. } => reason,
        Error::NotFound(reason) => reason,
        other => panic!("{other}"),
    }
}
