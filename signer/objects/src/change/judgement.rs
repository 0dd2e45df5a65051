//! Owns the counting of decisions: what they make of a proposal.

use std::collections::BTreeSet;

use semops_pki::algorithm::PublicKey;

use super::approval::{Approval, Decision};
use super::custodians::{CustodianState, Custodians, Recovery};
use super::person::PersonId;
use super::proposal::{Base, Proposal};
use super::{CLOCK_SKEW, ChangeRefusal};

/// As of when a proposal is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When the service took the proposal, in Unix seconds: its own `iat`, and that of an approval, can be dated back.
    pub taken_at: u64,
    /// Now, or when it was executed, in Unix seconds.
    pub now: u64,
}

impl Moment {
    /// Of a proposal that is taken at this very time.
    pub const fn of_taking(now: u64) -> Self {
        Self { taken_at: now, now }
    }
}

/// What decisions make of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Others must decide yet.
    Pending {
        /// Who approves, by id.
        approved: Vec<PersonId>,
        /// Who rejects, by id.
        rejected: Vec<PersonId>,
        /// How many must approve in all.
        needed: u8,
    },
    /// The recovery key approves; its delay runs.
    Waits {
        /// When it ends, in Unix seconds.
        until: u64,
    },
    /// It is to be executed.
    Approved(ApprovedChange),
    /// So many reject it that it cannot be approved any more.
    Rejected,
}

/// A proposal that so many approve as must. Judging is the only way to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedChange {
    proposal: Box<Proposal>,
    by: Vec<PersonId>,
    at: u64,
}

impl ApprovedChange {
    /// What is approved.
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// By whom, by id; by `recovery` alone if it was the recovery key.
    pub fn by(&self) -> &[PersonId] {
        &self.by
    }

    /// When it was judged: the time of its execution, in Unix seconds.
    pub fn at(&self) -> u64 {
        self.at
    }
}

/// The proposal is made on `base`: in that scheme, of whom it rules, after all that was executed.
pub(super) fn check_base(base: &Base, proposal: &Proposal) -> Result<(), ChangeRefusal> {
    if proposal.scheme() != base.scheme {
        return Err(ChangeRefusal::OtherScheme(proposal.scheme().to_owned()));
    }
    if *proposal.institution() != base.institution {
        let other = proposal.institution().clone();
        return Err(ChangeRefusal::OtherInstitution(other));
    }
    if proposal.base() != base {
        let next = base.sequence;
        return Err(ChangeRefusal::BaseMoved { next });
    }
    Ok(())
}

/// The proposal's own time.
pub(super) fn check_time(proposal: &Proposal, now: u64) -> Result<(), ChangeRefusal> {
    let (iat, exp) = (proposal.iat(), proposal.exp());
    if iat > now.saturating_add(CLOCK_SKEW) {
        return Err(ChangeRefusal::NotYetValid { iat });
    }
    if exp <= now {
        return Err(ChangeRefusal::Expired { exp });
    }
    Ok(())
}

/// Decisions of distinct active persons of one register about one proposal, each checked.
pub(super) struct Count {
    approved: BTreeSet<PersonId>,
    rejected: BTreeSet<PersonId>,
    active: usize,
}

impl Count {
    pub(super) fn new(
        register: &Custodians,
        proposal: &Proposal,
        decisions: &[Approval],
        now: u64,
    ) -> Result<Self, ChangeRefusal> {
        let mut count = Self {
            approved: BTreeSet::new(),
            rejected: BTreeSet::new(),
            active: register.active().count(),
        };
        for decision in decisions {
            let key = key_of(register, decision)?;
            check(decision, key, proposal, now)?;
            count.add(decision)?;
        }
        Ok(count)
    }

    fn add(&mut self, decision: &Approval) -> Result<(), ChangeRefusal> {
        let person = decision.person();
        let (same, other) = match decision.decision() {
            Decision::Approve => (&mut self.approved, &self.rejected),
            Decision::Reject => (&mut self.rejected, &self.approved),
        };
        if other.contains(person) || !same.insert(person.clone()) {
            return Err(ChangeRefusal::AlreadyDecided(person.clone()));
        }
        Ok(())
    }

    /// Who of the register is active and does not approve; the first of them.
    pub(super) fn missing<'a>(&self, register: &'a Custodians) -> Option<&'a PersonId> {
        let mut active = register.active().map(super::Custodian::person);
        active.find(|person| !self.approved.contains(person))
    }

    /// What this makes of the proposal if `needed` persons must approve it.
    pub(super) fn judge(self, proposal: &Proposal, needed: u8, now: u64) -> Judgement {
        if self.approved.len() >= usize::from(needed) {
            return Judgement::Approved(ApprovedChange {
                proposal: Box::new(proposal.clone()),
                by: self.approved.into_iter().collect(),
                at: now,
            });
        }
        if self.active.saturating_sub(self.rejected.len()) < usize::from(needed) {
            return Judgement::Rejected;
        }
        Judgement::Pending {
            approved: self.approved.into_iter().collect(),
            rejected: self.rejected.into_iter().collect(),
            needed,
        }
    }
}

/// The key that must have signed: that of an active person, who is the one named.
fn key_of<'a>(
    register: &'a Custodians,
    decision: &Approval,
) -> Result<&'a PublicKey, ChangeRefusal> {
    let named = decision.person();
    if named.is_recovery() {
        return Err(ChangeRefusal::RecoveryAlone);
    }
    let (custodian, key) = register
        .holder(decision.kid())
        .ok_or(ChangeRefusal::NotACustodian(decision.kid()))?;
    if custodian.person() != named {
        return Err(ChangeRefusal::OtherPerson {
            holder: custodian.person().clone(),
            named: named.clone(),
        });
    }
    match custodian.state() {
        CustodianState::Active => Ok(key),
        CustodianState::Suspended => Err(ChangeRefusal::Suspended(named.clone())),
    }
}

/// The decision is about this proposal, made in its time, and signed with this key.
fn check(
    decision: &Approval,
    key: &PublicKey,
    proposal: &Proposal,
    now: u64,
) -> Result<(), ChangeRefusal> {
    let (person, iat) = (decision.person(), decision.iat());
    if decision.institution() != proposal.institution() {
        let other = decision.institution().clone();
        return Err(ChangeRefusal::OtherInstitution(other));
    }
    if decision.proposal() != proposal.id() {
        return Err(ChangeRefusal::OtherProposal(person.clone()));
    }
    let earliest = proposal.iat().saturating_sub(CLOCK_SKEW);
    let ahead = iat > now.saturating_add(CLOCK_SKEW);
    if !(earliest..proposal.exp()).contains(&iat) || ahead {
        let person = person.clone();
        return Err(ChangeRefusal::ApprovalTime { person, iat });
    }
    match decision.verify(key) {
        Ok(_) => Ok(()),
        Err(_) => Err(ChangeRefusal::BadSignature(person.clone())),
    }
}

/// What the recovery key's decision makes of a recovery. When it was signed is its holder's word: whoever records it counts
/// the delay from then on as well, so that nobody shortens it with an earlier `iat`.
pub(super) fn judge_recovery(
    recovery: &Recovery,
    proposal: &Proposal,
    decisions: &[Approval],
    Moment { taken_at, now }: Moment,
) -> Result<Judgement, ChangeRefusal> {
    let decision = match decisions {
        [] => {
            return Ok(Judgement::Pending {
                approved: Vec::new(),
                rejected: Vec::new(),
                needed: 1,
            });
        }
        [decision] => decision,
        [_, second, ..] => {
            return Err(ChangeRefusal::AlreadyDecided(second.person().clone()));
        }
    };
    let key = recovery.approval_key();
    if !decision.person().is_recovery() {
        return Err(ChangeRefusal::RecoveryAlone);
    }
    if decision.kid() != crate::key::KeyId::of(key) {
        return Err(ChangeRefusal::NotACustodian(decision.kid()));
    }
    check(decision, key, proposal, now)?;
    if decision.decision() == Decision::Reject {
        return Ok(Judgement::Rejected);
    }
    let begins = decision.iat().max(taken_at);
    let until = begins.saturating_add(recovery.delay());
    if until >= proposal.exp() {
        return Err(ChangeRefusal::RecoveryTooLate { until });
    }
    if now < until {
        return Ok(Judgement::Waits { until });
    }
    Ok(Judgement::Approved(ApprovedChange {
        proposal: Box::new(proposal.clone()),
        by: vec![decision.person().clone()],
        at: now,
    }))
}
