//! The re-check of the record after a scenario: what must hold whatever happened, read from the database by code that
//! shares nothing with the service's, and confirmed by openssl and by a JOSE library that is not ours.

mod admissions;
mod audit;
mod authorities;
mod changes;
mod crls;
mod destructions;
mod limits;
mod oracle;
mod orders;
mod record;
mod reissues;
mod removed;
mod signatures;
mod unique;

use std::{fmt, path::Path, time::Duration};

pub use authorities::Authorities;
use record::Record;
pub(crate) use removed::COPY;

use crate::{
    deployment::{Deployment, unix_now},
    failure::Failure,
    until::until,
};

const MICROS: i64 = 1_000_000;
/// How long the sweep and the making of CRLs may take: each comes with the next tick of a second.
const SETTLED: Duration = Duration::from_secs(15);

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The database is whole, and what it says twice agrees.
    Consistent,
    /// Every stored signature is over the recorded bytes and verifies, with a key of the right purpose.
    Signature,
    /// Nothing is in force but what an institution's custodians approved, so many of them together.
    Approved,
    /// An authorization says what its order says, in its time, under a policy that was in force.
    Authorization,
    /// No serial number, authorization id, payer's pseudonym or certified key twice.
    Unique,
    /// No order has two outcomes.
    OneOutcome,
    /// Every intent that was begun has one end, and each its event.
    AuditPairs,
    /// What is left of the audit begins where the removed part ends, and says so.
    AuditPrefix,
    /// Refusals by a limit are told once in a minute, and of whom they are.
    Refusals,
    /// No intent whose time has passed is pending.
    NoOverdueIntent,
    /// No device above its money limits, no subscriber above the limit of devices.
    Limits,
    /// CRLNumbers rise, and a CRL lists what was revoked before it.
    Crls,
    /// openssl and jwcrypto agree.
    Oracle,
}

/// A rule that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// Where.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Findings so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: Rule, what: impl Into<String>) {
        let what = what.into();
        self.0.push(Finding { rule, what });
    }

    /// A rule that must hold at this place.
    fn must(&mut self, rule: Rule, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, what());
        }
    }
}

/// What was checked: a scenario can demand that it was not nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Orders that ended AUTHORIZED.
    pub authorizations: usize,
    /// Device certificates.
    pub certificates: usize,
    /// CRLs.
    pub crls: usize,
    /// Operations that ended without a signature.
    pub unsigned: usize,
    /// Audit events.
    pub events: usize,
}

/// Waits until a running server has settled what is overdue, then checks the whole record.
///
/// # Errors
/// Every finding, or that the record cannot be read.
pub async fn recheck(deployment: &mut Deployment) -> Result<Checked, Failure> {
    if deployment.server().is_ok() {
        // What stays unsettled is found by the check.
        let settled = async || {
            let record = Record::read(&deployment.record().await?)?;
            Ok(record.settled(now()?).then_some(()))
        };
        let _ = until("a settled record", SETTLED, settled).await;
    }
    let authorities = Authorities::read(deployment)?;
    let database = deployment.record().await?;
    let (checked, findings) = check(&database, &authorities, now()?)?;
    let mut findings = Findings(findings);
    let record = Record::read(&database)?;
    destructions::check_tokens(&record, &authorities, deployment, &mut findings)?;
    let findings = findings.0;
    if findings.is_empty() {
        return Ok(checked);
    }
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    Err(Failure::new(format!(
        "the record breaks its rules:\n  {}",
        list.join("\n  ")
    )))
}

/// Checks the record in the file `database` at `now`, in microseconds.
///
/// # Errors
/// It cannot be read.
pub fn check(
    database: &Path,
    authorities: &Authorities,
    now: i64,
) -> Result<(Checked, Vec<Finding>), Failure> {
    let record = Record::read(database)?;
    let mut findings = Findings::default();
    for fault in &record.faults {
        findings.add(Rule::Consistent, fault.as_str());
    }
    let authorities = &authorities.and_taken_up(&record, database, &mut findings)?;
    signatures::check(&record, authorities, &mut findings);
    signatures::check_times(&record, &mut findings);
    signatures::check_counters(&record, &mut findings);
    changes::check(&record, now, &mut findings);
    orders::check(&record, &mut findings);
    reissues::check(&record, &mut findings);
    unique::check(&record, &mut findings);
    audit::check(&record, &mut findings);
    destructions::check(&record, &mut findings);
    removed::check(&record, &mut findings);
    admissions::check(&record, authorities, &mut findings);
    limits::check(&record, &mut findings);
    crls::check(&record, authorities, &mut findings);
    for operation in record.overdue(now) {
        findings.add(
            Rule::NoOverdueIntent,
            format!("{operation} has been pending past its time"),
        );
    }
    oracle::check(&record, authorities, &mut findings)?;
    Ok((record.counts(), findings.0))
}

fn now() -> Result<i64, Failure> {
    Ok(unix_now()?.saturating_mul(MICROS))
}
