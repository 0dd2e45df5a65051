//! Owns reading a TOML table member by member: every mistake is noted under its path and the reading goes on, so that
//! one run names them all. A member that nobody asked for is a mistake.

use std::collections::BTreeSet;
use std::fmt::Display;

use toml::{Table, Value};

/// The mistakes found so far, each with the path of its member.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<String>);

impl Mistakes {
    /// Notes a mistake at `path`.
    pub(crate) fn note(&mut self, path: &str, what: impl Display) {
        self.0.push(format!("{path}: {what}"));
    }

    /// Keeps a good value, or notes why `path` is bad.
    pub(crate) fn keep<T, E: Display>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.note(path, error)).ok()
    }

    /// All mistakes, in the order of their finding.
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

/// One table being read. [`Reader::finish`] notes the members that were not taken.
pub(crate) struct Reader {
    path: String,
    table: Table,
}

impl Reader {
    /// Reads `table`, which stands at `path` (empty for the document itself).
    pub(crate) fn new(path: impl Into<String>, table: Table) -> Self {
        let path = path.into();
        Self { path, table }
    }

    /// Where the table stands.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The path of the member `name`, such as `institution[alfa].policy.payees`.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Whether there is such a member: for those that may be left out.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    fn take<T>(
        &mut self,
        name: &str,
        mistakes: &mut Mistakes,
        what: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let path = self.at(name);
        let Some(value) = self.table.remove(name) else {
            mistakes.note(&path, "missing");
            return None;
        };
        let read = read(value);
        if read.is_none() {
            mistakes.note(&path, format_args!("must be {what}"));
        }
        read
    }

    /// Takes a string and parses it.
    pub(crate) fn parse<T, E: Display>(
        &mut self,
        name: &str,
        mistakes: &mut Mistakes,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.take(name, mistakes, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })?;
        mistakes.keep(&self.at(name), parse(&text))
    }

    /// Takes a list of strings, each different from the others, and parses each.
    pub(crate) fn parse_list<T, E: Display>(
        &mut self,
        name: &str,
        mistakes: &mut Mistakes,
        mut parse: impl FnMut(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let list = self.take(name, mistakes, "a list of strings", |value| {
            value.try_into::<Vec<String>>().ok()
        })?;
        let path = self.at(name);
        let mut seen = BTreeSet::new();
        let mut parsed = Vec::new();
        for (index, text) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if !seen.insert(text) {
                mistakes.note(&path, format_args!("{text:?} stands there twice"));
            }
            parsed.extend(mistakes.keep(&path, parse(text)));
        }
        Some(parsed)
    }

    /// Takes an integer from `least` to `most`.
    pub(crate) fn integer(
        &mut self,
        name: &str,
        mistakes: &mut Mistakes,
        least: u32,
        most: u32,
    ) -> Option<u32> {
        let what = format!("an integer from {least} to {most}");
        self.take(name, mistakes, &what, |value| {
            let number = u32::try_from(value.as_integer()?).ok()?;
            (least..=most).contains(&number).then_some(number)
        })
    }

    /// Takes a table.
    pub(crate) fn table(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<Reader> {
        let table = self.take(name, mistakes, "a table", |value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        })?;
        Some(Reader::new(self.at(name), table))
    }

    /// Takes a list of tables; each is named by its member `id`, or by its place if it has none.
    pub(crate) fn tables(&mut self, name: &str, mistakes: &mut Mistakes) -> Vec<Reader> {
        let tables = self.take(name, mistakes, "a list of tables", |value| {
            value.try_into::<Vec<Table>>().ok()
        });
        let path = self.at(name);
        let named = |(index, table): (usize, Table)| {
            let label = match table.get("id").and_then(Value::as_str) {
                Some(id) => id.to_owned(),
                None => index.to_string(),
            };
            Reader::new(format!("{path}[{label}]"), table)
        };
        tables
            .unwrap_or_default()
            .into_iter()
            .enumerate()
            .map(named)
            .collect()
    }

    /// Takes every member as a string and parses each with its name.
    pub(crate) fn parse_each<T, E: Display>(
        mut self,
        mistakes: &mut Mistakes,
        mut parse: impl FnMut(&str, &str) -> Result<T, E>,
    ) -> Vec<T> {
        let names: Vec<String> = self.table.keys().cloned().collect();
        let mut parsed = Vec::new();
        for name in names {
            parsed.extend(self.parse(&name, mistakes, |text| parse(&name, text)));
        }
        parsed
    }

    /// Notes what is left as unknown.
    pub(crate) fn finish(self, mistakes: &mut Mistakes) {
        for name in self.table.keys() {
            mistakes.note(&self.at(name), "unknown member");
        }
    }
}
