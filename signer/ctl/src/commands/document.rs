//! `policy`, `callers`, `custodians` and the document part of `trust`: an institution's documents, shown and compared.
//!
//! A document is named by the SHA-256 of its exact bytes. The digest is computed again here, so that what is shown is
//! what authorizations and audit events name.

mod diff;
mod show;
mod versions;

use clap::Subcommand;
use semops_pki::algorithm::sha256;
use semops_proto::{
    client::Client,
    v1::{DocumentKind, DocumentVersion, GetDocumentRequest},
};
use serde_json::{Value, json};

use super::device::name_of;
use crate::{
    failure::Failure,
    output::{
        Report,
        text::{hexadecimal, utc},
    },
};

/// What to do with the document.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What can be done with a document.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it as it was loaded, or save it
    Show(show::Args),
    /// List its versions
    Versions(versions::Args),
    /// Compare it with a file, or two of its versions with each other
    Diff(diff::Args),
}

/// Does it with the document of this kind.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, kind: DocumentKind, client: &Client) -> Result<Report, Failure> {
    args.command.run(kind, client).await
}

impl Command {
    pub(super) async fn run(&self, kind: DocumentKind, client: &Client) -> Result<Report, Failure> {
        match self {
            Self::Show(args) => show::run(args, kind, client).await,
            Self::Versions(args) => versions::run(args, kind, client).await,
            Self::Diff(args) => diff::run(args, kind, client).await,
        }
    }
}

/// A version of a document with its bytes, which have the digest that the service named.
struct Document {
    version: u64,
    sha256: String,
    loaded_at: i64,
    content: String,
}

impl Document {
    /// Version `version`, or the one in force for 0.
    async fn fetch(kind: DocumentKind, version: u64, client: &Client) -> Result<Self, Failure> {
        let request = GetDocumentRequest {
            kind: kind.into(),
            version,
        };
        let answer = client.get_document(request).await?;
        let named = answer
            .document
            .ok_or_else(|| Failure::bad_answer("the document's version is missing"))?;
        Self::checked(kind, version, &named, answer.content)
    }

    fn checked(
        kind: DocumentKind,
        wanted: u64,
        named: &DocumentVersion,
        content: Vec<u8>,
    ) -> Result<Self, Failure> {
        if named.kind() != kind || (wanted != 0 && named.version != wanted) {
            return Err(Failure::bad_answer("another document than asked for"));
        }
        let computed = sha256(&content);
        if named.sha256 != computed {
            return Err(Failure::untrue(format!(
                "the bytes of version {} have the SHA-256 {}, but the service names them {}",
                named.version,
                hexadecimal(&computed),
                hexadecimal(&named.sha256)
            )));
        }
        Ok(Self {
            version: named.version,
            sha256: hexadecimal(&computed),
            loaded_at: named.loaded_at,
            content: String::from_utf8(content)
                .map_err(|_| Failure::bad_answer("the document is not text"))?,
        })
    }
}

/// `policy`, `trust`, `callers` or `custodians`: the name of the command and of the operator's.
pub(super) fn word(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Policy => "policy",
        DocumentKind::Trust => "trust",
        DocumentKind::Callers => "callers",
        DocumentKind::Custodians => "custodians",
        DocumentKind::Unspecified => name_of(kind.as_str_name(), "DOCUMENT_KIND_"),
    }
}

/// A version for programs.
pub(super) fn version_json(named: &DocumentVersion) -> Value {
    json!({
        "version": named.version,
        "sha256": hexadecimal(&named.sha256),
        "loaded_at": named.loaded_at,
    })
}

/// A version as cells: its number, when it was loaded, its digest.
pub(super) fn version_cells(named: &DocumentVersion) -> [String; 3] {
    [
        named.version.to_string(),
        utc(named.loaded_at),
        hexadecimal(&named.sha256),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn named(content: &[u8]) -> DocumentVersion {
        DocumentVersion {
            kind: DocumentKind::Policy.into(),
            version: 3,
            sha256: sha256(content).to_vec(),
            loaded_at: 0,
        }
    }

    #[test]
    fn the_bytes_must_have_the_digest_that_names_them() {
        let (kind, good) = (DocumentKind::Policy, b"version = 3\n".to_vec());
        for wanted in [0, 3] {
            let document = Document::checked(kind, wanted, &named(&good), good.clone()).unwrap();
            assert_eq!(document.content, "version = 3\n");
            assert_eq!(document.sha256.len(), 64);
        }
        let bad = b"version = 4\n".to_vec();
        let Err(Failure::BadAnswer { message, advice }) =
            Document::checked(kind, 0, &named(&good), bad)
        else {
            unreachable!("a digest that is not true was taken");
        };
        assert!(message.contains("SHA-256"), "{message}");
        assert!(advice.contains("do not rely"), "{advice}");
    }

    #[test]
    fn another_document_is_no_answer() {
        let good = b"version = 3\n";
        for (kind, wanted) in [(DocumentKind::Trust, 3), (DocumentKind::Policy, 2)] {
            let taken = Document::checked(kind, wanted, &named(good), good.to_vec());
            assert!(matches!(taken, Err(Failure::BadAnswer { .. })));
        }
        let binary = b"\xff\xfe";
        let taken = Document::checked(DocumentKind::Policy, 3, &named(binary), binary.to_vec());
        assert!(matches!(taken, Err(Failure::BadAnswer { .. })));
    }
}
