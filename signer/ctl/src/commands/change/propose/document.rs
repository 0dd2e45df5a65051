//! The next version of a document.

use std::path::{Path, PathBuf};

use semops_objects::{
    InstitutionId,
    change::{
        Attachment, AttachmentKind, Custodians, DocumentKind, DocumentName, Operation, Standing,
    },
};

use super::{Asked, Wanted, json};
use crate::{failure::Failure, files};

/// Which document, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = json())]
pub(super) struct Args {
    /// The document, TOML: its version is that in force plus one
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    asked: Asked,
}

/// A document as it is in its file.
pub(super) struct Draft {
    path: PathBuf,
    content: String,
    institution: InstitutionId,
    name: DocumentName,
    /// Whether the recovery key puts it in force, and not the custodians.
    recovery: bool,
}

impl Args {
    pub(super) fn draft(&self, kind: DocumentKind) -> Result<(&Asked, super::Draft<'_>), Failure> {
        Ok((&self.asked, super::Draft::Document(self.read(kind)?)))
    }

    /// A register of custodians by the recovery key.
    pub(super) fn recovery(&self) -> Result<(&Asked, super::Draft<'_>), Failure> {
        let draft = Draft {
            recovery: true,
            ..self.read(DocumentKind::Custodians)?
        };
        Ok((&self.asked, super::Draft::Document(draft)))
    }

    fn read(&self, kind: DocumentKind) -> Result<Draft, Failure> {
        let content = files::read_text(&self.file)?;
        let (institution, name) = DocumentName::of(kind, content.as_bytes())
            .map_err(|refusal| wrong(&self.file, &refusal))?;
        if kind == DocumentKind::Custodians {
            Custodians::parse(content.as_bytes()).map_err(|error| wrong(&self.file, &error))?;
        }
        Ok(Draft {
            path: self.file.clone(),
            content,
            institution,
            name,
            recovery: false,
        })
    }
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::usage(
        format!("{}: {error}", path.display()),
        "change what the message names",
    )
}

impl Draft {
    pub(super) fn on(self, standing: &Standing) -> Result<Wanted, Failure> {
        let former = standing.document(self.name.kind);
        let next = former.version.saturating_add(1);
        if self.institution != *standing.institution() {
            let of = &self.institution;
            let says = format!("it is of {of}, and you change {}", standing.institution());
            return Err(wrong(&self.path, &says));
        }
        if self.name.version != next {
            let says = format!("version = {}: the next one is {next}", self.name.version);
            return Err(wrong(&self.path, &says));
        }
        let DocumentName {
            version, sha256, ..
        } = self.name;
        let operation = if self.recovery {
            Operation::RecoverCustodians { version, sha256 }
        } else {
            Operation::Document(self.name)
        };
        Ok(Wanted {
            operation,
            attachments: vec![Attachment {
                kind: AttachmentKind::Document(self.name.kind),
                content: self.content,
            }],
        })
    }
}
