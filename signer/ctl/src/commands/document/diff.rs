//! `diff`: whether two documents are the same by their digests, and if not, which lines differ.

use std::path::PathBuf;

use semops_pki::algorithm::sha256;
use semops_proto::{client::Client, v1::DocumentKind};
use serde_json::{Value, json};

use super::{Document, word};
use crate::{
    failure::Failure,
    files,
    output::{
        Report,
        difference::{Text, unified},
        text::hexadecimal,
    },
};

const JSON: &str = "JSON: {\"document\": \"policy\" | \"trust\" | \"callers\" | \"custodians\", \"same\" (by SHA-256), \"old\" and \"new\": {\"version\" or null, \"file\" or null, \
                    \"sha256\" (hexadecimal)}, \"diff\" (unified, empty if the same)}. The exit code is 0 if they are the same, \
                    else 5";

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

    fn text(&self) -> Text<'_> {
        Text {
            name: &self.name,
            content: &self.content,
        }
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
        unified(old.text(), new.text())
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
