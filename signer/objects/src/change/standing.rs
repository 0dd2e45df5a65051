//! Owns what stands: the documents in force, the custodians and the life of each key, as a fold over the executed changes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::approval::Approval;
use super::custodians::Custodians;
use super::document::{DocumentKind, DocumentName};
use super::judgement::{
    ApprovedChange, Count, Judgement, Moment, check_base, check_time, judge_recovery,
};
use super::key_life::{ImpossibleKeyChange, KeyLife};
use super::operation::{Addition, CeremonyKey, Operation, Rotation};
use super::proposal::{Base, ChangeId, Proposal};
use super::{ChangeRefusal, KEYS_OF_A_PURPOSE};
use crate::institution::InstitutionId;
use crate::key::{KeyId, KeyState, Purpose};

/// What is in force for an institution after the last change of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    scheme: String,
    institution: InstitutionId,
    sequence: u64,
    last: ChangeId,
    custodians: Custodians,
    documents: Documents,
    keys: BTreeMap<KeyId, KeyLife>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Documents {
    policy: DocumentName,
    trust: DocumentName,
    callers: DocumentName,
    custodians: DocumentName,
}

impl Documents {
    fn of(&self, kind: DocumentKind) -> &DocumentName {
        match kind {
            DocumentKind::Policy => &self.policy,
            DocumentKind::Trust => &self.trust,
            DocumentKind::Callers => &self.callers,
            DocumentKind::Custodians => &self.custodians,
        }
    }

    fn replace(&mut self, name: DocumentName) {
        match name.kind {
            DocumentKind::Policy => self.policy = name,
            DocumentKind::Trust => self.trust = name,
            DocumentKind::Callers => self.callers = name,
            DocumentKind::Custodians => self.custodians = name,
        }
    }
}

impl Standing {
    /// What stands after the ceremony, change 1, executed at `at`. `approvals` are those of everybody in it, and
    /// `custodians` the bytes of its own register.
    pub fn begin(
        scheme: &str,
        ceremony: &Proposal,
        approvals: &[Approval],
        custodians: &[u8],
        at: u64,
    ) -> Result<Self, ChangeRefusal> {
        let Operation::Ceremony { documents, keys } = ceremony.operation() else {
            return Err(ChangeRefusal::NoCeremony);
        };
        if ceremony.scheme() != scheme {
            return Err(ChangeRefusal::OtherScheme(ceremony.scheme().to_owned()));
        }
        check_time(ceremony, at)?;
        let [register, policy, trust, callers] = *documents;
        let custodians = register_named(&register, ceremony.institution(), custodians)?;
        let count = Count::new(&custodians, ceremony, approvals, at)?;
        if let Some(person) = count.missing(&custodians) {
            return Err(ChangeRefusal::CeremonyIncomplete(person.clone()));
        }
        let life = |key: &CeremonyKey| (key.key, KeyLife::of_ceremony(key.purpose));
        Ok(Self {
            scheme: scheme.to_owned(),
            institution: ceremony.institution().clone(),
            sequence: ceremony.sequence(),
            last: ceremony.id(),
            custodians,
            documents: Documents {
                policy,
                trust,
                callers,
                custodians: register,
            },
            keys: keys.iter().map(life).collect(),
        })
    }

    /// What these decisions make of a proposal at that moment. A decision that does not count is refused, and so is a proposal
    /// that could not be executed on what stands.
    pub fn judge(
        &self,
        proposal: &Proposal,
        decisions: &[Approval],
        moment: Moment,
    ) -> Result<Judgement, ChangeRefusal> {
        let now = moment.now;
        check_base(&self.base(), proposal)?;
        check_time(proposal, now)?;
        let operation = proposal.operation();
        if let Some(name) = operation.document() {
            self.check_version(&name)?;
        }
        self.keys_after(operation, now)?;
        if matches!(operation, Operation::RecoverCustodians { .. }) {
            let recovery = self.custodians.recovery();
            let recovery = recovery.ok_or(ChangeRefusal::NoRecovery)?;
            return judge_recovery(recovery, proposal, decisions, moment);
        }
        let count = Count::new(&self.custodians, proposal, decisions, now)?;
        let needed = operation.threshold(self.custodians.quorum());
        Ok(count.judge(proposal, needed, now))
    }

    /// What stands after an approved change: one that was judged on this base, and so on all that stands. `custodians`
    /// are the bytes of the new register, if the change is one.
    pub fn after(
        &self,
        change: &ApprovedChange,
        custodians: Option<&[u8]>,
    ) -> Result<Self, ChangeRefusal> {
        let proposal = change.proposal();
        check_base(&self.base(), proposal)?;
        let mut next = self.clone();
        next.keys = self.keys_after(proposal.operation(), change.at())?;
        if let Some(name) = proposal.operation().document() {
            next.documents.replace(name);
            if name.kind == DocumentKind::Custodians {
                let missing = super::AttachmentKind::Document(name.kind);
                let bytes = custodians.ok_or(ChangeRefusal::AttachmentMissing(missing))?;
                next.custodians = register_named(&name, &self.institution, bytes)?;
            }
        }
        next.sequence = proposal.sequence();
        next.last = proposal.id();
        Ok(next)
    }

    fn check_version(&self, name: &DocumentName) -> Result<(), ChangeRefusal> {
        let expected = self.document(name.kind).version.saturating_add(1);
        if name.version == expected {
            return Ok(());
        }
        Err(ChangeRefusal::DocumentVersion {
            kind: name.kind,
            found: name.version,
            expected,
        })
    }

    /// The lives of the keys after an operation at `now`.
    fn keys_after(
        &self,
        operation: &Operation,
        now: u64,
    ) -> Result<BTreeMap<KeyId, KeyLife>, ChangeRefusal> {
        let mut keys = self.keys.clone();
        match operation {
            Operation::Ceremony { .. } => return Err(ChangeRefusal::NoCeremony),
            Operation::Scheme(_) => {
                return Err(ChangeRefusal::OtherInstitution(InstitutionId::of_scheme()));
            }
            Operation::Document(_) | Operation::RecoverCustodians { .. } => {}
            Operation::Key { operation, key } => {
                let life = self.life(*key)?.after(*operation, now);
                keys.insert(*key, life.map_err(|why| refused(*key, why))?);
            }
            Operation::RotateKey(rotation) => self.rotate(&mut keys, rotation, operation, now)?,
            Operation::AddKey(addition) => self.add(&mut keys, addition, operation, now)?,
            Operation::CallOffRotation { to } => {
                let (life, replaced) = self
                    .life(*to)?
                    .called_off(now)
                    .map_err(|why| refused(*to, why))?;
                keys.insert(*to, life);
                if let Some(replaced) = replaced {
                    keys.insert(replaced, self.life(replaced)?.staying(*to));
                }
            }
        }
        Ok(keys)
    }

    fn rotate(
        &self,
        keys: &mut BTreeMap<KeyId, KeyLife>,
        rotation: &Rotation,
        operation: &Operation,
        now: u64,
    ) -> Result<(), ChangeRefusal> {
        let from = rotation.from;
        let old = self.life(from)?;
        let retiring = old.retiring(rotation, now);
        keys.insert(from, retiring.map_err(|why| refused(from, why))?);
        self.publish(keys, old.purpose(), operation, now)
    }

    fn add(
        &self,
        keys: &mut BTreeMap<KeyId, KeyLife>,
        addition: &Addition,
        operation: &Operation,
        now: u64,
    ) -> Result<(), ChangeRefusal> {
        let lives = self.keys.values();
        let beside = lives.filter(|life| life.purpose() == addition.purpose && life.counts(now));
        if beside.count() >= KEYS_OF_A_PURPOSE {
            let why = ImpossibleKeyChange::TooMany(addition.purpose);
            return Err(refused(addition.key, why));
        }
        self.publish(keys, addition.purpose, operation, now)
    }

    fn publish(
        &self,
        keys: &mut BTreeMap<KeyId, KeyLife>,
        purpose: Purpose,
        operation: &Operation,
        now: u64,
    ) -> Result<(), ChangeRefusal> {
        if let Some(publication) = operation.publication() {
            let key = publication.key;
            let before = self.keys.get(&key);
            let life = KeyLife::published(before, &publication, purpose, operation.name(), now);
            keys.insert(key, life.map_err(|why| refused(key, why))?);
        }
        Ok(())
    }

    fn life(&self, key: KeyId) -> Result<&KeyLife, ChangeRefusal> {
        self.keys.get(&key).ok_or(ChangeRefusal::KeyNotFound(key))
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whom it rules.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// The number of the last change.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The last change.
    pub fn last(&self) -> ChangeId {
        self.last
    }

    /// The register of custodians in force.
    pub fn custodians(&self) -> &Custodians {
        &self.custodians
    }

    /// The version of a document that is in force.
    pub fn document(&self, kind: DocumentKind) -> &DocumentName {
        self.documents.of(kind)
    }

    /// Every key that ever stood, with its life.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, &KeyLife)> {
        self.keys.iter().map(|(id, life)| (*id, life))
    }

    /// The life of a key.
    pub fn key(&self, id: KeyId) -> Option<&KeyLife> {
        self.keys.get(&id)
    }

    /// The keys that may sign for a purpose at `now`, the one activated last first: that one is to sign.
    pub fn active_at(&self, purpose: Purpose, now: u64) -> Vec<KeyId> {
        let of_purpose = self.keys().filter(|(_, life)| life.purpose() == purpose);
        let active = of_purpose.filter(|(_, life)| life.state(now) == KeyState::Active);
        let mut active: Vec<_> = active.collect();
        active.sort_by_key(|(id, life)| (Reverse(life.activates_at()), *id));
        active.into_iter().map(|(id, _)| id).collect()
    }

    /// What the next change is made on.
    pub fn base(&self) -> Base {
        Base {
            scheme: self.scheme.clone(),
            institution: self.institution.clone(),
            sequence: self.sequence.saturating_add(1),
            previous: Some(self.last),
        }
    }
}

fn refused(key: KeyId, why: ImpossibleKeyChange) -> ChangeRefusal {
    ChangeRefusal::Key { key, why }
}

/// The register with these bytes, if they are those that are named.
pub(super) fn register_named(
    name: &DocumentName,
    institution: &InstitutionId,
    bytes: &[u8],
) -> Result<Custodians, ChangeRefusal> {
    name.check(institution, bytes)?;
    Ok(Custodians::parse(bytes)?)
}
