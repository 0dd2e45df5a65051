//! The control file: what is forwarded to, where the log is, and the rules. Unknown members are refused.

use std::{collections::HashSet, path::PathBuf};

use serde::Deserialize;

use crate::rule::{Rule, Table};

/// A control file that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// The module that is forwarded to.
    pub(crate) module: PathBuf,
    /// Where disturbed calls are written down.
    pub(crate) log: PathBuf,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    module: PathBuf,
    log: PathBuf,
    #[serde(default)]
    fault: Vec<Table>,
}

impl Control {
    /// Reads the text of a control file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        for (name, path) in [("module", &file.module), ("log", &file.log)] {
            if !path.is_absolute() {
                return Err(format!("`{name}` is not a whole path: {}", path.display()));
            }
        }
        let rules: Vec<Rule> = file
            .fault
            .into_iter()
            .map(Rule::of)
            .collect::<Result<_, _>>()?;
        let mut names = HashSet::new();
        if let Some(twice) = rules.iter().find(|rule| !names.insert(&rule.name)) {
            return Err(format!("two faults are named \"{}\"", twice.name));
        }
        Ok(Self {
            module: file.module,
            log: file.log,
            rules,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::time::Duration;

    use super::*;
    use crate::rule::{Count, Effect, Wrong};

    const HEAD: &str = "module = \"/lib/m.so\"\nlog = \"/tmp/l\"\n";

    fn rule(rest: &str) -> Result<Rule, String> {
        let text = format!("{HEAD}[[fault]]\nname = \"a\"\n{rest}");
        Control::parse(&text).map(|control| control.rules[0].clone())
    }

    #[test]
    fn a_rule_is_what_its_table_says() {
        let read = rule(
            "token = \"alfa\"\ncalls = [\"C_Sign\"]\nfirst = 3\neffect = { return = \"CKR_DEVICE_ERROR\" }",
        );
        let effect = Effect::Return("CKR_DEVICE_ERROR".into(), 0x30);
        let expected = Rule {
            name: "a".into(),
            token: Some("alfa".into()),
            calls: vec!["C_Sign".into()],
            count: Count::First(3),
            effect,
        };
        assert_eq!(read, Ok(expected.clone()));
        assert!(expected.is_about("C_Sign", Some("alfa")));
        assert!(!expected.is_about("C_Sign", Some("beta")));
        assert!(!expected.is_about("C_Sign", None));
        assert!(!expected.is_about("C_SignInit", Some("alfa")));
        for (text, effect) in [
            (
                "calls = [\"C_Sign\"]\neffect = { delay_ms = 5 }",
                Effect::Delay(Duration::from_millis(5)),
            ),
            ("calls = [\"C_Sign\"]\neffect = \"log-out\"", Effect::LogOut),
            (
                "effect = { signature = \"other\" }",
                Effect::Signature(Wrong::Other),
            ),
            ("effect = \"remove\"", Effect::Remove),
            ("effect = { max_sessions = 2 }", Effect::MaxSessions(2)),
            (
                "effect = { flags = [\"CKF_USER_PIN_FINAL_TRY\"] }",
                Effect::Flags(0x2_0000),
            ),
        ] {
            assert_eq!(rule(text).unwrap().effect, effect, "{text}");
        }
    }

    #[test]
    fn the_rules_that_the_readme_shows_are_rules() {
        let readme = include_str!("../README.md");
        let mut blocks = vec![String::new()];
        for line in readme.lines() {
            match line.strip_prefix("    ") {
                Some(code) => {
                    let block = blocks.last_mut().unwrap();
                    block.push_str(code);
                    block.push('\n');
                }
                None if line.is_empty() => {}
                None => blocks.push(String::new()),
            }
        }
        blocks.retain(|block| block.starts_with("[[fault]]"));
        assert_eq!(blocks.len(), 4, "{blocks:?}");
        let rules = |text: &String| {
            Control::parse(&format!("{HEAD}{text}"))
                .unwrap()
                .rules
                .len()
        };
        let counts: Vec<usize> = blocks.iter().map(rules).collect();
        assert_eq!(counts, [1, 1, 1, 2]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (text, word) in [
            (
                "calls = [\"C_Sign\"]\neffect = { return = \"CKR_OK\" }",
                "CKR_OK",
            ),
            (
                "calls = [\"C_Sing\"]\neffect = \"pass\"",
                "C_Sing is no function",
            ),
            ("effect = \"pass\"", "names no call"),
            ("calls = [\"C_Sign\"]\neffect = \"remove\"", "no `calls`"),
            (
                "calls = [\"C_Sign\"]\neffect = { signature = \"bit\" }",
                "no `calls`",
            ),
            ("first = 1\neffect = \"remove\"", "no count"),
            (
                "calls = [\"C_Sign\"]\nfirst = 1\nevery = 2\neffect = \"pass\"",
                "one of",
            ),
            (
                "calls = [\"C_Sign\"]\nfirst = 0\neffect = \"pass\"",
                "at least 1",
            ),
            ("calls = [\"C_Sign\"]\neffect = \"explode\"", "explode"),
            (
                "calls = [\"C_Sign\"]\ntimes = 1\neffect = \"pass\"",
                "times",
            ),
            ("effect = { flags = [\"CKF_RNG\"] }", "CKF_RNG"),
        ] {
            let said = rule(text).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
        for (text, word) in [
            ("module = \"m.so\"\nlog = \"/l\"", "whole path"),
            ("module = \"/m.so\"", "log"),
            ("module = \"/m.so\"\nlog = \"/l\"\ncolour = 1", "colour"),
            (
                "module = \"/m\"\nlog = \"/l\"\n[[fault]]\nname = \"A b\"\neffect = \"remove\"",
                "1-40",
            ),
        ] {
            let said = Control::parse(text).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
        let twice = "[[fault]]\nname = \"a\"\neffect = \"remove\"\n".repeat(2);
        let said = Control::parse(&format!("{HEAD}{twice}")).unwrap_err();
        assert!(said.contains("two faults"), "{said}");
    }
}
