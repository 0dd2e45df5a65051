//! Owns the PINs of the tokens while the service serves: SIGHUP has their files read again, and what is new is tried once.

use std::path::PathBuf;

use tokio::{signal::unix::Signal, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    config::{self, TokenPin},
    hsm::{self, NewPin},
};

/// Where the PIN files are named, and how a PIN is changed.
pub(super) struct Pins {
    file: PathBuf,
    tokens: hsm::Pins,
}

impl Pins {
    /// Those of the configuration `file`.
    pub(super) fn new(file: PathBuf, tokens: hsm::Pins) -> Self {
        Self { file, tokens }
    }

    /// Reads them again at each SIGHUP until `stop`.
    pub(super) async fn renew(self, mut hangup: Signal, stop: CancellationToken) {
        let renewal = async {
            while hangup.recv().await.is_some() {
                self.read_again().await;
            }
        };
        stop.run_until_cancelled(renewal).await;
    }

    async fn read_again(&self) {
        let (file, tokens) = (self.file.clone(), self.tokens.clone());
        let changed = spawn_blocking(move || match config::token_pins(&file) {
            Ok(read) => read.into_iter().for_each(|pin| change(&tokens, pin)),
            Err(mistakes) => {
                for mistake in mistakes.0 {
                    error!(%mistake, "SIGHUP: the PINs in use stay");
                }
            }
        });
        if let Err(error) = changed.await {
            error!(%error, "SIGHUP: the PINs in use stay");
        }
    }
}

fn change(tokens: &hsm::Pins, read: TokenPin) {
    let TokenPin {
        institution,
        token,
        pin,
    } = read;
    match tokens.change(&institution, &token, pin) {
        Ok(NewPin::Same) => {}
        Ok(NewPin::Taken) => info!(
            %institution, token,
            "SIGHUP: the token takes the new PIN, and every worker process has been replaced by one that is told no other"
        ),
        Ok(NewPin::Spreading) => error!(
            %institution, token,
            "SIGHUP: the token takes the new PIN; not every worker process is replaced yet"
        ),
        Err(error) => error!(
            %institution, token, %error,
            "SIGHUP: the PIN in use stays. Put the token's PIN into its file: the next start would send what stands there"
        ),
    }
}
