//! Owns the bringing of a change file by a local operator: the ceremony with which a history begins, or a change with all its
//! approvals. The operator adds no authority: it is judged like any other.

use std::collections::BTreeMap;

use semops_objects::{
    change::{
        ChangeFile, ChangeId, ChangeRefusal, DocumentName, Judgement, Moment, Operation, Standing,
    },
    institution::InstitutionId,
};

use crate::{
    authority::{
        change::{ChangeError, Registry, contents, execution::execution, recorded, seconds},
        gather_keys::{Grounds, gather},
        history::{BadHistory, History},
    },
    clock::{Clock, Timestamp},
    domain::{actor::Origin, ceremony::Ceremony, change::ChangeState},
    store::{ChangeEnding, Histories, NewChange, Proposed, Store, StoreError},
};

/// How often a change is judged again because another was executed meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// What changes are judged from: of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The SPIFFE trust domain of the deployment.
    pub scheme: &'a str,
    /// The first change of each institution.
    pub ceremonies: &'a BTreeMap<InstitutionId, Ceremony>,
    /// By what keys are certified.
    pub grounds: Grounds<'a>,
}

/// A change that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtIn {
    /// Of which institution.
    pub institution: InstitutionId,
    /// Its place in the institution's history.
    pub sequence: u64,
    /// What it does.
    pub operation: &'static str,
    /// The documents that it brought into force.
    pub documents: Vec<DocumentName>,
    /// Whether it had been executed before.
    pub unchanged: bool,
}

/// Why a change file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BringError {
    /// The configuration names no such institution.
    #[error("the configuration has no institution {0}")]
    NotServed(InstitutionId),
    /// The ceremony is not the one that the configuration names.
    #[error("it is not the ceremony of {0} that the configuration names")]
    OtherCeremony(InstitutionId),
    /// What the record holds was not approved.
    #[error("what the record holds of {institution} is not what its custodians approved: {why}")]
    NotApproved {
        /// Whose.
        institution: InstitutionId,
        /// Which row, and why.
        why: BadHistory,
    },
    /// Others must approve it.
    #[error("{approved} of the {needed} persons that it needs have approved it")]
    Undecided {
        /// How many have.
        approved: usize,
        /// How many must.
        needed: u8,
    },
    /// Its delay runs.
    #[error(
        "it is a recovery: it is recorded, and the service executes it at {0} (Unix seconds) unless custodians call it off"
    )]
    Waits(u64),
    /// So many reject it that it cannot be approved any more.
    #[error("so many reject it that it cannot be approved any more")]
    Rejected,
    /// It is refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<StoreError> for BringError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

impl From<ChangeRefusal> for BringError {
    fn from(refusal: ChangeRefusal) -> Self {
        Self::Change(refusal.into())
    }
}

/// Takes a change file: executes its change, or finds it executed.
///
/// # Errors
/// [`BringError`]; then nothing was executed.
pub async fn bring_change(
    store: &dyn Store,
    rules: Rules<'_>,
    file: &[u8],
    origin: Origin,
    clock: Clock,
) -> Result<BroughtIn, BringError> {
    let file = ChangeFile::parse(file).map_err(ChangeRefusal::from)?;
    let institution = file.proposal.institution();
    let ceremony = rules.ceremonies.get(institution);
    let ceremony = ceremony.ok_or_else(|| BringError::NotServed(institution.clone()))?;
    let bringing = Bringing {
        store,
        rules,
        ceremony,
        file: &file,
        origin,
        clock,
    };
    for _ in 0..MOST_ATTEMPTS {
        match bringing.attempt().await {
            Err(BringError::Change(ChangeError::Stale)) => {}
            done => return done,
        }
    }
    Err(ChangeError::Stale.into())
}

struct Bringing<'a> {
    store: &'a dyn Store,
    rules: Rules<'a>,
    ceremony: &'a Ceremony,
    file: &'a ChangeFile,
    origin: Origin,
    clock: Clock,
}

impl Bringing<'_> {
    async fn attempt(&self) -> Result<BroughtIn, BringError> {
        let histories = self.store.histories().await?;
        let begins = matches!(self.file.proposal.operation(), Operation::Ceremony { .. });
        let unchanged = if begins {
            self.begin(&histories).await?
        } else {
            self.go_on(&histories).await?
        };
        let proposal = &self.file.proposal;
        Ok(BroughtIn {
            institution: proposal.institution().clone(),
            sequence: proposal.sequence(),
            operation: proposal.operation().name(),
            documents: contents::named(proposal.operation()),
            unchanged,
        })
    }

    /// Begins the institution's history with its ceremony. Answers whether it had begun so before.
    async fn begin(&self, histories: &Histories) -> Result<bool, BringError> {
        let (file, now) = (self.file, self.clock.now());
        let proposal = &file.proposal;
        let institution = proposal.institution();
        if proposal.id() != self.ceremony.id() {
            return Err(BringError::OtherCeremony(institution.clone()));
        }
        let mut changes = histories.changes.iter();
        if changes.any(|change| change.institution == *institution) {
            return self.verified(histories).map(|_| true);
        }
        contents::check(proposal, &file.attachments, self.rules.grounds)?;
        let custodians = self.ceremony.custodians()?;
        let at = seconds(now);
        let after = Standing::begin(self.rules.scheme, proposal, &file.approvals, custodians, at)?;
        let execution = execution(proposal.operation(), None, &after, at);
        let change = NewChange {
            institution: institution.clone(),
            id: proposal.id(),
            sequence: proposal.sequence(),
            bytes: proposal.bytes().to_vec(),
            expires_at: super::propose::expiry(proposal.exp()),
            enclosed: contents::stored(&file.attachments)?,
            decisions: file.approvals.iter().map(recorded).collect(),
            ending: Some(ChangeEnding::Executed(execution)),
            generation: histories.generation,
        };
        match self.store.propose(change, self.origin.clone(), now).await? {
            Proposed::Recorded => Ok(false),
            Proposed::Known => Ok(true),
            Proposed::TooMany => Err(ChangeError::TooMany.into()),
            Proposed::Stale => Err(ChangeError::Stale.into()),
        }
    }

    /// Executes a later change. Answers whether it had been executed before.
    async fn go_on(&self, histories: &Histories) -> Result<bool, BringError> {
        let history = self.verified(histories)?;
        let (file, id) = (self.file, self.file.proposal.id());
        if history.ids().any(|executed| executed == id) {
            return Ok(true);
        }
        let (standing, now) = (history.standing(), self.clock.now());
        let (keyring, _) = gather(self.rules.grounds, standing, &histories.certificates);
        let registry = Registry {
            store: self.store,
            grounds: self.rules.grounds,
            institution: file.proposal.institution(),
            standing,
            keyring: &keyring,
            generation: histories.generation,
        };
        let view = self.store.change(registry.institution, id).await?;
        let taken = view.change.as_ref().map(|change| change.proposed_at);
        let moment = Moment {
            taken_at: seconds(taken.unwrap_or(now)),
            now: seconds(now),
        };
        match standing.judge(&file.proposal, &file.approvals, moment)? {
            Judgement::Approved(_) if self.recovers() => Err(BringError::Waits(moment.now)),
            Judgement::Approved(_) if taken.is_some() => self.decide(&registry, id).await,
            Judgement::Approved(_) => self.propose(&registry, now).await,
            Judgement::Waits { until } => {
                if taken.is_none() {
                    self.propose(&registry, now).await?;
                }
                Err(BringError::Waits(until))
            }
            Judgement::Pending {
                approved, needed, ..
            } => {
                let approved = approved.len();
                Err(BringError::Undecided { approved, needed })
            }
            Judgement::Rejected => Err(BringError::Rejected),
        }
    }

    /// Whether the service alone executes it, after its delay.
    fn recovers(&self) -> bool {
        let operation = self.file.proposal.operation();
        matches!(operation, Operation::RecoverCustodians { .. })
    }

    /// Records it, with what the file has of decisions.
    async fn propose(&self, registry: &Registry<'_>, now: Timestamp) -> Result<bool, BringError> {
        let proposed = registry.propose(self.file, self.origin.clone(), now);
        Ok(proposed.await.map(|()| false)?)
    }

    /// Has what is pending decided by what the file has of decisions.
    async fn decide(&self, registry: &Registry<'_>, id: ChangeId) -> Result<bool, BringError> {
        for approval in &self.file.approvals {
            let decided = registry.decide(id, approval, &self.origin, || self.clock.now());
            match decided.await {
                Err(ChangeError::Ended(ChangeState::Executed)) => break,
                decided => decided?,
            }
        }
        Ok(false)
    }

    fn verified(&self, histories: &Histories) -> Result<History, BringError> {
        let institution = self.file.proposal.institution();
        let recorded = histories.of(institution);
        let verified = History::verify(self.rules.scheme, self.ceremony, recorded, None);
        verified.map_err(|why| BringError::NotApproved {
            institution: institution.clone(),
            why,
        })
    }
}
