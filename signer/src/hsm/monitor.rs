//! Owns the threads' handles: how they are watched, and how they end.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::Sender;
use semops_objects::institution::InstitutionId;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::error::{Fault, StopError};
use super::health::Health;
use super::module::Module;
use super::pool::{Gauges, TokenPool};
use super::report::TokenReport;

/// The half that ends the threads. If it is dropped instead, the threads end, but the module is not finalised.
pub struct Monitor {
    module: Arc<Module>,
    tokens: Vec<Watched>,
    stop: Sender<Infallible>,
    watch: Watch,
}

/// How the tokens fare, for as many as want to know. It can do nothing to them.
#[derive(Clone)]
pub struct Watch {
    tokens: Arc<[Arc<TokenPool>]>,
}

/// A token and its threads.
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
        self.tokens.iter().map(|token| &token.report)
    }

    /// What was found at start of the institution's token; nothing if it has none.
    pub fn report(&self, institution: &InstitutionId) -> Option<TokenReport> {
        Some(self.find(institution)?.report.clone())
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
    pub(super) fn new(module: Arc<Module>, tokens: Vec<Watched>, stop: Sender<Infallible>) -> Self {
        let pools = tokens.iter().map(|watched| Arc::clone(&watched.token));
        let watch = Watch {
            tokens: pools.collect(),
        };
        Self {
            module,
            tokens,
            stop,
            watch,
        }
    }

    /// How the tokens fare; it outlives the monitor, and then says what was last.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Ends the threads after the call that each is in, answers what still waits with
    /// [`super::HsmError::Stopped`], closes every session and makes C_Finalize last.
    ///
    /// # Errors
    /// [`StopError::Hung`] if `deadline` passes first. C_Finalize is then made as soon as the last call
    /// returns, if the process lives that long.
    pub async fn stop(self, deadline: Instant) -> Result<(), StopError> {
        for watched in &self.tokens {
            watched.token.stop();
        }
        drop(self.stop);
        let module = self.module;
        let pools: Vec<_> = self.tokens.iter().map(|w| Arc::clone(&w.token)).collect();
        let (finished, finish) = oneshot::channel();
        let ending = move || {
            let result = end(&module, self.tokens);
            // The deadline may have passed; then nobody waits for this.
            let _ = finished.send(result);
        };
        thread::Builder::new()
            .name("hsm-stop".to_owned())
            .spawn(ending)
            .map_err(|error| StopError::Thread(error.kind()))?;
        match timeout_at(deadline.into(), finish).await {
            Ok(Ok(result)) => result.map_err(StopError::Finalize),
            Ok(Err(_)) | Err(_) => Err(StopError::Hung(
                pools.iter().flat_map(|p| p.in_call()).collect(),
            )),
        }
    }
}

/// Waits for every thread, then closes what is left and finalises the module.
pub(super) fn end(module: &Module, tokens: Vec<Watched>) -> Result<(), Fault> {
    for Watched { token, threads } in tokens {
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(institution = %token.institution, "an HSM thread panicked");
            }
        }
        token.login.close(&token.module);
    }
    module.finalize().map_err(|failure| failure.fault)
}
