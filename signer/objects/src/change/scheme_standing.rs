//! Owns what stands in a scheme: who rules it and on which roots it stands, as a fold over its changes. They are kept in
//! files, which no service has recorded: each was executed when the last person decided about it, by that person's clock.

use super::approval::Approval;
use super::custodians::Custodians;
use super::document::{AttachmentKind, DocumentKind, DocumentName};
use super::file::ChangeFile;
use super::judgement::{ApprovedChange, Count, Judgement, check_base, check_time};
use super::operation::Operation;
use super::person::PersonId;
use super::proposal::{Base, ChangeId, Proposal};
use super::roots::{Roots, RootsError};
use super::scheme::SchemeOperation;
use super::standing::register_named;
use super::{CLOCK_SKEW, ChangeRefusal};
use crate::institution::InstitutionId;

/// What is in force in a scheme after the last change of its history.
#[derive(Clone, Debug)]
pub struct SchemeStanding {
    scheme: String,
    changes: Vec<ChangeId>,
    custodians: Custodians,
    roots: Roots,
}

/// Why the change in a file is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInForce {
    /// A rule of changes is against it.
    #[error(transparent)]
    Refused(#[from] ChangeRefusal),
    /// Others must approve it.
    #[error("{approved} of the {needed} persons that it needs have approved it")]
    Undecided {
        /// How many have.
        approved: usize,
        /// How many must.
        needed: u8,
    },
    /// So many reject it that it cannot be approved any more.
    #[error("so many reject it that it cannot be approved any more")]
    Rejected,
    /// It was decided later than now.
    #[error("its last decision lies ahead of the clock: {0}")]
    Ahead(u64),
}

/// Which change of a history is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("change {place}: {why}")]
pub struct SchemeHistoryError {
    /// Its place, from 1.
    pub place: u64,
    /// Why.
    pub why: NotInForce,
}

impl SchemeStanding {
    /// What stands at `now` by these files, the ceremony first.
    ///
    /// # Errors
    /// The first change that is not in force; without any, that there is no ceremony.
    pub fn of(scheme: &str, files: &[ChangeFile], now: u64) -> Result<Self, SchemeHistoryError> {
        let placed = |place: u64| move |why| SchemeHistoryError { place, why };
        let (ceremony, rest) = files
            .split_first()
            .ok_or(NotInForce::Refused(ChangeRefusal::NoCeremony))
            .map_err(placed(1))?;
        let mut standing = Self::begin(scheme, ceremony, now).map_err(placed(1))?;
        for (file, place) in rest.iter().zip(2..) {
            standing = standing.after(file, now).map_err(placed(place))?;
        }
        Ok(standing)
    }

    /// What stands after the ceremony.
    fn begin(scheme: &str, file: &ChangeFile, now: u64) -> Result<Self, NotInForce> {
        let proposal = &file.proposal;
        let Operation::Scheme(operation @ SchemeOperation::Ceremony { .. }) = proposal.operation()
        else {
            return Err(ChangeRefusal::NoCeremony.into());
        };
        if proposal.scheme() != scheme {
            let other = proposal.scheme().to_owned();
            return Err(ChangeRefusal::OtherScheme(other).into());
        }
        proposal.check_attachments(&file.attachments)?;
        let at = decided(file, now)?;
        check_time(proposal, at)?;
        let (custodians, roots) = (register(operation, file)?, roots(operation, file)?);
        let custodians = custodians.ok_or_else(missing_register)?;
        let count = Count::new(&custodians, proposal, &file.approvals, at)?;
        if let Some(person) = count.missing(&custodians) {
            return Err(ChangeRefusal::CeremonyIncomplete(person.clone()).into());
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            changes: vec![proposal.id()],
            custodians,
            roots: roots.ok_or(ChangeRefusal::AttachmentMissing(AttachmentKind::Roots))?,
        })
    }

    /// What stands after one change more.
    ///
    /// # Errors
    /// It is not in force at `now`.
    pub fn after(&self, file: &ChangeFile, now: u64) -> Result<Self, NotInForce> {
        let at = decided(file, now)?;
        let approved = match self.judge(&file.proposal, &file.approvals, at)? {
            Judgement::Approved(approved) => approved,
            Judgement::Pending {
                approved, needed, ..
            } => {
                let approved = approved.len();
                return Err(NotInForce::Undecided { approved, needed });
            }
            Judgement::Waits { .. } | Judgement::Rejected => return Err(NotInForce::Rejected),
        };
        Ok(self.with(&approved, file)?)
    }

    /// What these decisions make of a proposal at `now`.
    ///
    /// # Errors
    /// A decision does not count, or it could not be executed on what stands.
    pub fn judge(
        &self,
        proposal: &Proposal,
        decisions: &[Approval],
        now: u64,
    ) -> Result<Judgement, ChangeRefusal> {
        check_base(&self.base(), proposal)?;
        check_time(proposal, now)?;
        self.check_version(scheme_operation(proposal)?)?;
        let count = Count::new(&self.custodians, proposal, decisions, now)?;
        let needed = proposal.operation().threshold(self.custodians.quorum());
        Ok(count.judge(proposal, needed, now))
    }

    /// Each version follows the one in force.
    fn check_version(&self, operation: &SchemeOperation) -> Result<(), ChangeRefusal> {
        match operation {
            SchemeOperation::Ceremony { .. } => Err(ChangeRefusal::NoCeremony),
            SchemeOperation::Roots(named) => {
                let expected = self.roots.named().version.saturating_add(1);
                let found = named.version;
                if found == expected {
                    return Ok(());
                }
                Err(RootsError::Version { found, expected }.into())
            }
            SchemeOperation::Custodians(named) => {
                let expected = self.custodians.version().saturating_add(1);
                if named.version == expected {
                    return Ok(());
                }
                Err(ChangeRefusal::DocumentVersion {
                    kind: DocumentKind::Custodians,
                    found: named.version,
                    expected,
                })
            }
        }
    }

    fn with(&self, approved: &ApprovedChange, file: &ChangeFile) -> Result<Self, ChangeRefusal> {
        let proposal = approved.proposal();
        let operation = scheme_operation(proposal)?;
        proposal.check_attachments(&file.attachments)?;
        let mut next = self.clone();
        next.changes.push(proposal.id());
        if let Some(custodians) = register(operation, file)? {
            next.custodians = custodians;
        }
        if let Some(roots) = roots(operation, file)? {
            next.roots = roots;
        }
        Ok(next)
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The changes, the ceremony first.
    pub fn changes(&self) -> &[ChangeId] {
        &self.changes
    }

    /// The number of the last change.
    pub fn sequence(&self) -> u64 {
        u64::try_from(self.changes.len()).unwrap_or(u64::MAX)
    }

    /// Who rules the scheme.
    pub fn custodians(&self) -> &Custodians {
        &self.custodians
    }

    /// The roots in force.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// What the next change is made on.
    pub fn base(&self) -> Base {
        Base {
            scheme: self.scheme.clone(),
            institution: InstitutionId::of_scheme(),
            sequence: self.sequence().saturating_add(1),
            previous: self.changes.last().copied(),
        }
    }

    /// The persons of the register in force who have not decided about it yet and may.
    pub fn undecided<'a>(
        &'a self,
        decisions: &'a [Approval],
    ) -> impl Iterator<Item = &'a PersonId> {
        let decided = |person: &PersonId| decisions.iter().any(|one| one.person() == person);
        let active = self.custodians.active().map(super::Custodian::person);
        active.filter(move |person| !decided(person))
    }
}

/// When the last person decided: before that it was not in force.
fn decided(file: &ChangeFile, now: u64) -> Result<u64, NotInForce> {
    let last = file.approvals.iter().map(Approval::iat).max();
    let at = last.unwrap_or_else(|| file.proposal.iat());
    if at > now.saturating_add(CLOCK_SKEW) {
        return Err(NotInForce::Ahead(at));
    }
    Ok(at)
}

fn scheme_operation(proposal: &Proposal) -> Result<&SchemeOperation, ChangeRefusal> {
    match proposal.operation() {
        Operation::Scheme(operation) => Ok(operation),
        _ => Err(ChangeRefusal::OtherInstitution(
            proposal.institution().clone(),
        )),
    }
}

fn missing_register() -> ChangeRefusal {
    ChangeRefusal::AttachmentMissing(AttachmentKind::Document(DocumentKind::Custodians))
}

/// The register in the file, if the operation brings one. A scheme is not recovered by a key: who loses its custodians
/// begins with another ceremony.
fn register(
    operation: &SchemeOperation,
    file: &ChangeFile,
) -> Result<Option<Custodians>, ChangeRefusal> {
    let Some(name) = operation.custodians() else {
        return Ok(None);
    };
    let bytes = file.document(name.kind).ok_or_else(missing_register)?;
    let DocumentName { kind, .. } = name;
    let register = register_named(&name, &InstitutionId::of_scheme(), bytes)?;
    if register.recovery().is_some() {
        let why = "a scheme's register has no recovery key".to_owned();
        return Err(ChangeRefusal::DocumentForm { kind, why });
    }
    Ok(Some(register))
}

/// The roots in the file, if the operation brings some.
fn roots(operation: &SchemeOperation, file: &ChangeFile) -> Result<Option<Roots>, ChangeRefusal> {
    let Some(named) = operation.roots() else {
        return Ok(None);
    };
    let attached = file.attachment(AttachmentKind::Roots);
    let attached = attached.ok_or(ChangeRefusal::AttachmentMissing(AttachmentKind::Roots))?;
    let scheme = file.proposal.scheme();
    named.read(scheme, attached).map(Some)
}
