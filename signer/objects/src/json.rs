//! A JSON object taken apart member by member: duplicate, unknown and mistyped members are refused at every depth.
//! Depth is bounded by `serde_json`'s recursion limit, size by the caller.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use uuid::{Uuid, Variant};

use crate::base64url;
use crate::error::{ObjectError, Rule};

/// The largest integer that every JSON reader keeps exact (RFC 7493 s2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// The most items of an array: more than any of our objects has.
const MAX_ITEMS: usize = 1024;

enum Value {
    String(String),
    Integer(u64),
    Object(Vec<(String, Value)>),
    Array(Vec<Value>),
    Other(&'static str),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Object(_) => "an object",
            Self::Array(_) => "an array",
            Self::Other(name) => name,
        }
    }

    fn not(&self, expected: &'static str) -> Rule {
        Rule::Type {
            expected,
            found: self.type_name(),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other("a negative number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other("a number in another form"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other("a boolean"))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            if values.len() == MAX_ITEMS {
                return Err(A::Error::custom(format_args!(
                    "more than {MAX_ITEMS} items"
                )));
            }
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = entries.next_entry()? {
            members.push(member);
        }
        Ok(Value::Object(members))
    }
}

/// The members of an object that are not taken yet, and the object's path for errors.
pub(crate) struct Object {
    path: String,
    members: Vec<(String, Value)>,
}

impl Object {
    pub(crate) fn parse(path: &str, json: &[u8]) -> Result<Self, ObjectError> {
        let value = serde_json::from_slice::<Value>(json)
            .map_err(|error| ObjectError::new(path, Rule::Json(error.to_string())))?;
        match value {
            Value::Object(members) => Ok(Self {
                path: path.to_owned(),
                members,
            }),
            other => Err(ObjectError::new(path, other.not("an object"))),
        }
    }

    /// The error that blames member `name` of this object.
    pub(crate) fn blame(&self, name: &str, rule: Rule) -> ObjectError {
        ObjectError::member(&self.path, name, rule)
    }

    fn take_optional(&mut self, name: &str) -> Result<Option<Value>, ObjectError> {
        let mut found = self.members.extract_if(.., |(member, _)| member == name);
        let first = found.next().map(|(_, value)| value);
        let duplicate = found.next().is_some();
        drop(found);
        if duplicate {
            return Err(self.blame(name, Rule::Duplicate));
        }
        Ok(first)
    }

    fn take(&mut self, name: &str) -> Result<Value, ObjectError> {
        self.take_optional(name)?
            .ok_or_else(|| self.blame(name, Rule::Missing))
    }

    fn read<T>(
        &self,
        name: &str,
        value: &Value,
        parse: impl FnOnce(&str) -> Result<T, Rule>,
    ) -> Result<T, ObjectError> {
        match value {
            Value::String(text) => parse(text),
            other => Err(other.not("a string")),
        }
        .map_err(|rule| self.blame(name, rule))
    }

    /// A required string, read by `parse`.
    pub(crate) fn text<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Rule>,
    ) -> Result<T, ObjectError> {
        let value = self.take(name)?;
        self.read(name, &value, parse)
    }

    /// A string that may be left out; `null` is not left out.
    pub(crate) fn optional_text<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Rule>,
    ) -> Result<Option<T>, ObjectError> {
        self.take_optional(name)?
            .map(|value| self.read(name, &value, parse))
            .transpose()
    }

    /// A string that must be exactly `word`.
    pub(crate) fn word(&mut self, name: &str, word: &'static str) -> Result<(), ObjectError> {
        let matches = |text: &str| (text == word).then_some(()).ok_or(Rule::OneOf(word));
        self.text(name, matches)
    }

    /// `N` octets in strict base64url.
    pub(crate) fn octets<const N: usize>(&mut self, name: &str) -> Result<[u8; N], ObjectError> {
        self.text(name, base64url::decode_array)
    }

    /// An integer; a time is one, in seconds.
    pub(crate) fn integer(&mut self, name: &str) -> Result<u64, ObjectError> {
        match self.take(name)? {
            Value::Integer(number) if number <= MAX_INTEGER => Ok(number),
            Value::Integer(_) => Err(self.blame(name, Rule::TimeRange)),
            other => Err(self.blame(name, other.not("an integer"))),
        }
    }

    /// An object inside this one.
    pub(crate) fn object(&mut self, name: &str) -> Result<Self, ObjectError> {
        match self.take(name)? {
            Value::Object(members) => Ok(Self {
                path: format!("{}.{name}", self.path),
                members,
            }),
            other => Err(self.blame(name, other.not("an object"))),
        }
    }

    /// The items of an array, each with its path.
    fn items(&mut self, name: &str) -> Result<Vec<(String, Value)>, ObjectError> {
        match self.take(name)? {
            Value::Array(items) => {
                let path = |at| format!("{}.{name}[{at}]", self.path);
                let items = items.into_iter().enumerate();
                Ok(items.map(|(at, item)| (path(at), item)).collect())
            }
            other => Err(self.blame(name, other.not("an array"))),
        }
    }

    /// An array of objects.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Vec<Self>, ObjectError> {
        let items = self.items(name)?.into_iter();
        let read = |(path, item)| match item {
            Value::Object(members) => Ok(Self { path, members }),
            other => Err(ObjectError::new(path, other.not("an object"))),
        };
        items.map(read).collect()
    }

    /// An array of strings, each read by `parse`.
    pub(crate) fn texts<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Rule>,
    ) -> Result<Vec<T>, ObjectError> {
        let items = self.items(name)?.into_iter();
        let read = |(path, item)| {
            let value = match &item {
                Value::String(text) => parse(text),
                other => Err(other.not("a string")),
            };
            value.map_err(|rule| ObjectError::new(path, rule))
        };
        items.map(read).collect()
    }

    /// Refuses whatever has not been taken.
    pub(crate) fn finish(self) -> Result<(), ObjectError> {
        match self.members.first() {
            None => Ok(()),
            Some((name, _)) => Err(self.blame(name, Rule::Unknown)),
        }
    }
}

/// A UUID in its canonical text form, of one of `versions`; `rule` says which.
pub(crate) fn uuid(text: &str, versions: &[usize], rule: &'static str) -> Result<Uuid, Rule> {
    Uuid::try_parse(text)
        .ok()
        .filter(|uuid| uuid.get_variant() == Variant::RFC4122)
        .filter(|uuid| versions.contains(&uuid.get_version_num()))
        .filter(|uuid| uuid.hyphenated().to_string() == text)
        .ok_or(Rule::Uuid(rule))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(json: &str) -> ObjectError {
        let read = |json: &str| {
            let mut object = Object::parse("payload", json.as_bytes())?;
            object.integer("n")?;
            object.finish()
        };
        read(json).unwrap_err()
    }

    #[test]
    fn integers_are_integers() {
        let found = |json: &str| refused(json).rule().to_string();
        for (number, rule) in [
            ("1.0", "must be an integer, not a number in another form"),
            ("1e0", "must be an integer, not a number in another form"),
            ("1E2", "must be an integer, not a number in another form"),
            ("-0", "must be an integer, not a number in another form"),
            ("-1", "must be an integer, not a negative number"),
            (
                "18446744073709551616",
                "must be an integer, not a number in another form",
            ),
            ("9007199254740992", "must be at most 9007199254740991"),
            ("\"1\"", "must be an integer, not a string"),
            ("true", "must be an integer, not a boolean"),
            ("null", "must be an integer, not null"),
            ("[1]", "must be an integer, not an array"),
            ("{}", "must be an integer, not an object"),
        ] {
            assert_eq!(found(&format!("{{\"n\":{number}}}")), rule, "{number}");
        }
    }

    #[test]
    fn texts_that_are_not_one_object() {
        for json in [
            "",
            "{",
            "{\"n\":1}x",
            "{\"n\":1,}",
            "{n:1}",
            "{\"n\":01}",
            "{\"n\":+1}",
            "{\"n\":0x1}",
            "{\"n\":NaN}",
            "{\"n\":1e999}",
            "\u{feff}{\"n\":1}",
            "{\"\\ud800\":1}",
            "// c\n{}",
        ] {
            assert!(matches!(refused(json).rule(), Rule::Json(_)), "{json:?}");
        }
        assert!(matches!(refused("[]").rule(), Rule::Type { .. }));
        assert!(Object::parse("payload", b"{\"\xff\":1}").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_before_it_costs_anything() {
        let objects = format!("{{\"n\":{}1{}}}", "{\"n\":".repeat(200), "}".repeat(200));
        let error = refused(&objects);
        assert!(error.to_string().contains("recursion limit"), "{error}");
        let arrays = format!("{{\"n\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let error = refused(&arrays);
        assert!(error.to_string().contains("recursion limit"), "{error}");
        let many = |items: usize| refused(&format!("{{\"n\":[1{}]}}", ",1".repeat(items - 1)));
        assert_eq!(many(MAX_ITEMS).field(), "payload.n");
        assert_eq!(many(MAX_ITEMS + 1).field(), "payload");
    }

    #[test]
    fn names_are_blamed_as_they_stand_and_never_at_length() {
        assert_eq!(
            refused("{\"n\":1,\"n\":1}").to_string(),
            "`payload.n` stands there more than once"
        );
        assert_eq!(refused("{\"n\":1,\"\\u006e\":1}").rule(), &Rule::Duplicate);
        assert_eq!(refused("{}").to_string(), "`payload.n` is missing");
        assert_eq!(refused("{\"n\":1,\"x\\n\":1}").field(), "payload.x\\n");
        let long = refused(&format!("{{\"n\":1,\"{}\":1}}", "x".repeat(4000)));
        assert_eq!(long.field().len(), "payload.".len() + 40);
    }
}
