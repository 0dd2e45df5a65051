//! From one key to the next.

use std::path::PathBuf;

use semops_objects::{
    change::{Attachment, AttachmentKind, Operation, Rotation, Standing},
    key::KeyId,
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

/// Which rotation is not to be.
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
    CallOff(&'a CallOffArgs),
}

impl Args {
    pub(super) fn draft(&self) -> Result<(&Asked, super::Draft<'_>), Failure> {
        let pem = files::read_text(&self.certificate)?;
        let chain = Certificate::chain_from_pem(&pem).map_err(|error| {
            Failure::usage(
                format!("{}: {error}", self.certificate.display()),
                "name the PEM of the new key's certificate: `semopsctl keys create` saves it",
            )
        })?;
        let certificate = chain.into_iter().next().ok_or_else(|| {
            Failure::usage(
                format!("{}: no certificate in it", self.certificate.display()),
                "name the PEM of the new key's certificate: `semopsctl keys create` saves it",
            )
        })?;
        let draft = Draft::Rotation {
            args: self,
            certificate: Box::new(certificate),
        };
        Ok((&self.asked, super::Draft::Rotation(draft)))
    }
}

impl CallOffArgs {
    pub(super) fn draft(&self) -> (&Asked, super::Draft<'_>) {
        let draft = super::Draft::Rotation(Draft::CallOff(self));
        (&self.asked, draft)
    }
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
                attachments: vec![Attachment {
                    kind: AttachmentKind::Certificate,
                    content: certificate.to_pem(),
                }],
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
