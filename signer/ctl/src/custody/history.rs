//! An institution's executed changes, verified here one by one from its ceremony on. What stands is what they say.

use std::collections::BTreeMap;

use semops_objects::change::{ChangeFile, ChangeId, DocumentKind, Judgement, Proposal, Standing};

use super::{Untrue, told::Told};

/// The registers of custodians that changes brought along, by the change.
pub type Registers = BTreeMap<ChangeId, Vec<u8>>;

/// A verified history.
#[derive(Clone, Debug)]
pub struct History {
    ceremony: Executed,
    later: Vec<Executed>,
}

/// One change in it.
#[derive(Clone, Debug)]
pub struct Executed {
    /// What was shown of it, its approvals verified.
    pub told: Told,
    /// What stood after it.
    pub standing: Standing,
}

impl History {
    /// Verifies `told`, in the order of their sequence, against the ceremony file that the custodian holds.
    ///
    /// # Errors
    /// Something is shown that was not approved.
    pub fn verify(
        ceremony: &ChangeFile,
        told: Vec<Told>,
        registers: &Registers,
    ) -> Result<Self, Untrue> {
        let mut told = told.into_iter();
        let first = told.next().ok_or_else(|| {
            Untrue::new("it shows no ceremony, so that nothing was ever approved")
        })?;
        let mut history = Self {
            ceremony: begun(ceremony, first)?,
            later: Vec::new(),
        };
        for next in told {
            let executed = history.after(next, registers)?;
            history.later.push(executed);
        }
        Ok(history)
    }

    fn after(&self, told: Told, registers: &Registers) -> Result<Executed, Untrue> {
        let id = told.id();
        let untrue = |why: &dyn std::fmt::Display| {
            Untrue::new(format!("change {id}, which is shown as executed: {why}"))
        };
        let standing = self.standing();
        let judged = standing
            .judge(&told.proposal, &told.approvals, told.moment(told.ended_at))
            .map_err(|refusal| untrue(&refusal))?;
        let Judgement::Approved(change) = judged else {
            return Err(untrue(&"it was not approved by as many as it needs"));
        };
        let register = registers.get(&id).map(Vec::as_slice);
        let standing = standing
            .after(&change, register)
            .map_err(|refusal| untrue(&refusal))?;
        Ok(Executed { told, standing })
    }

    fn last(&self) -> &Executed {
        self.later.last().unwrap_or(&self.ceremony)
    }

    /// What stands now.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.last().standing
    }

    /// Every change, the ceremony first.
    pub fn executed(&self) -> impl DoubleEndedIterator<Item = &Executed> {
        std::iter::once(&self.ceremony).chain(&self.later)
    }

    /// The change of this name, if it was executed.
    #[must_use]
    pub fn find(&self, id: ChangeId) -> Option<&Executed> {
        self.executed().find(|executed| executed.told.id() == id)
    }

    /// The change with this place in the sequence.
    #[must_use]
    pub fn at(&self, sequence: u64) -> Option<&Executed> {
        self.executed()
            .find(|executed| executed.told.proposal.sequence() == sequence)
    }

    /// What stood when `proposal` was to follow: none if it follows nothing that was executed.
    #[must_use]
    pub fn base_of(&self, proposal: &Proposal) -> Option<&Standing> {
        let before = self.at(proposal.sequence().checked_sub(1)?)?;
        (proposal.previous() == Some(before.told.id())).then_some(&before.standing)
    }
}

/// The ceremony: what is shown must be the file's, byte for byte; its approvals are the file's.
fn begun(file: &ChangeFile, shown: Told) -> Result<Executed, Untrue> {
    let told = Told::of_file(file);
    if told.id() != shown.id() {
        return Err(Untrue::new(format!(
            "its history begins with {}, and not with your ceremony file, which is {}",
            shown.id(),
            told.id()
        )));
    }
    let register = file.document(DocumentKind::Custodians).unwrap_or_default();
    let standing = Standing::begin(
        told.proposal.scheme(),
        &told.proposal,
        &told.approvals,
        register,
        shown.ended_at,
    )
    .map_err(|refusal| Untrue::new(format!("the ceremony: {refusal}")))?;
    let told = Told {
        proposed_at: shown.proposed_at,
        ended_at: shown.ended_at,
        ..told
    };
    Ok(Executed { told, standing })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use semops_objects::{
        change::{Decision, KeyOperation, Operation},
        key::KeyState,
    };
    use semops_pki::local_key::LocalKey;

    use super::*;
    use crate::custody::specimen::{World, document, key_id, name};

    #[test]
    fn what_stands_is_what_was_approved() {
        let world = World::lived();
        let history = world.history();
        let standing = history.standing();
        assert_eq!(standing.sequence(), 4);
        assert_eq!(standing.document(DocumentKind::Policy).version, 2);
        assert_eq!(standing.custodians().version(), 2);
        let life = standing.key(key_id(1)).unwrap();
        assert_eq!(life.state(world.now()), KeyState::Suspended);
        let second = &world.told[1];
        assert_eq!(
            history.find(second.id()).unwrap().told.ended_at,
            second.ended_at
        );
        let base = history.base_of(&second.proposal).unwrap();
        assert_eq!(base.sequence(), 1);
        assert!(history.base_of(&world.told[0].proposal).is_none());
    }

    /// What a service that lies does to the history that it shows.
    type Lie = fn(&mut World);

    const LIES: &[(&str, Lie, &str)] = &[
        ("nothing", |world| world.told.clear(), "no ceremony"),
        (
            "another ceremony",
            |world| {
                *world = World {
                    ceremony: world.ceremony.clone(),
                    ..World::lived()
                }
            },
            "and not with your ceremony file",
        ),
        (
            "a change left out",
            |world| drop(world.told.remove(1)),
            "what it is made on has changed",
        ),
        (
            "two changes swapped",
            |world| world.told.swap(1, 2),
            "what it is made on has changed",
        ),
        (
            "an approval left out",
            |world| drop(world.told[1].approvals.pop()),
            "not approved by as many",
        ),
        (
            "an approval twice",
            |world| {
                let first = world.told[1].approvals[0].clone();
                world.told[1].approvals[1] = first;
            },
            "has decided already",
        ),
        (
            "an approval of another change",
            |world| world.told[1].approvals[0] = world.told[2].approvals[0].clone(),
            "is of another proposal",
        ),
        (
            "a rejection for an approval",
            |world| {
                let proposal = world.told[1].proposal.clone();
                world.told[1].approvals[0] = world.decision(&proposal, 0, Decision::Reject);
            },
            "not approved by as many",
        ),
        (
            "a key that the register of then did not have",
            |world| {
                let proposal = world.told[1].proposal.clone();
                world.told[1].approvals[1] = world.decision(&proposal, 2, Decision::Approve);
            },
            "no custodian's approval key",
        ),
        (
            "executed after its end",
            |world| world.told[1].ended_at = world.told[1].proposal.exp(),
            "it expired",
        ),
        (
            "executed before its approvals",
            |world| world.told[1].ended_at = world.told[1].proposal.iat() - 60,
            "lies ahead",
        ),
        (
            "another register",
            |world| {
                let id = world.told[2].id();
                let mut text = world.registers[&id].clone();
                text.push(b'\n');
                world.registers.insert(id, text);
            },
            "not the one whose SHA-256",
        ),
        (
            "no register",
            |world| world.registers.clear(),
            "named and not sent along",
        ),
        (
            "one more, by one person",
            |world| {
                let operation = Operation::Key {
                    operation: KeyOperation::Resume,
                    key: key_id(1),
                };
                let proposal = world.proposal(operation);
                world.executed(proposal, &[0]);
            },
            "not approved by as many",
        ),
        (
            "one more, by strangers",
            |world| {
                let next = document(DocumentKind::Trust, 2, "");
                let proposal = world.proposal(Operation::Document(name(&next)));
                world.keys = world
                    .keys
                    .iter()
                    .map(|_| LocalKey::generate().unwrap())
                    .collect();
                world.executed(proposal, &[0, 1]);
            },
            "no custodian's approval key",
        ),
    ];

    #[test]
    fn every_lie_about_the_history_is_noticed() {
        for (lie, tell, noticed) in LIES {
            let mut world = World::lived();
            tell(&mut world);
            let verified = History::verify(&world.ceremony, world.told.clone(), &world.registers);
            let said = verified.unwrap_err().to_string();
            assert!(said.contains(noticed), "{lie}: {said}");
        }
    }

    #[test]
    fn a_ceremony_file_is_judged_too() {
        let mut world = World::new();
        world.ceremony.approvals.pop();
        let verified = History::verify(&world.ceremony, world.told.clone(), &world.registers);
        let said = verified.unwrap_err().to_string();
        assert!(said.contains("chloe-diaz has not"), "{said}");
    }
}
