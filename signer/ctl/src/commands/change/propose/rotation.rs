//! From one key to the next, one more beside the others, and the end of one.

use std::path::{Path, PathBuf};

use semops_objects::{
    change::{Addition, Attachment, AttachmentKind, KeyOperation, Operation, Rotation, Standing},
    key::{KeyId, Purpose},
};
use semops_pki::certificate::Certificate;

use super::{Asked, Wanted, json, key::the_one, moment::Moment};
use crate::{failure::Failure, files};

/// Which key follows which, and when.
#[derive(Debug, clap::Args)]
#[command(after_help = json())]
pub(super) struct Args {
    /// The key that signs until then: its id, the beginning of it, or the purpose of a single key
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    from: String,
    /// PEM of the new key's certificate, which names the key; of a chain, as `keys create` saves it, the first counts
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// When the new key begins to sign; whoever verifies must know it by then
    #[arg(long, value_name = "TIME")]
    activate_at: Moment,
    /// When the old key may sign no more, even what it has begun; not before the new one begins
    #[arg(long, value_name = "TIME")]
    retire_at: Moment,
    #[command(flatten)]
    asked: Asked,
}

/// Which key is to be destroyed, and when.
#[derive(Debug, clap::Args)]
#[command(after_help = json())]
pub(super) struct DestructionArgs {
    /// The key: its id, or the beginning of it
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    /// When; until then it can be called off
    #[arg(long, value_name = "TIME")]
    at: Moment,
    #[command(flatten)]
    asked: Asked,
}

/// Which key signs beside the others, and from when on.
#[derive(Debug, clap::Args)]
#[command(after_help = json())]
pub(super) struct AddArgs {
    /// What it is to sign: device-ca, signing-ca, authorization, ocsp, audit or statement
    #[arg(value_name = "PURPOSE")]
    purpose: Purpose,
    /// PEM of the key's certificate, which names the key; of a chain, as `keys create` saves it, the first counts
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// When it begins to sign; whoever verifies must know it by then
    #[arg(long, value_name = "TIME")]
    activate_at: Moment,
    #[command(flatten)]
    asked: Asked,
}

/// Which rotation, or addition, is not to be.
#[derive(Debug, clap::Args)]
#[command(after_help = json())]
pub(super) struct CallOffArgs {
    /// The key that was to sign: its id, or the beginning of it
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    to: String,
    #[command(flatten)]
    asked: Asked,
}

/// What it is to be, by the words of the command line.
pub(super) enum Draft<'a> {
    Rotation {
        args: &'a Args,
        certificate: Box<Certificate>,
    },
    Destruction(&'a DestructionArgs),
    Addition {
        args: &'a AddArgs,
        certificate: Box<Certificate>,
    },
    CallOff(&'a CallOffArgs),
}

/// The first certificate of a file.
fn of_new_key(file: &Path) -> Result<Certificate, Failure> {
    let pem = files::read_text(file)?;
    let chain = Certificate::chain_from_pem(&pem).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", file.display()),
            "name the PEM of the new key's certificate: `semopsctl keys create` saves it",
        )
    })?;
    chain.into_iter().next().ok_or_else(|| {
        Failure::usage(
            format!("{}: no certificate in it", file.display()),
            "name the PEM of the new key's certificate: `semopsctl keys create` saves it",
        )
    })
}

impl AddArgs {
    pub(super) fn draft(&self) -> Result<(&Asked, super::Draft<'_>), Failure> {
        let draft = Draft::Addition {
            args: self,
            certificate: Box::new(of_new_key(&self.certificate)?),
        };
        Ok((&self.asked, super::Draft::Rotation(draft)))
    }
}

impl Args {
    pub(super) fn draft(&self) -> Result<(&Asked, super::Draft<'_>), Failure> {
        let certificate = of_new_key(&self.certificate)?;
        let draft = Draft::Rotation {
            args: self,
            certificate: Box::new(certificate),
        };
        Ok((&self.asked, super::Draft::Rotation(draft)))
    }
}

impl DestructionArgs {
    pub(super) fn draft(&self) -> (&Asked, super::Draft<'_>) {
        let draft = super::Draft::Rotation(Draft::Destruction(self));
        (&self.asked, draft)
    }
}

impl CallOffArgs {
    pub(super) fn draft(&self) -> (&Asked, super::Draft<'_>) {
        let draft = super::Draft::Rotation(Draft::CallOff(self));
        (&self.asked, draft)
    }
}

fn attached(certificate: &Certificate) -> Vec<Attachment> {
    vec![Attachment {
        kind: AttachmentKind::Certificate,
        content: certificate.to_pem(),
    }]
}

impl Draft<'_> {
    pub(super) fn on(self, standing: &Standing, now: u64) -> Result<Wanted, Failure> {
        Ok(match self {
            Self::Rotation { args, certificate } => Wanted {
                operation: Operation::RotateKey(Rotation {
                    from: the_one(standing, &args.from)?,
                    to: KeyId::of(certificate.public_key()),
                    certificate: certificate.sha256(),
                    activate_at: args.activate_at.seconds(now),
                    retire_at: args.retire_at.seconds(now),
                }),
                attachments: attached(&certificate),
            },
            Self::Destruction(args) => Wanted {
                operation: Operation::Key {
                    operation: KeyOperation::ScheduleDestruction {
                        at: args.at.seconds(now),
                    },
                    key: the_one(standing, &args.key)?,
                },
                attachments: Vec::new(),
            },
            Self::Addition { args, certificate } => Wanted {
                operation: Operation::AddKey(Addition {
                    purpose: args.purpose,
                    key: KeyId::of(certificate.public_key()),
                    certificate: certificate.sha256(),
                    activate_at: args.activate_at.seconds(now),
                }),
                attachments: attached(&certificate),
            },
            Self::CallOff(args) => Wanted {
                operation: Operation::CallOffRotation {
                    to: the_one(standing, &args.to)?,
                },
                attachments: Vec::new(),
            },
        })
    }
}
