//! Owns how a configuration file is read: key by key, every mistake kept with its key path, what is wrong and the way
//! out, so that one run shows them all. A key that nobody asked for is a mistake, found when its table is dropped.

use std::{
    cell::RefCell,
    fmt, fs,
    io::Read as _,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
};

use toml::{Table, Value};

/// Something wrong in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key path, such as `grpc.listen` or `institution[0].pin_file`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub way_out: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.key, self.what, self.way_out)
    }
}

/// Where the mistakes of one file are kept.
#[derive(Debug, Default)]
pub(super) struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    pub(super) fn add(
        &self,
        key: impl Into<String>,
        what: impl Into<String>,
        way_out: impl Into<String>,
    ) {
        self.0.borrow_mut().push(Mistake {
            key: key.into(),
            what: what.into(),
            way_out: way_out.into(),
        });
    }

    pub(super) fn into_vec(self) -> Vec<Mistake> {
        self.0.into_inner()
    }
}

/// The longest file that the configuration may name, octets.
const MAX_FILE: usize = 1 << 20;

/// One table of the file, emptied as it is read.
pub(super) struct Reader<'a> {
    table: Table,
    path: String,
    base: &'a Path,
    mistakes: &'a Mistakes,
}

impl<'a> Reader<'a> {
    /// The whole file; `base` is the folder to which its paths are relative.
    pub(super) fn new(table: Table, base: &'a Path, mistakes: &'a Mistakes) -> Self {
        Self {
            table,
            path: String::new(),
            base,
            mistakes,
        }
    }

    /// The path of a key in this table.
    fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Notes that the value of `key` is wrong.
    pub(super) fn wrong(&self, key: &str, what: impl Into<String>, way_out: impl Into<String>) {
        self.mistakes.add(self.key(key), what, way_out);
    }

    /// Whether the key stands there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn take<T>(
        &mut self,
        key: &str,
        kind: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.table.remove(key) else {
            self.wrong(key, "is missing", format!("add it; it is {kind}"));
            return None;
        };
        let found = value.type_str();
        let read = read(value);
        if read.is_none() {
            self.wrong(
                key,
                format!("is of the type {found}"),
                format!("make it {kind}"),
            );
        }
        read
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.take(key, "a text that is not empty", |value| match value {
            Value::String(text) if !text.is_empty() => Some(text),
            _ => None,
        })
    }

    /// Texts, one at least, none of them empty.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let text = |value| match value {
            Value::String(text) if !text.is_empty() => Some(text),
            _ => None,
        };
        self.take(key, "one text or more, none empty", |value| match value {
            Value::Array(values) if !values.is_empty() => values.into_iter().map(text).collect(),
            _ => None,
        })
    }

    /// A text that reads as a `T`.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, way_out: &str) -> Option<T> {
        let text = self.text(key)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.wrong(key, "cannot be read", way_out);
        }
        parsed
    }

    /// A text that is one of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(
                key,
                "is not known",
                format!("give one of {}", all.join(", ")),
            );
        }
        found
    }

    /// A whole number in a range.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let kind = format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.take(key, &kind, |value| value.as_integer())?;
        let number = u32::try_from(number).ok().filter(|n| range.contains(n));
        if number.is_none() {
            self.wrong(key, "is out of range", format!("give {kind}"));
        }
        number
    }

    /// `true` or `false`; absent is `false`.
    pub(super) fn switch(&mut self, key: &str) -> Option<bool> {
        if !self.has(key) {
            return Some(false);
        }
        self.take(key, "true or false", |value| value.as_bool())
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(&mut self, key: &str) -> Option<f64> {
        let kind = "a number from 0 to 1";
        let number = self.take(key, kind, |value| match value {
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            Value::Integer(_) => Some(f64::NAN),
            value => value.as_float(),
        })?;
        let inside = (0.0..=1.0).contains(&number).then_some(number);
        if inside.is_none() {
            self.wrong(key, "is out of range", format!("give {kind}"));
        }
        inside
    }

    /// A path, made absolute or relative to the working folder.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|text| self.base.join(text))
    }

    /// The content of the file that the key names.
    pub(super) fn file(&mut self, key: &str) -> Option<Vec<u8>> {
        self.file_of(key, MAX_FILE)
    }

    /// The same of a file that may have `most` octets.
    pub(super) fn file_of(&mut self, key: &str, most: usize) -> Option<Vec<u8>> {
        let path = self.path(key)?;
        self.content(key, &path, most)
    }

    /// The contents of at most `number` files that the key names, each of at most `most` octets.
    pub(super) fn files_of(
        &mut self,
        key: &str,
        number: usize,
        most: usize,
    ) -> Option<Vec<Vec<u8>>> {
        let names = self.texts(key)?;
        if names.len() > number {
            self.wrong(key, "are too many", format!("name {number} at most"));
            return None;
        }
        let paths = names.iter().map(|name| self.base.join(name));
        paths.map(|path| self.content(key, &path, most)).collect()
    }

    fn content(&self, key: &str, path: &Path, most: usize) -> Option<Vec<u8>> {
        let bound = u64::try_from(most).unwrap_or(u64::MAX);
        let content = fs::File::open(path).and_then(|file| {
            let mut content = Vec::new();
            file.take(bound.saturating_add(1))
                .read_to_end(&mut content)
                .map(|_| content)
        });
        let (what, way_out) = match content {
            Ok(content) if content.len() <= most => return Some(content),
            Ok(_) => {
                let what = format!("{} is longer than {} MiB", path.display(), most >> 20);
                (what, "name the right file")
            }
            Err(error) => {
                let what = format!("{}: {error}", path.display());
                (what, "put the file there, readable by this user")
            }
        };
        self.wrong(key, what, way_out);
        None
    }

    /// A table that must be there.
    pub(super) fn table(&mut self, key: &str) -> Option<Reader<'a>> {
        let table = self.take(key, "a table", |value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        })?;
        Some(self.child(table, self.key(key)))
    }

    /// An array of at least one table.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Reader<'a>> {
        let tables = self.take(key, "one table or more", |value| match value {
            Value::Array(values) if !values.is_empty() => values
                .into_iter()
                .map(|value| match value {
                    Value::Table(table) => Some(table),
                    _ => None,
                })
                .collect::<Option<Vec<Table>>>(),
            _ => None,
        });
        let numbered = tables.unwrap_or_default().into_iter().enumerate();
        numbered
            .map(|(i, table)| self.child(table, format!("{}[{i}]", self.key(key))))
            .collect()
    }

    /// The keys that were not read yet.
    pub(super) fn keys(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// Says that the keys that were not read are for others.
    pub(super) fn leave_the_rest(&mut self) {
        self.table.clear();
    }

    /// Passes over keys whose mistake is noted already.
    pub(super) fn skip(&mut self, keys: &[&str]) {
        for key in keys {
            self.table.remove(*key);
        }
    }

    fn child(&self, table: Table, path: String) -> Reader<'a> {
        Reader {
            table,
            path,
            base: self.base,
            mistakes: self.mistakes,
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        for key in self.table.keys() {
            self.wrong(
                key,
                "is not known",
                "remove it, or correct its name after signer.example.toml",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn keys(text: &str, read: impl FnOnce(&mut Reader<'_>)) -> Vec<String> {
        let mistakes = Mistakes::default();
        read(&mut Reader::new(
            text.parse().unwrap(),
            Path::new("."),
            &mistakes,
        ));
        mistakes
            .into_vec()
            .into_iter()
            .map(|m| format!("{} {}", m.key, m.what))
            .collect()
    }

    #[test]
    fn every_mistake_is_kept_with_its_path() {
        let text = "a = 1\nb = 'x'\n[t]\nn = 70000\nodd = true\n[[list]]\nz = ''\n";
        let found = keys(text, |reader| {
            reader.text("a");
            reader.parsed::<u8>("b", "give a number");
            reader.text("absent");
            reader.table("t").unwrap().number("n", 1..=65_535);
            reader.tables("list").first_mut().unwrap().text("z");
        });
        assert_eq!(
            found,
            [
                "a is of the type integer",
                "b cannot be read",
                "absent is missing",
                "t.n is out of range",
                "t.odd is not known",
                "list[0].z is of the type string",
            ]
        );
    }

    #[test]
    fn what_is_right_is_no_mistake() {
        let found = keys("a = 'x'\nn = 5\nw = 'info'", |reader| {
            assert_eq!(reader.text("a").as_deref(), Some("x"));
            assert_eq!(reader.number("n", 1..=5), Some(5));
            assert_eq!(reader.word("w", &[("info", 1), ("warn", 2)]), Some(1));
        });
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_not_there_says_which() {
        let found = keys("f = 'no/such/file'", |reader| {
            assert_eq!(reader.file("f"), None)
        });
        assert!(found.first().unwrap().contains("no/such/file"), "{found:?}");
    }
}
