//! `diff`: whether two documents are the same by their digests, and if not, which lines differ.

use std::{path::PathBuf, time::Duration};

use semops_pki::algorithm::sha256;
use semops_proto::{client::Client, v1::DocumentKind};
use serde_json::{Value, json};
use similar::TextDiff;

use super::{Document, word};
use crate::{
    failure::Failure,
    files,
    output::{Report, printable, text::hexadecimal},
};

const JSON: &str = "JSON: {\"document\": \"policy\" | \"trust\" | \"callers\", \"same\" (by SHA-256), \"old\" and \"new\": {\"version\" or null, \"file\" or null, \
                    \"sha256\" (hexadecimal)}, \"diff\" (unified, empty if the same)}. The exit code is 0 if they are the same, \
                    else 5";
/// Lines around a change.
const CONTEXT: usize = 3;
/// How long the shortest difference is looked for before a longer one is taken.
const EFFORT: Duration = Duration::from_secs(2);

/// What to compare.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// Compare the version in force (or --version) with this file, such as the next version before it is loaded
    #[arg(required_unless_present = "versions", conflicts_with = "versions")]
    file: Option<PathBuf>,
    /// Compare this version with the file, instead of the one in force
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "versions",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    version: Option<u64>,
    /// Compare version A with version B
    #[arg(
        long,
        num_args = 2,
        value_names = ["A", "B"],
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    versions: Option<Vec<u64>>,
}

/// One side of the comparison.
struct Side {
    name: String,
    version: Option<u64>,
    file: Option<String>,
    sha256: String,
    content: String,
}

pub(super) async fn run(
    args: &Args,
    kind: DocumentKind,
    client: &Client,
) -> Result<Report, Failure> {
    let (old, new) = match (args.versions.as_deref(), &args.file) {
        (Some([a, b]), _) => (
            Document::fetch(kind, *a, client).await?.into(),
            Document::fetch(kind, *b, client).await?.into(),
        ),
        (_, Some(path)) => {
            let new = Side::of_file(path.clone())?;
            let old = Document::fetch(kind, args.version.unwrap_or_default(), client).await?;
            (old.into(), new)
        }
        (_, None) => {
            return Err(Failure::usage(
                "there is nothing to compare with",
                "name a file, or --versions A B",
            ));
        }
    };
    Ok(report(kind, &old, &new))
}

impl From<Document> for Side {
    fn from(document: Document) -> Self {
        Self {
            name: format!("version {}", document.version),
            version: Some(document.version),
            file: None,
            sha256: document.sha256,
            content: document.content,
        }
    }
}

impl Side {
    fn of_file(path: PathBuf) -> Result<Self, Failure> {
        let content = files::read_text(&path)?;
        let name = path.display().to_string();
        Ok(Self {
            name: name.clone(),
            version: None,
            file: Some(name),
            sha256: hexadecimal(&sha256(content.as_bytes())),
            content,
        })
    }

    fn json(&self) -> Value {
        json!({"version": self.version, "file": self.file, "sha256": self.sha256})
    }
}

fn report(kind: DocumentKind, old: &Side, new: &Side) -> Report {
    let same = old.sha256 == new.sha256;
    let lines = if same {
        String::new()
    } else {
        unified(old, new)
    };
    let report = Report::new(json!({
        "document": word(kind),
        "same": same,
        "old": old.json(),
        "new": new.json(),
        "diff": lines,
    }))
    .row("document", word(kind))
    .row("digests", if same { "the same" } else { "differ" })
    .row("old", format!("{} {}", old.sha256, old.name))
    .row("new", format!("{} {}", new.sha256, new.name));
    if same {
        return report;
    }
    report.text(lines).differs()
}

/// The lines that differ, in the unified format of diff (POSIX XCU diff -U), what a terminal would obey escaped: a
/// difference of line ends or direction marks is seen.
fn unified(old: &Side, new: &Side) -> String {
    // Parted at line feeds alone, so that a lone carriage return is part of a line, as for every other program.
    let (before, after): (Vec<&str>, Vec<&str>) = (
        old.content.split_inclusive('\n').collect(),
        new.content.split_inclusive('\n').collect(),
    );
    let diff = TextDiff::configure()
        .timeout(EFFORT)
        .diff_slices(&before, &after);
    let mut out = format!(
        "--- {}\n+++ {}\n",
        printable(&old.name),
        printable(&new.name)
    );
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        out += &format!("{}\n", hunk.header());
        for change in hunk.iter_changes() {
            let line = change.value();
            let (line, end) = match line.strip_suffix('\n') {
                Some(line) => (line, ""),
                None => (line, "\n\\ No newline at end of file"),
            };
            out += &format!("{}{}{end}\n", change.tag(), printable(line));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::output::{Exit, Form};

    fn side(name: &str, content: &str) -> Side {
        Side {
            name: name.to_owned(),
            version: None,
            file: None,
            sha256: hexadecimal(&sha256(content.as_bytes())),
            content: content.to_owned(),
        }
    }

    #[test]
    fn the_difference_is_unified_with_three_lines_around() {
        let lines: Vec<String> = (1..=9).map(|n| format!("line {n}\n")).collect();
        let old = lines.concat();
        let new = old.replace("line 5\n", "line five\nand more\n");
        let text = unified(&side("version 1", &old), &side("next.toml", &new));
        assert_eq!(
            text,
            "--- version 1\n+++ next.toml\n@@ -2,7 +2,8 @@\n line 2\n line 3\n line 4\n-line 5\n\
             +line five\n+and more\n line 6\n line 7\n line 8\n"
        );
    }

    #[test]
    fn line_ends_and_hidden_characters_are_seen() {
        let text = unified(&side("a", "x\ny\n"), &side("b", "x\r\ny\u{202e}"));
        assert_eq!(
            text,
            "--- a\n+++ b\n@@ -1,2 +1,2 @@\n-x\n-y\n+x\\r\n+y\\u{202e}\n\\ No newline at end of file\n"
        );
        let lone = unified(&side("a", "x\ry\n"), &side("b", "x\ry"));
        assert_eq!(
            lone,
            "--- a\n+++ b\n@@ -1 +1 @@\n-x\\ry\n+x\\ry\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn digests_decide_and_the_exit_tells() {
        let (a, b) = (side("version 1", "x\n"), side("version 2", "y\n"));
        let same = report(DocumentKind::Policy, &a, &a);
        assert_eq!(same.exit(), Exit::Done);
        let json: Value = serde_json::from_str(&same.render(Form::Json)).unwrap();
        assert_eq!((&json["same"], &json["diff"]), (&json!(true), &json!("")));
        let other = report(DocumentKind::Policy, &a, &b);
        assert_eq!(other.exit(), Exit::Differs);
        let shown = other.render(Form::Lines { columns: 80 });
        assert!(shown.contains("\ndigests   differ\n"), "{shown}");
        assert!(shown.ends_with("@@ -1 +1 @@\n-x\n+y\n"), "{shown}");
    }
}
