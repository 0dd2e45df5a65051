//! Owns the supervisors' handles: how tokens and their worker processes are watched, and how they end.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::Sender;
use semops_objects::institution::InstitutionId;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::error::StopError;
use super::health::Health;
use super::report::TokenReport;
use super::token::{Gauges, TokenPool};

/// The half that ends the worker processes. If it is dropped instead, they are killed.
pub struct Monitor {
    tokens: Vec<Watched>,
    stop: Option<Sender<Infallible>>,
    patience: Arc<OnceLock<Instant>>,
    watch: Watch,
}

/// How the tokens fare, for as many as want to know. It can do nothing to them.
#[derive(Clone)]
pub struct Watch {
    tokens: Arc<[Arc<TokenPool>]>,
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

    /// What was found at start of the institution's token; nothing if it has none.
    pub fn report(&self, institution: &InstitutionId) -> Option<TokenReport> {
        self.find(institution)?.report.get().cloned()
    }

    /// How the institution's token fares.
    pub fn health(&self, institution: &InstitutionId) -> Health {
        self.find(institution)
            .map_or(Health::Unknown, TokenPool::health)
    }

    /// What the metrics show of the institution's token; nothing if it has none.
    pub fn gauges(&self, institution: &InstitutionId) -> Option<Gauges> {
        Some(self.find(institution)?.gauges())
    }

    fn find(&self, institution: &InstitutionId) -> Option<&TokenPool> {
        let mut tokens = self.tokens.iter();
        let found = tokens.find(|token| token.institution == *institution)?;
        Some(found.as_ref())
    }
}

impl Monitor {
    pub(super) fn new(
        tokens: Vec<Watched>,
        stop: Sender<Infallible>,
        patience: Arc<OnceLock<Instant>>,
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
                let names = left.map(|token| token.institution.to_string());
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
