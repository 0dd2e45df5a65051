//! Owns the start: settings checked, module initialised, every token probed, then the threads. Whatever fails,
//! what was begun is undone, for a module that is initialised cannot be initialised again.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::error::StartError;
use super::module::Module;
use super::monitor::{Monitor, Watched, end};
use super::pool::TokenPool;
use super::probe::{Probed, call, probe};
use super::worker::Worker;
use super::{Keys, Settings, Signer, Token, Tokens};
use crate::metrics::{Metrics, TokenMeter};

/// Loads the module, probes each token with its keys and starts its threads. Blocks; one at a time per process.
///
/// # Errors
/// [`StartError`], naming the call, the token, the return value and what to try.
pub fn start(
    settings: Settings,
    tokens: Vec<Token>,
    metrics: &Metrics,
) -> Result<(Signer, Keys, Monitor), StartError> {
    check(&settings, &tokens)?;
    let module = Module::initialize(&settings.module)
        .map_err(|failure| call(&settings.module.display().to_string(), failure))?;
    let module = Arc::new(module);
    let mut watched = Vec::new();
    let (stop, stopped) = bounded::<Infallible>(0);
    // No thread runs while the tokens are probed.
    let probed: Result<Vec<Probed>, StartError> = tokens
        .into_iter()
        .map(|token| probe(&module, &settings.module, settings.threads, token))
        .collect();
    let started = probed.and_then(|probed| {
        for token in probed {
            let meter = metrics.token(&token.report.institution);
            launch(&module, &settings, token, meter, &stopped, &mut watched)?;
        }
        Ok(())
    });
    if let Err(error) = started {
        drop(stop);
        if let Err(fault) = end(&module, watched) {
            tracing::warn!(%fault, "after a failed start");
        }
        return Err(error);
    }
    let pools = watched.iter().map(|watched| Arc::clone(&watched.token));
    let tokens = Arc::new(Tokens::Pools(pools.collect()));
    let signer = Signer {
        tokens: Arc::clone(&tokens),
    };
    Ok((signer, Keys { tokens }, Monitor::new(module, watched, stop)))
}

fn check(settings: &Settings, tokens: &[Token]) -> Result<(), StartError> {
    let refuse = |text: String| Err(StartError::Settings(text));
    if settings.threads == 0 || settings.queue == 0 {
        return refuse("`threads` and `queue` must be at least 1".to_owned());
    }
    let (mut labels, mut institutions) = (HashSet::new(), HashSet::new());
    for token in tokens {
        if !labels.insert(&token.label) {
            let label = &token.label;
            return refuse(format!(
                "two institutions name the token \"{label}\"; each has its own"
            ));
        }
        if !institutions.insert(&token.institution) {
            let institution = &token.institution;
            return refuse(format!("institution {institution} is given twice"));
        }
    }
    Ok(())
}

/// Starts the threads of one token; whatever has begun is added to `watched`, whether or not all of it did.
fn launch(
    module: &Arc<Module>,
    settings: &Settings,
    probed: Probed,
    meter: TokenMeter,
    stopped: &Receiver<Infallible>,
    watched: &mut Vec<Watched>,
) -> Result<(), StartError> {
    let Probed {
        login,
        slot,
        report,
    } = probed;
    let on = format!("token \"{}\" (slot {})", report.label, report.slot);
    let (sender, jobs) = bounded(settings.queue);
    let count = report.threads;
    let token = TokenPool::new(report, Arc::clone(module), slot, login, sender, meter);
    let token = Arc::new(token);
    let mut threads = Vec::new();
    let mut all = || {
        for index in 0..count {
            let name = token.thread_name(index);
            let worker = Worker::new(Arc::clone(&token), index, jobs.clone(), stopped.clone())
                .map_err(|failure| call(&on, failure))?;
            let alive = token.thread();
            let thread = thread::Builder::new().name(name).spawn(move || {
                let _alive = alive;
                worker.run();
            });
            threads.push(thread.map_err(StartError::Thread)?);
        }
        Ok(())
    };
    let outcome = all();
    watched.push(Watched { token, threads });
    outcome
}
