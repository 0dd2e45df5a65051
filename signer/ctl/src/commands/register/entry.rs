//! One thing in the register, as a row of a table, as JSON and as CSV (RFC 4180).

use serde_json::{Value, json};

use crate::output::text::{date, utc};

/// The heading of the CSV.
const HEADING: &str = "kind,id,owner,purpose,state,not_before,not_after,detail\r\n";

/// A thing with its owner, its state and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// `key`, `certificate`, `token`, `caller`, `custodian`, `document`.
    pub(super) kind: &'static str,
    /// Its name: a key id, a SHA-256, a label, a SPIFFE id, a person.
    pub(super) id: String,
    /// The institution, or the person.
    pub(super) owner: String,
    /// What it is for.
    pub(super) purpose: String,
    /// Its state.
    pub(super) state: String,
    /// From when on, Unix seconds.
    pub(super) not_before: Option<i64>,
    /// Until when, Unix seconds.
    pub(super) not_after: Option<i64>,
    /// What else there is to know.
    pub(super) detail: String,
}

impl Entry {
    pub(super) fn json(&self) -> Value {
        json!({
            "kind": self.kind,
            "id": self.id,
            "owner": self.owner,
            "purpose": self.purpose,
            "state": self.state,
            "not_before": self.not_before,
            "not_after": self.not_after,
            "detail": self.detail,
        })
    }

    pub(super) fn cells(&self) -> [String; 5] {
        [
            self.kind.to_owned(),
            self.id.clone(),
            self.purpose.clone(),
            self.state.clone(),
            self.not_after.map_or(String::new(), date),
        ]
    }

    /// A line of CSV with its end.
    fn csv(&self) -> String {
        let time = |seconds: Option<i64>| seconds.map_or(String::new(), utc);
        let fields = [
            self.kind,
            &self.id,
            &self.owner,
            &self.purpose,
            &self.state,
            &time(self.not_before),
            &time(self.not_after),
            &self.detail,
        ];
        format!("{}\r\n", fields.map(field).join(","))
    }
}

/// All of them as CSV under a heading.
pub(super) fn csv(entries: &[Entry]) -> String {
    let lines: String = entries.iter().map(Entry::csv).collect();
    format!("{HEADING}{lines}")
}

/// Quoted where it must be (RFC 4180 s2); what a spreadsheet would take for a formula becomes text.
fn field(text: &str) -> String {
    let text = match text.chars().next() {
        Some('=' | '+' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    };
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_as_many_fields_as_the_heading() {
        let entry = Entry {
            kind: "custodian",
            id: "anna-berg".to_owned(),
            owner: "Berg, \"Anna\"".to_owned(),
            purpose: "=1+1".to_owned(),
            not_after: Some(0),
            ..Entry::default()
        };
        assert_eq!(
            entry.csv(),
            "custodian,anna-berg,\"Berg, \"\"Anna\"\"\",'=1+1,,,1970-01-01T00:00:00Z,\r\n"
        );
        let plain = Entry {
            kind: "key",
            ..Entry::default()
        };
        assert_eq!(
            plain.csv().matches(',').count(),
            HEADING.matches(',').count()
        );
    }
}
