//! What a command prints: aligned lines and tables for people, one JSON object for programs.

pub mod difference;
pub mod table;
pub mod text;

use std::{env, path::Path};

use console::Term;
use serde_json::{Value, json};

pub use self::text::{aligned, printable, utc};
use self::{
    table::Table,
    text::{Row, lines},
};

/// Columns of lines that do not go to a terminal, unless COLUMNS (POSIX XBD s8.3) says otherwise.
const COLUMNS: usize = 80;
/// The narrowest that a table is made for.
const NARROWEST: usize = 20;

/// How the program ends, when it ends well enough to print a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// What was verified is not valid.
    NotValid,
    /// What was compared is not the same.
    Differs,
    /// What was measured cannot be relied on.
    Unreliable,
}

/// For whom a report is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Programs: one JSON object.
    Json,
    /// People: lines, tables so many columns wide.
    Lines {
        /// Columns of the terminal.
        columns: usize,
    },
}

impl Form {
    /// What standard output is: as wide as the terminal, else as COLUMNS says, else 80 columns.
    #[must_use]
    pub fn of_stdout(json: bool) -> Self {
        if json {
            return Self::Json;
        }
        let terminal = Term::stdout().size_checked();
        let terminal = terminal.map(|(_, columns)| usize::from(columns));
        let said = || env::var("COLUMNS").ok()?.parse().ok();
        let columns = terminal.or_else(said).unwrap_or(COLUMNS).max(NARROWEST);
        Self::Lines { columns }
    }
}

/// What a command did and what comes next.
#[derive(Clone, Debug)]
pub struct Report {
    parts: Vec<Part>,
    next: Vec<String>,
    json: Value,
    exit: Exit,
}

#[derive(Clone, Debug)]
enum Part {
    Rows(Vec<Row>),
    Table(Table),
    /// Lines of others, shown as they are but for what a terminal would obey.
    Text(String),
    /// Our own, byte for byte.
    Script(String),
}

impl Report {
    /// A report of `json`, the command's whole answer for programs, without lines for people yet.
    #[must_use]
    pub fn new(json: Value) -> Self {
        Self {
            parts: Vec::new(),
            next: Vec::new(),
            json,
            exit: Exit::Done,
        }
    }

    /// Adds a line: a word or two, then what it is.
    #[must_use]
    pub fn row(self, label: &'static str, text: impl Into<String>) -> Self {
        self.add_row(Row::line(label, text.into()))
    }

    /// Adds a line if there is something to say.
    #[must_use]
    pub fn row_if(self, label: &'static str, text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => self.row(label, text),
            None => self,
        }
    }

    /// Adds a list of words, in as many lines as it takes.
    #[must_use]
    pub fn words(self, label: &'static str, words: &[String]) -> Self {
        self.add_row(Row::words(label, words))
    }

    fn add_row(mut self, row: Row) -> Self {
        match self.parts.last_mut() {
            Some(Part::Rows(rows)) => rows.push(row),
            _ => self.parts.push(Part::Rows(vec![row])),
        }
        self
    }

    /// Adds a table.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.parts.push(Part::Table(table));
        self
    }

    /// Adds lines of others.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    /// Adds a text of our own that is to be printed byte for byte.
    #[must_use]
    pub fn script(mut self, script: impl Into<String>) -> Self {
        self.parts.push(Part::Script(script.into()));
        self
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

    /// Says that what was compared is not the same.
    #[must_use]
    pub fn differs(mut self) -> Self {
        self.exit = Exit::Differs;
        self
    }

    /// Says that what was measured cannot be relied on.
    #[must_use]
    pub fn unreliable(mut self) -> Self {
        self.exit = Exit::Unreliable;
        self
    }

    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The lines for people, or the JSON object; each with its line end. Parts of different kinds are parted by an
    /// empty line.
    #[must_use]
    pub fn render(&self, form: Form) -> String {
        let Form::Lines { columns } = form else {
            return format!("{}\n", self.json);
        };
        let mut parts = self.parts.clone();
        let next = self
            .next
            .iter()
            .map(|step| Row::line("next", step.clone()))
            .collect::<Vec<_>>();
        match parts.last_mut() {
            Some(Part::Rows(rows)) => rows.extend(next),
            _ if next.is_empty() => {}
            _ => parts.push(Part::Rows(next)),
        }
        let parts: Vec<_> = parts.iter().map(|part| part.render(columns)).collect();
        parts.join("\n")
    }
}

impl Part {
    fn render(&self, columns: usize) -> String {
        match self {
            Self::Rows(rows) => lines(rows, columns),
            Self::Table(table) => table.render(columns),
            Self::Text(text) => text
                .lines()
                .fold(String::new(), |out, line| out + &printable(line) + "\n"),
            Self::Script(script) => script.clone(),
        }
    }
}

/// The JSON of a file that was written, or null.
#[must_use]
pub fn path_json(path: Option<&Path>) -> Value {
    path.map_or(Value::Null, |path| json!(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::{table::Column, *};

    const LINES: Form = Form::Lines { columns: 80 };

    #[test]
    fn lines_are_aligned_and_harmless() {
        let report = Report::new(json!({"a": 1}))
            .row("device", "0190")
            .row_if("status", None::<String>)
            .row("subscriber", "x\u{1b}[2Jy\nz")
            .next("accept it");
        assert_eq!(
            report.render(LINES),
            "device      0190\nsubscriber  x\\u{1b}[2Jy\\nz\nnext        accept it\n"
        );
        assert_eq!(report.render(Form::Json), "{\"a\":1}\n");
    }

    #[test]
    fn parts_of_different_kinds_are_parted_by_an_empty_line() {
        let report = Report::new(json!({}))
            .row("policy", "version 1")
            .table(Table::new([Column::whole("A")]).row(["b"]))
            .text("one\u{202e}\ttwo\r\nthree")
            .next("end");
        assert_eq!(
            report.render(LINES),
            "policy  version 1\n\nA\nb\n\none\\u{202e}\\ttwo\nthree\n\nnext  end\n"
        );
    }

    #[test]
    fn a_script_is_printed_byte_for_byte() {
        let report = Report::new(json!({})).script("a\tb\\\n");
        assert_eq!(report.render(LINES), "a\tb\\\n");
    }
}
