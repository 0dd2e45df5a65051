//! What rules an institution against what its custodians approved: the history of its changes is whole, every change in it
//! was approved by as many as must, and nothing else is in force.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};
use semops_objects::{
    change::{Approval, Decision, DocumentKind, Judgement, Moment, Proposal, Standing},
    key::{KeyId, KeyState},
};
use semops_pki::algorithm::sha256;

use super::{
    Findings, MICROS, Rule,
    destructions::check_ends,
    record::{Record, all},
};

/// A change with what was decided about it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    number: i64,
    pub(super) institution: String,
    pub(super) id: Vec<u8>,
    sequence: i64,
    pub(super) state: String,
    pub(super) proposed_at: i64,
    expires_at: i64,
    pub(super) ended_at: Option<i64>,
    bytes: Vec<u8>,
    pub(super) decisions: Vec<Decided>,
    /// How many enclosed documents stand with it.
    enclosed: i64,
}

/// A person's decision.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    person: String,
    pub(super) decision: String,
    jws: String,
}

/// A key as it stands in the record.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: Vec<u8>,
    pub(super) institution: String,
    purpose: String,
    pub(super) state: String,
    active_from: Option<i64>,
    active_until: Option<i64>,
    pub(super) destruction_begun_at: Option<i64>,
    pub(super) destroyed_at: Option<i64>,
}

impl Key {
    /// Whether a signature may be begun with it at `now`.
    fn may_sign(&self, now: i64) -> bool {
        let begun = self.active_from.is_none_or(|from| from <= now);
        self.state == "active" && begun && self.active_until.is_none_or(|until| now < until)
    }
}

pub(super) fn read_changes(c: &Connection) -> rusqlite::Result<Vec<Change>> {
    let mut decisions: BTreeMap<i64, Vec<Decided>> = BTreeMap::new();
    let decided = |r: &Row<'_>| {
        let decided = Decided {
            person: r.get(1)?,
            decision: r.get(2)?,
            jws: r.get(3)?,
        };
        Ok((r.get(0)?, decided))
    };
    for (change, one) in all(
        c,
        "SELECT change, person, decision, jws FROM approval",
        decided,
    )? {
        decisions.entry(change).or_default().push(one);
    }
    let change = |r: &Row<'_>| {
        let number = r.get(0)?;
        Ok(Change {
            number,
            institution: r.get(1)?,
            id: r.get(2)?,
            sequence: r.get(3)?,
            state: r.get(4)?,
            proposed_at: r.get(5)?,
            expires_at: r.get(6)?,
            ended_at: r.get(7)?,
            bytes: r.get(8)?,
            decisions: decisions.remove(&number).unwrap_or_default(),
            enclosed: r.get(9)?,
        })
    };
    let changes = "SELECT number, institution, id, sequence, state, proposed_at, expires_at, ended_at, bytes, \
                   (SELECT count(*) FROM change_document d WHERE d.change = c.number) FROM change c \
                   ORDER BY institution, sequence, number";
    let mut statement = c.prepare(changes)?;
    let rows = statement.query_map([], change)?;
    rows.collect()
}

pub(super) fn read_keys(c: &Connection) -> rusqlite::Result<Vec<Key>> {
    let keys = "SELECT id, institution, purpose, state, active_from, active_until, \
                destruction_begun_at, destroyed_at FROM key";
    all(c, keys, |r| {
        Ok(Key {
            id: r.get(0)?,
            institution: r.get(1)?,
            purpose: r.get(2)?,
            state: r.get(3)?,
            active_from: r.get(4)?,
            active_until: r.get(5)?,
            destruction_begun_at: r.get(6)?,
            destroyed_at: r.get(7)?,
        })
    })
}

pub(super) fn check(record: &Record, now: i64, findings: &mut Findings) {
    for change in &record.changes {
        check_form(change, findings);
    }
    let mut histories: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for document in &record.documents {
        histories.entry(&document.institution).or_default();
    }
    for change in &record.changes {
        let history = histories.entry(&change.institution).or_default();
        if change.state == "EXECUTED" {
            history.push(change);
        }
    }
    for (institution, history) in histories {
        match fold(record, &history) {
            Ok(standing) => {
                check_in_force(record, &standing, &history, now, findings);
                check_ends(record, &standing, findings);
            }
            Err(why) => findings.add(Rule::Approved, format!("history of {institution}: {why}")),
        }
    }
}

/// What a row says of its change is what its bytes say.
fn check_form(change: &Change, findings: &mut Findings) {
    let what = || format!("change {} of {}", change.number, change.institution);
    let said = Proposal::parse(&change.bytes).is_ok_and(|proposal| {
        let exp = i64::try_from(proposal.exp()).unwrap_or(i64::MAX);
        proposal.id().as_bytes().as_slice() == change.id
            && proposal.institution().as_str() == change.institution
            && u64::try_from(change.sequence) == Ok(proposal.sequence())
            && exp.saturating_mul(MICROS) == change.expires_at
    });
    findings.must(Rule::Approved, said, || {
        format!("{} is not what its bytes say", what())
    });
    let kept = change.state == "PENDING" || change.enclosed == 0;
    findings.must(Rule::Approved, kept, || {
        format!("{} has ended and what it enclosed is kept", what())
    });
    let in_time = change.state == "EXPIRED" || change.ended_at < Some(change.expires_at);
    findings.must(Rule::Approved, in_time, || {
        format!("{} ended as {} after its time", what(), change.state)
    });
    for decided in &change.decisions {
        let same = Approval::parse(&decided.jws).is_ok_and(|approval| {
            approval.person().as_str() == decided.person
                && approval.decision().name() == decided.decision
                && approval.proposal().as_bytes().as_slice() == change.id
        });
        findings.must(Rule::Approved, same, || {
            format!(
                "{} has a decision by {} that is another",
                what(),
                decided.person
            )
        });
    }
}

/// What stands after these changes, each judged at the moment when it was executed.
fn fold(record: &Record, history: &[&Change]) -> Result<Standing, String> {
    let mut standing: Option<Standing> = None;
    for (change, sequence) in history.iter().zip(1..) {
        if change.sequence != sequence {
            return Err(format!("its change {sequence} is missing"));
        }
        let next = step(record, standing.as_ref(), change);
        standing = Some(next.map_err(|why| format!("its change {sequence}: {why}"))?);
    }
    standing.ok_or_else(|| "there is none".to_owned())
}

fn step(record: &Record, standing: Option<&Standing>, change: &Change) -> Result<Standing, String> {
    let proposal = Proposal::parse(&change.bytes).map_err(|e| e.to_string())?;
    let parsed = change.decisions.iter().map(|one| Approval::parse(&one.jws));
    let approvals: Result<Vec<Approval>, _> = parsed.collect();
    let approvals = approvals.map_err(|e| e.to_string())?;
    let register = register_of(record, change, &proposal);
    let at = change.ended_at.unwrap_or_default() / MICROS;
    let at = u64::try_from(at).unwrap_or_default();
    let Some(standing) = standing else {
        let bytes = register.ok_or("its register is not in the record")?;
        let begun = Standing::begin(proposal.scheme(), &proposal, &approvals, bytes, at);
        return begun.map_err(|e| e.to_string());
    };
    let approving = approvals
        .iter()
        .filter(|one| one.decision() == Decision::Approve);
    if approving.count() == 0 {
        return Err("nobody approved it".to_owned());
    }
    let taken_at = u64::try_from(change.proposed_at / MICROS).unwrap_or_default();
    match standing.judge(&proposal, &approvals, Moment { taken_at, now: at }) {
        Ok(Judgement::Approved(approved)) => standing
            .after(&approved, register)
            .map_err(|e| e.to_string()),
        Ok(other) => Err(format!("was executed, and is {other:?}")),
        Err(why) => Err(why.to_string()),
    }
}

/// The bytes of the register of custodians that a change names.
fn register_of<'a>(record: &'a Record, change: &Change, proposal: &Proposal) -> Option<&'a [u8]> {
    use semops_objects::change::Operation;
    let name = match proposal.operation() {
        Operation::Ceremony { documents, .. } => {
            let mut all = documents.iter();
            all.find(|name| name.kind == DocumentKind::Custodians)
                .copied()
        }
        other => other
            .document()
            .filter(|name| name.kind == DocumentKind::Custodians),
    }?;
    let mut documents = record.documents.iter();
    let found = documents.find(|document| {
        document.institution == change.institution
            && document.kind == DocumentKind::Custodians.name()
            && sha256(&document.bytes) == name.sha256
    })?;
    Some(&found.bytes)
}

/// The newest of each document, and each key that may sign, are approved.
fn check_in_force(
    record: &Record,
    standing: &Standing,
    history: &[&Change],
    now: i64,
    findings: &mut Findings,
) {
    let institution = standing.institution().as_str();
    for kind in DocumentKind::ALL {
        let of_kind = record
            .documents
            .iter()
            .filter(|one| one.institution == institution && one.kind == kind.name());
        let approved = standing.document(kind);
        let newest = of_kind.max_by_key(|one| one.version);
        let named = newest.is_some_and(|one| {
            u64::try_from(one.version) == Ok(approved.version)
                && sha256(&one.bytes) == approved.sha256
        });
        findings.must(Rule::Approved, named, || {
            format!(
                "the newest {} of {institution} is not version {} as it was approved",
                kind.name(),
                approved.version
            )
        });
    }
    for key in record
        .keys
        .iter()
        .filter(|key| key.institution == institution)
    {
        let id = <[u8; 32]>::try_from(key.id.as_slice()).map(KeyId::new);
        let life = id.ok().and_then(|id| standing.key(id));
        let seconds = u64::try_from(now / MICROS).unwrap_or_default();
        let approved = life.is_some_and(|life| {
            life.purpose().name() == key.purpose && life.state(seconds) == KeyState::Active
        });
        findings.must(Rule::Approved, approved == key.may_sign(now), || {
            format!(
                "{key:?} after {} changes is approved otherwise",
                history.len()
            )
        });
    }
}
