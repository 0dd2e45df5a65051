//! Owns the supervisors' handles: how tokens and their worker processes are watched, and how they end.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::Sender;
use semops_objects::institution::InstitutionId;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::Settings;
use super::error::StopError;
use super::health::Health;
use super::pin::Pins;
use super::report::TokenReport;
use super::token::{Gauges, TokenPool};

/// The half that ends the worker processes. If it is dropped instead, they are killed.
pub struct Monitor {
    tokens: Vec<Watched>,
    stop: Option<Sender<Infallible>>,
    patience: Arc<OnceLock<Instant>>,
    watch: Watch,
    settings: Arc<Settings>,
}

/// How the tokens fare, for as many as want to know. It can do nothing to them.
#[derive(Clone)]
pub struct Watch {
    tokens: Arc<[Arc<TokenPool>]>,
}

/// How one token fares.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// Whose it is.
    pub institution: InstitutionId,
    /// Its CKA_LABEL.
    pub label: String,
    /// What was found at its start; nothing before a worker process has come to serve it.
    pub report: Option<TokenReport>,
    /// How it fares.
    pub health: Health,
    /// What is counted.
    pub gauges: Gauges,
}

/// A token and its supervisors.
pub(super) struct Watched {
    pub(super) token: Arc<TokenPool>,
    pub(super) threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Of no token: those of unit tests are in memory and have nothing to watch.
    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        Self { tokens: [].into() }
    }

    /// What was found at start, one report per token.
    pub fn reports(&self) -> impl Iterator<Item = &TokenReport> {
        self.tokens.iter().filter_map(|token| token.report.get())
    }

    /// How the tokens fare now, in the order of the configuration.
    pub fn views(&self) -> impl Iterator<Item = TokenView> {
        self.tokens.iter().map(|token| TokenView {
            institution: token.institution.clone(),
            label: token.label.clone(),
            report: token.report.get().cloned(),
            health: token.health(),
            gauges: token.gauges(),
        })
    }

    /// Those of one institution.
    pub fn of(&self, institution: &InstitutionId) -> Vec<TokenView> {
        let views = self.views();
        views
            .filter(|view| view.institution == *institution)
            .collect()
    }
}

impl Monitor {
    pub(super) fn new(
        tokens: Vec<Watched>,
        stop: Sender<Infallible>,
        patience: Arc<OnceLock<Instant>>,
        settings: Arc<Settings>,
    ) -> Self {
        let pools = tokens.iter().map(|watched| Arc::clone(&watched.token));
        let watch = Watch {
            tokens: pools.collect(),
        };
        Self {
            tokens,
            stop: Some(stop),
            patience,
            watch,
            settings,
        }
    }

    /// The way to change their PINs.
    pub fn pins(&self) -> Pins {
        Pins {
            tokens: Arc::clone(&self.watch.tokens),
            settings: Arc::clone(&self.settings),
        }
    }

    /// How the tokens fare; it outlives the monitor, and then says what was last.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Ends the worker processes after the call that each thread is in, answers what still waits with
    /// [`super::HsmError::Stopped`], has every session closed and C_Finalize made last.
    ///
    /// # Errors
    /// [`StopError::Hung`] if `deadline` passes first. What is left is then killed.
    pub async fn stop(mut self, deadline: Instant) -> Result<(), StopError> {
        self.tell(deadline);
        let tokens = std::mem::take(&mut self.tokens);
        let (finished, finish) = oneshot::channel();
        let ending = move || {
            join(tokens);
            // The deadline may have passed; then nobody waits for this.
            let _ = finished.send(());
        };
        thread::Builder::new()
            .name("hsm-stop".to_owned())
            .spawn(ending)
            .map_err(|error| StopError::Thread(error.kind()))?;
        match timeout_at(deadline.into(), finish).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let tokens = self.watch.tokens.iter();
                let left = tokens.filter(|token| token.gauges().threads > 0);
                let names = left.map(|token| token.label.clone());
                Err(StopError::Hung(names.collect()))
            }
        }
    }

    /// Ends what was begun of a start that failed. Blocks.
    pub(super) fn end(mut self) {
        self.tell(Instant::now());
        join(std::mem::take(&mut self.tokens));
    }

    fn tell(&mut self, deadline: Instant) {
        // It is set once: the first to say when is whoever ends it.
        let _ = self.patience.set(deadline);
        for token in self.watch.tokens.iter() {
            token.stop();
        }
        self.stop = None;
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.tell(Instant::now());
    }
}

/// Waits for the supervisors, which wait for their processes.
fn join(tokens: Vec<Watched>) {
    for Watched { token, threads } in tokens {
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(institution = %token.institution, "a supervisor panicked");
            }
        }
    }
}
