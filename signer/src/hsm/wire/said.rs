//! Owns what is taken of what a worker process says. The module in it may say anything: texts are cut and kept to one line,
//! failures are few, and a report is about the keys and threads that the process was told to have, or it is none.

use prost::Message as _;

use super::{Answer, Begun, Refused, Report, WireClass, WireFailure, WireKeyReport};
use crate::hsm::error::Fault;
use crate::hsm::failure::{Class, Failure};
use crate::hsm::report::{KeyReport, TokenReport};
use crate::hsm::{Key, Settings, Token};

/// The longest text that is taken from a worker process, characters.
const LONGEST_TEXT: usize = 1_000;
/// The failures that are taken from one answer, its last ones: no job meets more.
const MOST_FAILURES: usize = 16;

/// What a worker process says, in one line: the module in it may lie, and then passes for no other line of the log.
fn line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(LONGEST_TEXT).map(shown).collect()
}

impl Answer {
    /// The calls that failed, the last ones.
    pub(in crate::hsm) fn failures(&mut self) -> Vec<Failure> {
        let more = self.failures.len().saturating_sub(MOST_FAILURES);
        let last = self.failures.drain(..).skip(more);
        last.map(Failure::from).collect()
    }
}

impl Begun {
    /// What the process found of the token; else its refusal, if it can be understood.
    pub(in crate::hsm) fn report(
        self,
        token: &Token,
        settings: &Settings,
    ) -> Result<TokenReport, Option<Refused>> {
        match (self.refused, self.report) {
            (Some(Refused { text, failure }), _) => Err(Some(Refused {
                text: line(&text),
                failure,
            })),
            (None, report) => report.and_then(|r| r.of(token, settings)).ok_or(None),
        }
    }
}

impl From<WireFailure> for Failure {
    fn from(failure: WireFailure) -> Self {
        let class = match failure.class() {
            WireClass::Fatal => Class::Fatal,
            WireClass::Retry => Class::Retry,
            WireClass::Relogin => Class::Relogin,
            WireClass::Restart => Class::Restart,
            WireClass::Reject => Class::Reject,
        };
        let fault = Fault::new(line(&failure.call), line(&failure.code));
        Self { fault, class }
    }
}

impl Report {
    /// The report on this token; nothing if it is about other keys, or other threads than a process was told to have.
    pub(super) fn of(self, token: &Token, settings: &Settings) -> Option<TokenReport> {
        let threads = usize::try_from(self.threads).ok()?;
        let keys = self.keys.iter().map(|key| key.id.as_slice());
        if !keys.eq(token.keys.iter().map(|key| key.id.as_bytes().as_slice()))
            || !(1..=settings.threads).contains(&threads)
        {
            return None;
        }
        Some(TokenReport {
            institution: token.institution.clone(),
            module: settings.module.clone(),
            library: line(&self.library),
            slot: self.slot,
            label: token.label.clone(),
            token: line(&self.token),
            session_limit: self.session_limit,
            threads,
            read_only: self.read_only,
            mechanisms: self.mechanisms.iter().map(|name| line(name)).collect(),
            keys: (token.keys.iter().zip(self.keys))
                .map(|(key, report)| report.of(key))
                .collect(),
        })
    }
}

impl WireKeyReport {
    /// What it says of `key`.
    fn of(self, key: &Key) -> KeyReport {
        let attributes = self.attributes.into_iter();
        KeyReport {
            id: key.id,
            label: key.label.clone(),
            attributes: attributes.map(|a| (line(&a.name), a.value)).collect(),
        }
    }
}

/// What was found of `key`; nothing if another one was looked at.
pub(in crate::hsm) fn adopted(octets: &[u8], key: &Key) -> Option<KeyReport> {
    let report = WireKeyReport::decode(octets).ok()?;
    (report.id == key.id.as_bytes()).then(|| report.of(key))
}
