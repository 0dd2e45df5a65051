//! `change`: what custodians propose, look at, approve and reject, two persons at least to each change. What is shown is
//! computed here, from the proposal's bytes and the verified history.

mod approve;
mod export;
mod list;
pub(super) mod propose;
mod show;
mod view;

use std::time::{SystemTime, UNIX_EPOCH};

pub(super) use propose::{WAITS, span};

use clap::Subcommand;
use semops_objects::{
    change::{
        Approval, BadChangeId, ChangeId, CustodianState, Custodians, Decision, PersonId, Proposal,
        RECOVERY, Recovery,
    },
    key::KeyId,
};
use semops_proto::client::Client;

use crate::{
    custody::{
        approver::Approver, history::History, review::Review, service::BaseArgs, told::Told,
    },
    failure::Failure,
    output::Report,
    profile::Profile,
    progress::Progress,
};

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Propose a change, with your own approval
    Propose(propose::Args),
    /// Show a change: what it would do, who approved it, what is missing
    Show(show::Args),
    /// Approve a change, after it was shown to you
    Approve(approve::Args),
    /// Reject a change, after it was shown to you
    Reject(approve::Args),
    /// List the changes: those that wait, and the verified history
    List(list::Args),
    /// Save a change with its approvals and documents as a change file
    Export(export::Args),
}

/// From where a change is looked at.
pub(super) struct Desk<'a> {
    /// As whom.
    pub(super) profile: &'a Profile,
    /// Where.
    pub(super) client: &'a Client,
    /// What is told meanwhile.
    pub(super) progress: &'a Progress,
    /// This machine's clock.
    pub(super) clock: fn() -> SystemTime,
}

impl Desk<'_> {
    /// Unix seconds.
    pub(super) fn now(&self) -> u64 {
        let since = (self.clock)().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }

    /// How `told`, or what became of it meanwhile, stands by the history as it is now.
    async fn review(&self, base: &BaseArgs, told: Told) -> Result<(History, Review), Failure> {
        let history = base.history(self.profile, self.client).await?;
        let review = Review::of(told, &history, self.now())?;
        Ok((history, review))
    }
}

/// Does it.
///
/// # Errors
/// [`Failure`].
pub async fn run(
    args: &Args,
    client: &Client,
    profile: &Profile,
    progress: &Progress,
    clock: fn() -> SystemTime,
) -> Result<Report, Failure> {
    let desk = Desk {
        profile,
        client,
        progress,
        clock,
    };
    match &args.command {
        Command::Propose(args) => propose::run(args, &desk).await,
        Command::Show(args) => show::run(args, &desk).await,
        Command::Approve(args) => approve::run(args, Decision::Approve, &desk).await,
        Command::Reject(args) => approve::run(args, Decision::Reject, &desk).await,
        Command::List(args) => list::run(args, &desk).await,
        Command::Export(args) => export::run(args, &desk).await,
    }
}

/// Where the custodians of an institution read who they are.
const REGISTER: &str = "semopsctl custodians show";

/// Whose approval key it is, by the register in force, which a command shows; the recovery key is nobody's.
pub(super) fn person(
    approver: &Approver,
    register: &Custodians,
    shown_by: &str,
) -> Result<PersonId, Failure> {
    let kid = KeyId::of(approver.public_key());
    let recovery = register.recovery().map(Recovery::approval_key);
    if recovery == Some(approver.public_key()) {
        return RECOVERY.parse().map_err(Failure::bad_answer);
    }
    let (owner, _) = register.holder(kid).ok_or_else(|| {
        Failure::usage(
            format!("no custodian has the approval key {kid}"),
            &format!("use the key that stands in the register in force ({shown_by}), or have yours put there"),
        )
    })?;
    match owner.state() {
        CustodianState::Active => Ok(owner.person().clone()),
        CustodianState::Suspended => Err(Failure::usage(
            format!("{} is suspended in the register in force", owner.person()),
            &format!("another custodian must do this; the register says who is active: {shown_by}"),
        )),
    }
}

/// The approval, signed.
pub(super) fn decide(
    approver: &Approver,
    person: &PersonId,
    proposal: &Proposal,
    decision: Decision,
    now: u64,
) -> Result<String, Failure> {
    approver.sign(&Approval::signing_input(
        KeyId::of(approver.public_key()),
        person,
        proposal.institution(),
        proposal.id(),
        decision,
        now,
    ))
}

/// A change's name on the command line.
fn id(text: &str) -> Result<ChangeId, String> {
    text.parse().map_err(|error: BadChangeId| error.to_string())
}
