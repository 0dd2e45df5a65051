//! A change in words: what it would do, by which documents, who decided, what is missing until when.

use semops_objects::{
    change::{
        Attachment, Decision, DocumentKind, DocumentName, Operation, PersonId, Publication,
        Standing,
    },
    key::KeyId,
};
use semops_proto::client::Client;
use serde_json::{Value, json};

use crate::{
    custody::{
        Untrue,
        history::History,
        review::{Outcome, Review},
        service,
    },
    failure::Failure,
    output::{
        Report,
        difference::{Text, unified},
        utc,
    },
};

/// The members that every change has for programs.
pub(super) const MEMBERS: &str = "\"change_id\", \"sequence\", \"state\": \"PENDING\" | \"EXECUTED\" | \"REJECTED\" | \"SUPERSEDED\" | \
    \"EXPIRED\", \"operation\" (as in the proposal), \"approved\" and \"rejected\": [persons], \"missing\" (approvals), \
    \"proposed_at\", \"expires_at\", \"ended_at\" or null, \"diff\" (unified, or null), \"certificate\" (of a new key, \
    in words, or null)";

/// A change with what it changes, verified.
pub(super) struct View {
    pub(super) review: Review,
    /// Lines that differ from the document before.
    pub(super) difference: Option<String>,
    /// The certificate that comes with it, in words.
    pub(super) certificate: Option<String>,
}

impl View {
    /// With what came with it: a change that can still be decided is shown whole or not at all.
    pub(super) async fn of(
        review: Review,
        attachments: &[Attachment],
        history: &History,
        client: &Client,
    ) -> Result<Self, Failure> {
        let proposal = &review.told.proposal;
        if review.is_open() {
            proposal
                .check_attachments(attachments)
                .map_err(|refusal| Untrue::new(format!("change {}: {refusal}", proposal.id())))?;
        }
        let (mut difference, mut certificate) = (None, None);
        if let [attachment] = attachments {
            let operation = proposal.operation();
            match (operation.publication(), operation.document()) {
                (_, Some(new)) => {
                    let text = &attachment.content;
                    difference = Some(against_former(&new, text, &review, history, client).await?);
                }
                (Some(key), None) => certificate = Some(certified(&key, attachment)?),
                (None, None) => {}
            }
        }
        Ok(Self {
            review,
            difference,
            certificate,
        })
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let mut json = summary_json(&self.review);
        if let Some(members) = json.as_object_mut() {
            members.insert("diff".to_owned(), json!(self.difference));
            members.insert("certificate".to_owned(), json!(self.certificate));
        }
        json
    }

    /// For people.
    pub(super) fn rows(&self, report: Report) -> Report {
        let told = &self.review.told;
        let base = self.review.base.as_ref();
        let report = report
            .row("change", told.id().to_string())
            .row(
                "operation",
                words(told.proposal.operation(), base, told.proposal.iat()),
            )
            .row_if("certificate", self.certificate.as_ref())
            .row("place", place(&self.review))
            .row("state", state(&self.review))
            .words("approved", &names(&self.review, Decision::Approve));
        let rejected = names(&self.review, Decision::Reject);
        let report = if rejected.is_empty() {
            report
        } else {
            report.words("rejected", &rejected)
        };
        let report = match self.review.outcome {
            Outcome::Pending { missing } => report.row("missing", approvals(missing)),
            _ => report,
        };
        match &self.difference {
            Some(lines) => report.text(lines.clone()),
            None => report,
        }
    }
}

/// The new key's certificate in words: it must be that key's.
fn certified(key: &Publication, attachment: &Attachment) -> Result<String, Untrue> {
    let certificate = key
        .certificate_in(attachment)
        .map_err(|refusal| Untrue::new(refusal.to_string()))?;
    Ok(format!(
        "O={}, CN={}, until {}",
        certificate.subject_organization().unwrap_or_default(),
        certificate.subject_common_name().unwrap_or_default(),
        utc(certificate.not_after())
    ))
}

/// What `new` changes of the document that stood when it was proposed.
async fn against_former(
    new: &DocumentName,
    content: &str,
    review: &Review,
    history: &History,
    client: &Client,
) -> Result<String, Failure> {
    let base = review.base.as_ref().unwrap_or(history.standing());
    let former = base.document(new.kind);
    let old = service::document(former, client).await?;
    Ok(unified(
        Text {
            name: &format!("{} version {}", former.kind.name(), former.version),
            content: &old,
        },
        Text {
            name: &format!("{} version {}, as proposed", new.kind.name(), new.version),
            content,
        },
    ))
}

/// The members of a change without its difference.
pub(super) fn summary_json(review: &Review) -> Value {
    let proposal = &review.told.proposal;
    // Its bytes have been parsed strictly: they are JSON with this member.
    let operation = serde_json::from_slice::<Value>(proposal.bytes())
        .ok()
        .and_then(|json| json.get("operation").cloned());
    let (missing, ended_at) = match review.outcome {
        Outcome::Pending { missing } => (missing, None),
        Outcome::Waits { .. } => (0, None),
        _ => (0, Some(review.told.ended_at)),
    };
    json!({
        "change_id": review.told.id().to_string(),
        "sequence": proposal.sequence(),
        "state": review.outcome.name(),
        "operation": operation,
        "approved": names(review, Decision::Approve),
        "rejected": names(review, Decision::Reject),
        "missing": missing,
        "proposed_at": review.told.proposed_at,
        "expires_at": proposal.exp(),
        "ended_at": ended_at,
    })
}

/// The persons who decided so.
pub(super) fn names(review: &Review, decision: Decision) -> Vec<String> {
    let persons = review.persons(decision);
    persons.into_iter().map(PersonId::to_string).collect()
}

/// What it does, and to what as it stood by `base` at that time.
fn words(operation: &Operation, base: Option<&Standing>, at: u64) -> String {
    match operation {
        Operation::Ceremony { documents, keys } => {
            format!(
                "ceremony: {} documents, {} keys",
                documents.len(),
                keys.len()
            )
        }
        Operation::Document(name) => {
            let before = base.map(|base| base.document(name.kind).version);
            let before = before.map_or(String::new(), |version| format!(" after {version}"));
            format!("{}: version {}{before}", name.kind.name(), name.version)
        }
        Operation::Key { operation, key } => {
            format!("{}: {}", operation.name(), key_words(*key, base, at))
        }
        Operation::RotateKey(rotation) => format!(
            "rotate-key: from {} to {}, which signs from {}; the old one until {}",
            key_words(rotation.from, base, at),
            rotation.to,
            moment(rotation.activate_at),
            moment(rotation.retire_at)
        ),
        Operation::AddKey(addition) => format!(
            "add-key: {} ({}), which signs from {} beside those that do",
            addition.key,
            addition.purpose.name(),
            moment(addition.activate_at)
        ),
        Operation::CallOffRotation { to } => format!("call-off-rotation: to {to}"),
        Operation::RecoverCustodians { version, .. } => {
            format!("recover-custodians: version {version}, by the recovery key")
        }
        Operation::Scheme(operation) => operation.name().to_owned(),
    }
}

fn key_words(key: KeyId, base: Option<&Standing>, at: u64) -> String {
    match base.and_then(|base| base.key(key)) {
        Some(life) => format!(
            "{key} ({}, {})",
            life.purpose().name(),
            life.state(at).name()
        ),
        None => key.to_string(),
    }
}

/// A word or two, for tables.
pub(super) fn short(operation: &Operation) -> String {
    match operation {
        Operation::Document(name) => format!("{} {}", name.kind.name(), name.version),
        other => other.name().to_owned(),
    }
}

fn place(review: &Review) -> String {
    let proposal = &review.told.proposal;
    match review.base.as_ref() {
        Some(base) => format!(
            "{} of {}, after {}",
            proposal.sequence(),
            proposal.institution(),
            base.last()
        ),
        None => format!("{} of {}", proposal.sequence(), proposal.institution()),
    }
}

fn state(review: &Review) -> String {
    let ends = moment(review.told.proposal.exp());
    let ended = moment(review.told.ended_at);
    match review.outcome {
        Outcome::Pending { .. } => format!("PENDING until {ends}"),
        Outcome::Waits { until } => {
            format!("PENDING: the recovery is executed at {}", moment(until))
        }
        Outcome::Executed { .. } => format!("EXECUTED {ended}"),
        Outcome::Rejected => format!("REJECTED {ended}"),
        Outcome::Superseded => "SUPERSEDED: another change was executed on its base".to_owned(),
        Outcome::Expired => format!("EXPIRED {ends}"),
    }
}

/// Unix seconds in words.
pub(super) fn moment(seconds: u64) -> String {
    utc(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn approvals(missing: u8) -> String {
    match missing {
        1 => "1 approval, of another custodian".to_owned(),
        _ => format!("{missing} approvals, of {missing} other custodians"),
    }
}

/// The command that shows what such a change put in force.
pub(super) fn look(operation: &Operation) -> &'static str {
    match operation {
        Operation::RecoverCustodians { .. } => "semopsctl custodians show",
        Operation::Document(name) => match name.kind {
            DocumentKind::Policy => "semopsctl policy show",
            DocumentKind::Trust => "semopsctl trust show",
            DocumentKind::Callers => "semopsctl callers show",
            DocumentKind::Custodians => "semopsctl custodians show",
        },
        Operation::Key { .. }
        | Operation::RotateKey(_)
        | Operation::AddKey(_)
        | Operation::CallOffRotation { .. } => "semopsctl keys",
        Operation::Ceremony { .. } => "semopsctl change list",
        Operation::Scheme(_) => "semopsctl scheme verify",
    }
}
