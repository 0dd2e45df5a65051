//! A change of the scheme in words: what it would do, root by root, who decided, who has not.

use semops_objects::change::{
    AttachmentKind, ChangeFile, Decision, Judgement, NotInForce, Operation, PersonId, Roots,
    SchemeOperation, SchemeStanding,
};
use semops_pki::certificate::Certificate;
use serde_json::{Value, json};

use super::History;
use crate::{
    custody::Untrue,
    output::{
        Report,
        difference::{Text, unified},
        table::{Column, Table},
        text::{date, hexadecimal},
        utc,
    },
};

/// The members that every change of a scheme has for programs.
pub(super) const JSON: &str = "JSON: {\"change_id\", \"scheme\", \"sequence\", \"state\": \"PENDING\" | \"APPROVED\" | \"REJECTED\" | \"EXPIRED\", \
    \"operation\" (as in the proposal), \"approved\", \"rejected\" and \"undecided\": [persons], \"missing\" (approvals), \"expires_at\", \
    \"roots\": [{\"change\": \"added\" | \"removed\" | \"kept\", \"hierarchy\", \"subject\", \"not_after\", \"sha256\"}], \"diff\" (of the register, \
    unified, or null)}";

/// Where a change stands by its decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pending { missing: u8 },
    Approved,
    Rejected,
    Expired,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending { .. } => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// A root before and after.
struct RootChange {
    change: &'static str,
    hierarchy: &'static str,
    subject: String,
    not_after: i64,
    sha256: String,
}

/// A change with what it changes, judged here.
pub(super) struct View {
    file: ChangeFile,
    pub(super) state: State,
    undecided: Vec<String>,
    roots: Vec<RootChange>,
    difference: Option<String>,
    before: String,
}

impl View {
    /// Judges the change in a file by what stands before it.
    pub(super) fn of(file: &ChangeFile, history: &History, now: u64) -> Result<Self, Untrue> {
        let (standing, id) = (&history.standing, file.proposal.id());
        let untrue = |why: &dyn std::fmt::Display| Untrue::new(format!("change {id}: {why}"));
        let state = state(file, standing, now).map_err(|why| untrue(&why))?;
        let (roots, difference) = changed(file, history).map_err(|why| untrue(&why))?;
        let undecided = standing.undecided(&file.approvals);
        let last = standing.changes().last();
        Ok(Self {
            state,
            undecided: undecided.map(PersonId::to_string).collect(),
            roots,
            difference,
            before: last.map(ToString::to_string).unwrap_or_default(),
            file: file.clone(),
        })
    }

    fn persons(&self, decision: Decision) -> Vec<String> {
        let decided = self.file.approvals.iter();
        let decided = decided.filter(|one| one.decision() == decision);
        let mut persons: Vec<_> = decided.map(|one| one.person().to_string()).collect();
        persons.sort();
        persons
    }

    fn missing(&self) -> u8 {
        match self.state {
            State::Pending { missing } => missing,
            _ => 0,
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let proposal = &self.file.proposal;
        // Its bytes have been parsed strictly: they are JSON with this member.
        let operation = serde_json::from_slice::<Value>(proposal.bytes()).ok();
        let operation = operation.and_then(|json| json.get("operation").cloned());
        let roots = self.roots.iter().map(|root| {
            json!({
                "change": root.change,
                "hierarchy": root.hierarchy,
                "subject": root.subject,
                "not_after": root.not_after,
                "sha256": root.sha256,
            })
        });
        json!({
            "change_id": proposal.id().to_string(),
            "scheme": proposal.scheme(),
            "sequence": proposal.sequence(),
            "state": self.state.name(),
            "operation": operation,
            "approved": self.persons(Decision::Approve),
            "rejected": self.persons(Decision::Reject),
            "undecided": self.undecided,
            "missing": self.missing(),
            "expires_at": proposal.exp(),
            "roots": roots.collect::<Vec<_>>(),
            "diff": self.difference,
        })
    }

    /// For people.
    pub(super) fn report(&self) -> Report {
        let proposal = &self.file.proposal;
        let ends = utc(i64::try_from(proposal.exp()).unwrap_or(i64::MAX));
        let state = match self.state {
            State::Pending { .. } => format!("PENDING until {ends}"),
            State::Expired => format!("EXPIRED {ends}"),
            other => other.name().to_owned(),
        };
        let (sequence, scheme) = (proposal.sequence(), proposal.scheme());
        let place = format!("{sequence} of the scheme {scheme}, after {}", self.before);
        let report = Report::new(self.json())
            .row("change", proposal.id().to_string())
            .row("operation", words(proposal.operation()))
            .row("place", place)
            .row("state", state);
        let mut report = self.decided(report);
        if !self.roots.is_empty() {
            report = report.table(table(&self.roots));
        }
        match &self.difference {
            Some(lines) => report.text(lines.clone()),
            None => report,
        }
    }

    fn decided(&self, report: Report) -> Report {
        let mut report = report.words("approved", &self.persons(Decision::Approve));
        let rejected = self.persons(Decision::Reject);
        if !rejected.is_empty() {
            report = report.words("rejected", &rejected);
        }
        let State::Pending { missing } = self.state else {
            return report;
        };
        let others = self.undecided.join(", ");
        let plural = if missing == 1 { "" } else { "s" };
        report.row(
            "missing",
            format!("{missing} approval{plural}, of {others}"),
        )
    }
}

/// Where a change stands. What could not be in force once it is approved is found at once: nobody shall sign it.
fn state(file: &ChangeFile, standing: &SchemeStanding, now: u64) -> Result<State, NotInForce> {
    let proposal = &file.proposal;
    proposal.check_attachments(&file.attachments)?;
    // Of an expired one too it is told who decided.
    let moment = now.min(proposal.exp().saturating_sub(1));
    Ok(match standing.judge(proposal, &file.approvals, moment)? {
        Judgement::Approved(_) => {
            standing.after(file, now)?;
            State::Approved
        }
        Judgement::Pending { .. } if proposal.exp() <= now => State::Expired,
        Judgement::Pending {
            approved, needed, ..
        } => {
            let approved = u8::try_from(approved.len()).unwrap_or(u8::MAX);
            let missing = needed.saturating_sub(approved);
            State::Pending { missing }
        }
        Judgement::Waits { .. } | Judgement::Rejected => State::Rejected,
    })
}

fn words(operation: &Operation) -> String {
    match operation {
        Operation::Scheme(SchemeOperation::Roots(named) | SchemeOperation::Custodians(named)) => {
            format!("{}: version {}", operation.name(), named.version)
        }
        other => other.name().to_owned(),
    }
}

type Changed = (Vec<RootChange>, Option<String>);

/// Roots before and after, and how the register differs.
fn changed(file: &ChangeFile, history: &History) -> Result<Changed, Untrue> {
    let (mut roots, mut difference) = (Vec::new(), None);
    for attachment in &file.attachments {
        let text = &attachment.content;
        if attachment.kind == AttachmentKind::Roots {
            let next =
                Roots::parse(text.as_bytes()).map_err(|error| Untrue::new(error.to_string()))?;
            roots = root_changes(history.standing.roots(), &next);
        } else {
            let version = history.standing.custodians().version();
            difference = Some(unified(
                Text {
                    name: &format!("custodians version {version}"),
                    content: history.register(),
                },
                Text {
                    name: "custodians, as proposed",
                    content: text,
                },
            ));
        }
    }
    Ok((roots, difference))
}

fn root_changes(before: &Roots, after: &Roots) -> Vec<RootChange> {
    let mut changes = Vec::new();
    for (hierarchy, before, after) in [
        ("device", before.device(), after.device()),
        ("signing", before.signing(), after.signing()),
    ] {
        let of = |change| move |root: &Certificate| RootChange::of(change, hierarchy, root);
        let removed = before.iter().filter(|root| !after.contains(root));
        changes.extend(removed.map(of("removed")));
        for root in after {
            let change = if before.contains(root) {
                "kept"
            } else {
                "added"
            };
            changes.push(RootChange::of(change, hierarchy, root));
        }
    }
    changes
}

impl RootChange {
    fn of(change: &'static str, hierarchy: &'static str, root: &Certificate) -> Self {
        Self {
            change,
            hierarchy,
            subject: subject(root),
            not_after: root.not_after(),
            sha256: hexadecimal(&root.sha256()),
        }
    }
}

/// Whose root it is.
pub(super) fn subject(root: &Certificate) -> String {
    format!(
        "O={}, CN={}",
        root.subject_organization().unwrap_or_default(),
        root.subject_common_name().unwrap_or_default()
    )
}

fn table(roots: &[RootChange]) -> Table {
    let columns = [
        Column::whole("CHANGE"),
        Column::whole("HIERARCHY"),
        Column::whole("SUBJECT"),
        Column::whole("UNTIL"),
        Column::long("SHA256"),
    ];
    roots.iter().fold(Table::new(columns), |table, root| {
        table.row([
            root.change.to_owned(),
            root.hierarchy.to_owned(),
            root.subject.clone(),
            date(root.not_after),
            root.sha256.clone(),
        ])
    })
}
