//! Owns the verification of an institution's history: every change that was executed is judged again, at the time of its
//! execution and by the custodians of then, from the ceremony that the configuration pins.

use semops_objects::change::{Approval, ChangeId, Judgement, Moment, Proposal, Standing};

use crate::{
    authority::change::seconds,
    domain::{
        ceremony::Ceremony,
        change::{ChangeState, StoredChange},
        document::{DocumentKind, StoredDocument},
    },
};

/// A history that was verified, and what stands by it.
#[derive(Debug)]
pub(super) struct History {
    standing: Standing,
    changes: Vec<StoredChange>,
}

/// What the record holds of an institution's history.
pub(super) struct Recorded<'a> {
    /// The executed changes, in their sequence.
    pub(super) changes: Vec<StoredChange>,
    /// Every version of its register of custodians.
    pub(super) registers: Vec<&'a StoredDocument>,
}

/// Why a history is not what the custodians approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHistory {
    /// Nothing was ever approved in this record.
    #[error(
        "the record holds no ceremony; load the one that the configuration names with `signer change load FILE`"
    )]
    Absent,
    /// A row of it cannot be read.
    #[error("{0}")]
    Damaged(String),
    /// It begins otherwise.
    #[error("it begins with {found}, not with the ceremony {pinned} that the configuration names")]
    OtherCeremony {
        /// In the record.
        found: ChangeId,
        /// In the configuration.
        pinned: ChangeId,
    },
    /// What was verified before is not there any more.
    #[error("change {sequence} was {held}, and is not in the record any more")]
    GoneBack {
        /// Which.
        sequence: usize,
        /// What it was.
        held: ChangeId,
    },
    /// A change that was not approved so.
    #[error("change {sequence}, {id}: {why}")]
    Change {
        /// Its place.
        sequence: u64,
        /// Its name.
        id: ChangeId,
        /// What is wrong.
        why: String,
    },
}

impl History {
    /// Verifies what the record holds. What `held` has verified already is taken as it is, if it is the same.
    pub(super) fn verify(
        scheme: &str,
        ceremony: &Ceremony,
        recorded: Recorded<'_>,
        held: Option<&Self>,
    ) -> Result<Self, BadHistory> {
        let Recorded { changes, registers } = recorded;
        let verified = held.and_then(|held| {
            let rest = changes.strip_prefix(held.changes.as_slice())?;
            Some((held.standing.clone(), rest))
        });
        let (mut standing, rest) = match verified {
            Some(verified) => verified,
            None => begin(scheme, ceremony, &changes)?,
        };
        for change in rest {
            standing = next(&standing, change, &registers).map_err(|why| BadHistory::Change {
                sequence: change.sequence,
                id: change.id,
                why,
            })?;
        }
        Ok(Self { standing, changes })
    }

    /// What stands.
    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The names of its changes.
    pub(super) fn ids(&self) -> impl Iterator<Item = ChangeId> {
        self.changes.iter().map(|change| change.id)
    }
}

/// Whether changes begin with those that were seen before.
pub(super) fn goes_on(seen: &[ChangeId], changes: &[StoredChange]) -> Result<(), BadHistory> {
    let mut ids = changes.iter().map(|change| change.id);
    let lost = seen.iter().position(|held| ids.next() != Some(*held));
    match lost.and_then(|at| Some((at, seen.get(at)?))) {
        Some((at, held)) => Err(BadHistory::GoneBack {
            sequence: at.saturating_add(1),
            held: *held,
        }),
        None => Ok(()),
    }
}

fn begin<'a>(
    scheme: &str,
    ceremony: &Ceremony,
    changes: &'a [StoredChange],
) -> Result<(Standing, &'a [StoredChange]), BadHistory> {
    let (first, rest) = changes.split_first().ok_or(BadHistory::Absent)?;
    if first.id != ceremony.id() {
        return Err(BadHistory::OtherCeremony {
            found: first.id,
            pinned: ceremony.id(),
        });
    }
    let begun = read(first).and_then(|(proposal, approvals, at)| {
        let custodians = ceremony.custodians().map_err(|e| e.to_string())?;
        Standing::begin(scheme, &proposal, &approvals, custodians, at).map_err(|e| e.to_string())
    });
    let standing = begun.map_err(|why| BadHistory::Change {
        sequence: first.sequence,
        id: first.id,
        why,
    })?;
    Ok((standing, rest))
}

/// What stands after one change more.
fn next(
    standing: &Standing,
    change: &StoredChange,
    registers: &[&StoredDocument],
) -> Result<Standing, String> {
    let (proposal, approvals, at) = read(change)?;
    let moment = Moment {
        taken_at: seconds(change.proposed_at),
        now: at,
    };
    let judgement = standing.judge(&proposal, &approvals, moment);
    let approved = match judgement.map_err(|e| e.to_string())? {
        Judgement::Approved(approved) => approved,
        Judgement::Waits { .. } => {
            return Err(
                "it is a recovery, and was executed before its delay had passed".to_owned(),
            );
        }
        Judgement::Pending { .. } | Judgement::Rejected => {
            return Err("too few have approved it".to_owned());
        }
    };
    let version = proposal.operation().document();
    let version = version.filter(|name| name.kind == DocumentKind::Custodians);
    let register = version.and_then(|name| {
        let mut all = registers.iter().map(|stored| &stored.document);
        all.find(|document| document.version == name.version)
    });
    let register = register.map(|document| document.bytes.as_slice());
    standing
        .after(&approved, register)
        .map_err(|e| e.to_string())
}

/// A row as what it is made of, if its columns say what its bytes say.
fn read(change: &StoredChange) -> Result<(Proposal, Vec<Approval>, u64), String> {
    let proposal = Proposal::parse(&change.bytes).map_err(|e| e.to_string())?;
    if proposal.id() != change.id || proposal.sequence() != change.sequence {
        return Err("its bytes are those of another change".to_owned());
    }
    let mut approvals = Vec::with_capacity(change.decisions.len());
    for stored in &change.decisions {
        let approval = Approval::parse(&stored.jws).map_err(|e| e.to_string())?;
        if *approval.person() != stored.person || approval.decision() != stored.decision {
            return Err(format!(
                "the decision of {} is another's, or another one",
                stored.person
            ));
        }
        approvals.push(approval);
    }
    let at = change
        .ended_at
        .filter(|_| change.state == ChangeState::Executed);
    let at = at.ok_or_else(|| "it was not executed".to_owned())?;
    Ok((proposal, approvals, seconds(at)))
}
