//! Owns what rules one institution as a snapshot holds it: what its verified history approves, and of what the record holds
//! that which is so approved. Everything else is named, and not used.

use std::{collections::BTreeSet, fmt, sync::Arc};

use semops_objects::{
    change::{ChangeId, Standing},
    institution::InstitutionId,
    trust::TrustDocument,
};

use crate::{
    authority::{
        Setup,
        change::{Content, seconds},
        gather_keys::{Grounds, Unusable, gather},
        history::{BadHistory, History, Recorded, goes_on},
    },
    clock::Timestamp,
    domain::{
        document::{DocumentKind, DocumentVersion, StoredDocument},
        key::{KeyId, KeyState},
        keyring::Keyring,
        published_roots::Hierarchy,
        scheme_roots::SchemeRoots,
    },
    policy::{Policy, Register},
    store::{Histories, RegisteredKey},
};

/// What rules one institution.
#[derive(Debug, Default)]
pub(super) struct Ruled {
    history: Option<Arc<History>>,
    /// The longest history that was ever verified: a shorter one, or another, is not used.
    seen: Arc<[ChangeId]>,
    pub(super) policy: Option<Arc<Policy>>,
    pub(super) trust: Option<Arc<TrustDocument>>,
    pub(super) register: Option<Arc<Register>>,
    pub(super) versions: Vec<DocumentVersion>,
    /// The keys that stand; nothing if nothing does.
    pub(super) keyring: Option<Arc<Keyring>>,
    /// The keys of which the record says that they are destroyed.
    destroyed: BTreeSet<KeyId>,
    unapproved: Vec<Unapproved>,
}

/// A part of what rules an institution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All of it: its history.
    History,
    /// A document.
    Document(DocumentKind),
    /// Its keys' states.
    Keys,
}

impl What {
    /// Every part.
    pub const ALL: [Self; 6] = [
        Self::History,
        Self::Document(DocumentKind::Policy),
        Self::Document(DocumentKind::Trust),
        Self::Document(DocumentKind::Callers),
        Self::Document(DocumentKind::Custodians),
        Self::Keys,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Document(kind) => kind.name(),
            Self::Keys => "keys",
        }
    }
}

/// A part that the record holds otherwise than it was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unapproved {
    /// Which.
    pub what: What,
    /// Which row, and why.
    pub why: String,
}

impl fmt::Display for Unapproved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what.name(), self.why)
    }
}

impl Ruled {
    /// What rules `institution` by what the record holds; `held` is what ruled it before.
    pub(super) fn read(
        setup: &Setup,
        roots: &SchemeRoots,
        institution: &InstitutionId,
        histories: &Histories,
        held: Option<&Self>,
    ) -> Self {
        let grounds = setup.grounds(roots);
        let seen = held.map(|held| Arc::clone(&held.seen)).unwrap_or_default();
        match history(setup, institution, histories, held, &seen) {
            Ok(history) => {
                let mut ruled = Self {
                    seen: history.ids().collect(),
                    history: Some(Arc::new(history)),
                    ..Self::default()
                };
                ruled.take(grounds, institution, histories);
                ruled.take_keys(grounds, histories);
                ruled
            }
            Err(bad) => Self {
                seen,
                unapproved: vec![Unapproved {
                    what: What::History,
                    why: bad.to_string(),
                }],
                ..Self::default()
            },
        }
    }

    /// Takes the keys that stand, with certificates that were approved.
    fn take_keys(&mut self, grounds: Grounds<'_>, histories: &Histories) {
        let Some(standing) = self.standing() else {
            return;
        };
        let (keyring, unusable) = gather(grounds, standing, &histories.certificates);
        self.keyring = Some(Arc::new(keyring));
        let unapproved = |Unusable { key, why }| Unapproved {
            what: What::Keys,
            why: format!("key {key}: {why}"),
        };
        self.unapproved.extend(unusable.into_iter().map(unapproved));
    }

    /// Takes the documents that are those which stand.
    fn take(&mut self, grounds: Grounds<'_>, institution: &InstitutionId, histories: &Histories) {
        for kind in DocumentKind::ALL {
            let mut newest = histories.documents.iter();
            let stored = newest.find(|stored| {
                stored.document.kind == kind && stored.document.institution == *institution
            });
            if let Err(why) = self.take_one(grounds, kind, stored) {
                let what = What::Document(kind);
                self.unapproved.push(Unapproved { what, why });
            }
        }
    }

    fn take_one(
        &mut self,
        grounds: Grounds<'_>,
        kind: DocumentKind,
        stored: Option<&StoredDocument>,
    ) -> Result<(), String> {
        let Some(history) = &self.history else {
            return Ok(());
        };
        let approved = history.standing().document(kind);
        let stored = stored.ok_or("it is not in the record")?;
        let found = stored.version();
        if (found.version, found.sha256) != (approved.version, approved.sha256) {
            return Err(format!(
                "the newest is version {}, whose bytes nobody approved as such; version {} was approved",
                found.version, approved.version
            ));
        }
        let content = Content::parse(kind, &stored.document.bytes, grounds);
        match content.map_err(|e| e.to_string())? {
            Content::Policy(policy) => self.policy = Some(policy),
            Content::Trust(trust) => self.trust = Some(newest(trust, grounds.roots)),
            Content::Callers(register) => self.register = Some(register),
            // Those by whom changes are judged are in the history.
            Content::Custodians => {}
        }
        self.versions.push(found);
        Ok(())
    }

    /// Compares the keys' states in the record with those that were approved.
    pub(super) fn compare(&mut self, keys: &[RegisteredKey], now: Timestamp) {
        let destroyed = keys.iter().filter(|key| key.state == KeyState::Destroyed);
        self.destroyed = destroyed.map(|key| key.id).collect();
        let Some(history) = self.history.clone() else {
            return;
        };
        for key in keys {
            let life = history.standing().key(key.id);
            let approved = life.map(|life| life.state(seconds(now)));
            if key.may_sign(now) == (approved == Some(KeyState::Active)) {
                continue;
            }
            let approved = approved.map_or("unknown", KeyState::name);
            self.unapproved.push(Unapproved {
                what: What::Keys,
                why: format!(
                    "key {} stands in the record as {}, and is {approved} by what was approved",
                    key.id,
                    key.state.name()
                ),
            });
        }
    }

    /// A row of its keys cannot be read: none is used.
    pub(super) fn lose_keys(&mut self, why: String) {
        self.keyring = None;
        let what = What::Keys;
        self.unapproved.push(Unapproved { what, why });
    }

    /// What stands, if its history is verified.
    pub(super) fn standing(&self) -> Option<&Standing> {
        self.history.as_deref().map(History::standing)
    }

    /// Whether the record says that a key is destroyed.
    pub(super) fn is_destroyed(&self, key: KeyId) -> bool {
        self.destroyed.contains(&key)
    }

    /// The parts that the record holds otherwise than they were approved.
    pub(super) fn unapproved(&self) -> &[Unapproved] {
        &self.unapproved
    }
}

/// The document, judging by the CRL of its signing root that is published here, if that is newer than its own.
fn newest(trust: Arc<TrustDocument>, roots: &SchemeRoots) -> Arc<TrustDocument> {
    let roots = roots.published().of(Hierarchy::Signing).iter();
    roots.fold(trust, |trust, root| match trust.with_root_crl(root.crl()) {
        Some(newer) => Arc::new(newer),
        None => trust,
    })
}

fn history(
    setup: &Setup,
    institution: &InstitutionId,
    histories: &Histories,
    held: Option<&Ruled>,
    seen: &[ChangeId],
) -> Result<History, BadHistory> {
    let mut damaged = histories.damaged.iter();
    if let Some(found) = damaged.find(|row| row.institution.as_ref() == Some(institution)) {
        return Err(BadHistory::Damaged(found.row.clone()));
    }
    let recorded = histories.of(institution);
    goes_on(seen, &recorded.changes)?;
    let ceremony = setup
        .ceremonies
        .get(institution)
        .ok_or(BadHistory::Absent)?;
    let held = held.and_then(|held| held.history.as_deref());
    History::verify(&setup.scheme, ceremony, recorded, held)
}

impl Histories {
    /// What is recorded of one institution.
    pub(super) fn of(&self, institution: &InstitutionId) -> Recorded<'_> {
        let changes = self.changes.iter();
        let all = self.documents.iter().chain(&self.registers);
        Recorded {
            changes: changes
                .filter(|change| change.institution == *institution)
                .cloned()
                .collect(),
            registers: all
                .filter(|stored| {
                    let document = &stored.document;
                    document.kind == DocumentKind::Custodians
                        && document.institution == *institution
                })
                .collect(),
        }
    }
}
