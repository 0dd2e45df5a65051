//! A change as the service, or a file, shows it: taken apart strictly, nothing of it verified yet.

use semops_objects::change::{
    Approval, Attachment, AttachmentKind, ChangeFile, ChangeId, Decision, DocumentKind, Moment,
    Operation, PersonId, Proposal,
};
use semops_proto::v1::{self, ChangeState};

use super::Untrue;

/// A change, shown.
#[derive(Clone, Debug)]
pub struct Told {
    /// What was proposed; its digest is its name.
    pub proposal: Proposal,
    /// Who is said to have decided what.
    pub approvals: Vec<Approval>,
    /// Where it is said to stand.
    pub state: ChangeState,
    /// When it is said to have been proposed.
    pub proposed_at: u64,
    /// When it is said to have ended.
    pub ended_at: u64,
}

impl Told {
    /// Takes the service's message apart.
    ///
    /// # Errors
    /// It is not spelled as a proposal, or an approval, is.
    pub fn of(change: &v1::Change) -> Result<Self, Untrue> {
        let proposal = Proposal::parse(&change.proposal).map_err(|error| {
            Untrue::new(format!("what is shown as a proposal is none: {error}"))
        })?;
        let approvals = change.approvals.iter().map(|text| Approval::parse(text));
        let approvals = approvals.collect::<Result<_, _>>().map_err(|error| {
            let id = proposal.id();
            Untrue::new(format!(
                "change {id}: what is shown as an approval is none: {error}"
            ))
        })?;
        let seconds = |told: i64| u64::try_from(told).unwrap_or_default();
        Ok(Self {
            proposal,
            approvals,
            state: change.state(),
            proposed_at: seconds(change.proposed_at),
            ended_at: seconds(change.ended_at),
        })
    }

    /// As of when it is judged, if that is `now`.
    #[must_use]
    pub const fn moment(&self, now: u64) -> Moment {
        Moment {
            taken_at: self.proposed_at,
            now,
        }
    }

    /// A change file's: executed, as far as a file can tell, when the last of its approvals was made; a recovery at the end of
    /// its time, for how long it waited stands in no file.
    #[must_use]
    pub fn of_file(file: &ChangeFile) -> Self {
        let last = match file.proposal.operation() {
            Operation::RecoverCustodians { .. } => file.proposal.exp().checked_sub(1),
            _ => file.approvals.iter().map(Approval::iat).max(),
        };
        Self {
            proposal: file.proposal.clone(),
            approvals: file.approvals.clone(),
            state: ChangeState::Executed,
            proposed_at: file.proposal.iat(),
            ended_at: last.unwrap_or_default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> ChangeId {
        self.proposal.id()
    }

    /// The persons who are said to have decided so.
    pub fn decided(&self, decision: Decision) -> impl Iterator<Item = &PersonId> {
        let decided = move |approval: &&Approval| approval.decision() == decision;
        self.approvals.iter().filter(decided).map(Approval::person)
    }

    /// Whether a register of custodians comes with it, by which later changes are judged.
    #[must_use]
    pub fn brings_register(&self) -> bool {
        let register = AttachmentKind::Document(DocumentKind::Custodians);
        self.proposal.operation().attachments().contains(&register)
    }
}

/// The register among what came with a change.
#[must_use]
pub fn register(attachments: &[Attachment]) -> Option<&[u8]> {
    let register = AttachmentKind::Document(DocumentKind::Custodians);
    let found = attachments.iter().find(|one| one.kind == register);
    found.map(|one| one.content.as_bytes())
}
