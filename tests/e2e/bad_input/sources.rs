//! The scenarios' own sources: which function mentions what, so that a row is shown by the test that it names and by no
//! other's good name.

use std::{collections::BTreeMap, fs};

use e2e::{failure::Failure, programs};

/// The functions of a module of this test program, by name, with their text.
pub(crate) struct Functions(BTreeMap<String, String>);

impl Functions {
    /// Those of `path`, such as `bad_input::outages`.
    pub(crate) fn of(path: &str) -> Result<Self, Failure> {
        let file = format!("tests/e2e/{}.rs", path.replace("::", "/"));
        let text = fs::read_to_string(programs::workspace().join(&file))
            .map_err(Failure::during(&file))?;
        Ok(Self(functions(&text)))
    }

    /// Whether the text of `name`, or of what it calls in its module, has this word.
    pub(crate) fn mentions(&self, name: &str, word: &str) -> bool {
        let (mut open, mut seen) = (vec![name], Vec::new());
        while let Some(name) = open.pop() {
            let Some(text) = self.0.get(name).filter(|_| !seen.contains(&name)) else {
                continue;
            };
            if words(text).any(|found| found == word) {
                return true;
            }
            seen.push(name);
            open.extend(
                words(text).filter_map(|word| Some(self.0.get_key_value(word)?.0.as_str())),
            );
        }
        false
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// As rustfmt leaves them: from `fn` to the brace below its first letter.
fn functions(text: &str) -> BTreeMap<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = BTreeMap::new();
    for (start, line) in lines.iter().enumerate() {
        let depth = line.len() - line.trim_start().len();
        let Some((before, after)) = line.split_once("fn ") else {
            continue;
        };
        if !before
            .trim()
            .split(' ')
            .all(|word| ["", "pub", "async", "const"].contains(&word) || word.starts_with("pub("))
        {
            continue;
        }
        let name: String = words(after).next().unwrap_or_default().to_owned();
        let end = format!("{}}}", " ".repeat(depth));
        let body: Vec<&str> = lines
            .iter()
            .skip(start)
            .take_while(|line| **line != end)
            .copied()
            .collect();
        found.insert(name, body.join("\n"));
    }
    found
}

#[test]
fn a_word_is_found_in_a_function_and_below() {
    let text = "pub(super) async fn a() {\n    b(ONE)?;\n}\n\nimpl X {\n    fn b(x: Y) {\n        two(TWO);\n    }\n}\n\nfn c() {\n    THREE\n}\n";
    let functions = Functions(functions(text));
    assert_eq!(functions.0.len(), 3);
    let found: Vec<bool> = ["ONE", "TWO", "THREE", "TW"]
        .iter()
        .map(|word| functions.mentions("a", word))
        .collect();
    assert_eq!(found, [true, true, false, false]);
    assert!(!functions.mentions("none", "ONE"));
}
