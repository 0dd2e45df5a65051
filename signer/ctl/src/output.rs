//! What a command prints: short aligned lines for people, one JSON object for programs.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

/// How the program ends, when it ends well enough to print a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// What was verified is not valid.
    NotValid,
}

/// What a command did and what comes next.
#[derive(Clone, Debug)]
pub struct Report {
    rows: Vec<(&'static str, String)>,
    next: Vec<String>,
    json: Value,
    exit: Exit,
}

impl Report {
    /// A report of `json`, the command's whole answer for programs, without lines for people yet.
    #[must_use]
    pub fn new(json: Value) -> Self {
        Self {
            rows: Vec::new(),
            next: Vec::new(),
            json,
            exit: Exit::Done,
        }
    }

    /// Adds a line: a word or two, then what it is.
    #[must_use]
    pub fn row(mut self, label: &'static str, text: impl Into<String>) -> Self {
        self.rows.push((label, text.into()));
        self
    }

    /// Adds a line if there is something to say.
    #[must_use]
    pub fn row_if(self, label: &'static str, text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => self.row(label, text),
            None => self,
        }
    }

    /// Adds what the user will want to do next.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next.push(step.into());
        self
    }

    /// Says that what was verified is not valid.
    #[must_use]
    pub fn not_valid(mut self) -> Self {
        self.exit = Exit::NotValid;
        self
    }

    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The lines for people, or the JSON object; each with its line end.
    #[must_use]
    pub fn render(&self, json: bool) -> String {
        if json {
            return format!("{}\n", self.json);
        }
        let next = self.next.iter().map(|step| ("next", step.clone()));
        aligned(&self.rows.iter().cloned().chain(next).collect::<Vec<_>>())
    }
}

/// Labels in one column, texts in the next. Control characters, which a terminal would obey, are shown as escapes.
#[must_use]
pub fn aligned(rows: &[(&str, String)]) -> String {
    let width = rows
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or_default();
    rows.iter().fold(String::new(), |mut out, (label, text)| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{label:width$}  {}", printable(text));
        out
    })
}

/// `text` with control characters escaped.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
            out
        })
}

/// Unix seconds as a date and time of day, UTC (RFC 3339).
#[must_use]
pub fn utc(seconds: i64) -> String {
    u64::try_from(seconds)
        .ok()
        .and_then(|seconds| der::DateTime::from_unix_duration(Duration::from_secs(seconds)).ok())
        .map_or_else(
            || format!("{seconds} s since 1970"),
            |time| time.to_string(),
        )
}

/// The JSON of a file that was written, or null.
#[must_use]
pub fn path_json(path: Option<&std::path::Path>) -> Value {
    path.map_or(Value::Null, |path| json!(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_and_harmless() {
        let report = Report::new(json!({"a": 1}))
            .row("device", "0190")
            .row_if("status", None::<String>)
            .row("subscriber", "x\u{1b}[2Jy\nz")
            .next("accept it");
        assert_eq!(
            report.render(false),
            "device      0190\nsubscriber  x\\u{1b}[2Jy\\nz\nnext        accept it\n"
        );
        assert_eq!(report.render(true), "{\"a\":1}\n");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_790_000_000), "2026-09-21T14:13:20Z");
        assert_eq!(utc(-5), "-5 s since 1970");
    }
}
