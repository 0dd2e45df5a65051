//! `versions`: every version of a document, newest first.

use semops_proto::{
    client::Client,
    v1::{DocumentKind, DocumentVersion, ListDocumentVersionsRequest},
};
use serde_json::{Value, json};

use super::{version_cells, version_json, word};
use crate::{
    failure::Failure,
    output::{
        Report,
        table::{Column, Table},
    },
};

const JSON: &str = "JSON: {\"document\": \"policy\" | \"trust\" | \"callers\" | \"custodians\", \"versions\": [{\"version\", \"sha256\" (hexadecimal), \"loaded_at\" (Unix seconds)}]}, \
                    newest first: the first is in force";

/// Nothing to choose.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {}

pub(super) async fn run(_: &Args, kind: DocumentKind, client: &Client) -> Result<Report, Failure> {
    let mut versions = Vec::new();
    let mut below = 0;
    loop {
        let request = ListDocumentVersionsRequest {
            kind: kind.into(),
            below,
        };
        let page = client.list_document_versions(request).await?.documents;
        below = lowest(kind, below, &page)?;
        versions.extend(page);
        if below <= 1 {
            return Ok(report(kind, &versions));
        }
    }
}

/// The lowest version of a page whose versions descend from `below`; 0 if there is none.
fn lowest(kind: DocumentKind, below: u64, page: &[DocumentVersion]) -> Result<u64, Failure> {
    let mut above = if below == 0 { u64::MAX } else { below };
    for version in page {
        if version.kind() != kind || version.version == 0 || version.version >= above {
            return Err(Failure::bad_answer("the versions are not in order"));
        }
        above = version.version;
    }
    Ok(page.last().map_or(0, |version| version.version))
}

fn report(kind: DocumentKind, versions: &[DocumentVersion]) -> Report {
    let columns = [
        Column::number("VERSION"),
        Column::whole("LOADED"),
        Column::long("SHA256"),
    ];
    let table = versions.iter().fold(Table::new(columns), |table, version| {
        table.row(version_cells(version))
    });
    let json: Vec<Value> = versions.iter().map(version_json).collect();
    let word = word(kind);
    let report = Report::new(json!({"document": word, "versions": json}));
    let Some(newest) = versions.first() else {
        return report
            .row("versions", "0")
            .next("the ceremony brings the first one: signer change load FILE");
    };
    let report = report
        .table(table)
        .row("in force", format!("version {}", newest.version));
    match versions.get(1) {
        Some(before) => report.next(format!(
            "what changed last: semopsctl {word} diff --versions {} {}",
            before.version, newest.version
        )),
        None => report,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::output::Form;

    const KIND: DocumentKind = DocumentKind::Policy;

    fn versions(numbers: &[u64]) -> Vec<DocumentVersion> {
        let version = |version: &u64| DocumentVersion {
            kind: KIND.into(),
            version: *version,
            sha256: vec![0xab; 32],
            loaded_at: 0,
        };
        numbers.iter().map(version).collect()
    }

    #[test]
    fn pages_descend_or_are_refused() {
        assert_eq!(lowest(KIND, 0, &versions(&[9, 8, 3])).unwrap(), 3);
        assert_eq!(lowest(KIND, 3, &versions(&[2, 1])).unwrap(), 1);
        assert_eq!(lowest(KIND, 3, &[]).unwrap(), 0);
        for (below, page) in [(3, &[3][..]), (0, &[2, 2]), (0, &[1, 2]), (0, &[0])] {
            assert!(lowest(KIND, below, &versions(page)).is_err(), "{page:?}");
        }
        assert!(lowest(DocumentKind::Trust, 0, &versions(&[1])).is_err());
    }

    #[test]
    fn the_newest_is_in_force() {
        let shown = report(KIND, &versions(&[12, 1])).render(Form::Lines { columns: 80 });
        let half = "ab".repeat(12);
        assert_eq!(
            shown,
            format!(
                "VERSION  LOADED                SHA256\n     \
                 12  1970-01-01T00:00:00Z  {half}…{half}\n      \
                 1  1970-01-01T00:00:00Z  {half}…{half}\n\n\
                 in force  version 12\n\
                 next      what changed last: semopsctl policy diff --versions 1 12\n"
            )
        );
        let none = report(KIND, &[]).render(Form::Lines { columns: 80 });
        assert!(none.contains("signer change load FILE"), "{none}");
    }
}
