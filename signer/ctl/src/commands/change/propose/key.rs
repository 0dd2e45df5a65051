//! Another state of a key.

use semops_objects::{
    change::{KeyLife, KeyOperation, Operation, Standing},
    key::KeyId,
};

use super::{Asked, Wanted, json};
use crate::failure::Failure;

/// Which key, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = json())]
pub(super) struct Args {
    /// The key: its id, the beginning of its id as far as no other begins so, or the purpose of a single key
    /// (device-ca, signing-ca, authorization, ocsp, audit, statement)
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    #[command(flatten)]
    asked: Asked,
}

/// What to do with the key of these words.
pub(super) struct Draft<'a> {
    operation: KeyOperation,
    key: &'a str,
}

impl Args {
    pub(super) fn draft(&self, operation: KeyOperation) -> (&Asked, super::Draft<'_>) {
        let draft = Draft {
            operation,
            key: &self.key,
        };
        (&self.asked, super::Draft::Key(draft))
    }
}

impl Draft<'_> {
    pub(super) fn on(self, standing: &Standing) -> Result<Wanted, Failure> {
        Ok(Wanted {
            operation: Operation::Key {
                operation: self.operation,
                key: the_one(standing, self.key)?,
            },
            attachments: Vec::new(),
        })
    }
}

/// The only key with this purpose, or an id that begins so.
pub(in crate::commands) fn the_one(standing: &Standing, wanted: &str) -> Result<KeyId, Failure> {
    let meant = |(key, life): &(KeyId, &KeyLife)| {
        life.purpose().name() == wanted || key.to_string().starts_with(wanted)
    };
    let mut found = standing.keys().filter(meant).map(|(key, _)| key);
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(Failure::usage(
            format!("several keys are meant by {wanted}"),
            "give more of the key's id: `semopsctl keys` lists them, --json has them whole",
        )),
        (None, _) => Err(Failure::usage(
            format!("the verified history knows no key {wanted}"),
            "`semopsctl keys` lists the keys of your institution; one that no change brought in cannot be changed",
        )),
    }
}
