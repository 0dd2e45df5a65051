//! Owns the start: settings checked, then for each token its worker processes with their supervisors. Whatever fails of an
//! institution's first token, what was begun is ended. A further one that does not serve is said loudly, and started again
//! and again beside the service.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::error::{Fault, StartError, WORKER};
use super::monitor::{Monitor, Watched};
use super::supervisor::Supervisor;
use super::token::TokenPool;
use super::{Keys, Settings, Signer, Token, Tokens};
use crate::domain::key::TOKENS;
use crate::metrics::Metrics;

/// How long the start of the service waits for a further token.
const FURTHER: Duration = Duration::from_secs(10);

/// Starts the worker processes of each token; each loads the module and probes its token and keys. Blocks.
///
/// # Errors
/// [`StartError`], naming the call, the token, the return value and what to try.
pub fn start(
    settings: Settings,
    tokens: Vec<Token>,
    metrics: &Metrics,
) -> Result<(Signer, Keys, Monitor), StartError> {
    check(&settings, &tokens)?;
    let settings = Arc::new(settings);
    let (stop, stopped) = bounded::<Infallible>(0);
    let mut launch = Launch {
        settings: Arc::clone(&settings),
        stopped,
        patience: Arc::new(OnceLock::new()),
        watched: Vec::new(),
    };
    let outcome = launch.all(tokens, metrics);
    let pools = launch.watched.iter().map(|one| Arc::clone(&one.token));
    let pools: Vec<Arc<TokenPool>> = pools.collect();
    let monitor = Monitor::new(launch.watched, stop, launch.patience, settings);
    if let Err(error) = outcome {
        monitor.end();
        return Err(error);
    }
    let tokens = Arc::new(Tokens::Pools(pools));
    let signer = Signer {
        tokens: Arc::clone(&tokens),
    };
    Ok((signer, Keys { tokens }, monitor))
}

fn check(settings: &Settings, tokens: &[Token]) -> Result<(), StartError> {
    let refuse = |text: String| Err(StartError::Settings(text));
    if settings.threads == 0 || settings.queue == 0 || settings.workers == 0 {
        return refuse("`threads`, `queue` and `workers` must be at least 1".to_owned());
    }
    let mut labels = HashSet::new();
    for token in tokens {
        if !labels.insert(&token.label) {
            let label = &token.label;
            return refuse(format!(
                "the token \"{label}\" is named twice; no two institutions share one"
            ));
        }
        let of_institution = |one: &&Token| one.institution == token.institution;
        if tokens.iter().filter(of_institution).count() > TOKENS {
            let institution = &token.institution;
            return refuse(format!("{institution} has more than {TOKENS} tokens"));
        }
    }
    Ok(())
}

/// What is being started.
struct Launch {
    settings: Arc<Settings>,
    stopped: Receiver<Infallible>,
    patience: Arc<OnceLock<Instant>>,
    watched: Vec<Watched>,
}

/// Where what came of a first start is told.
type First = Receiver<Result<(), StartError>>;

impl Launch {
    /// One process after the other: a wrong PIN is sent once, and some modules do not bear that one process looks for its
    /// token while another one logs in to theirs.
    fn all(&mut self, tokens: Vec<Token>, metrics: &Metrics) -> Result<(), StartError> {
        for token in tokens {
            let mut before = self.watched.iter().map(|one| &one.token.institution);
            let further = before.any(|institution| *institution == token.institution);
            let meter = metrics.token(&token.institution, &token.label);
            let pool = Arc::new(TokenPool::new(&self.settings, token, meter));
            self.watched.push(Watched {
                token: Arc::clone(&pool),
                threads: Vec::new(),
            });
            for place in 0..self.settings.workers {
                let (thread, first) = self.supervise(&pool, place, further)?;
                if let Some(watched) = self.watched.last_mut() {
                    watched.threads.push(thread);
                }
                if further {
                    waited(&pool, &first);
                } else {
                    heard(&pool, &first)?;
                }
            }
        }
        Ok(())
    }

    fn supervise(
        &self,
        pool: &Arc<TokenPool>,
        place: usize,
        further: bool,
    ) -> Result<(JoinHandle<()>, First), StartError> {
        let (first, heard) = bounded(1);
        let supervisor = Supervisor {
            token: Arc::clone(pool),
            place,
            settings: Arc::clone(&self.settings),
            stop: self.stopped.clone(),
            patience: Arc::clone(&self.patience),
            further,
            first,
        };
        let thread = thread::Builder::new().name(format!("hsm-{}-{place}", pool.institution));
        let thread = thread.spawn(move || supervisor.run());
        Ok((thread.map_err(StartError::Process)?, heard))
    }
}

/// What fails of a further token its supervisor says, and tries again.
fn waited(pool: &TokenPool, first: &First) {
    if matches!(first.recv_timeout(FURTHER), Err(RecvTimeoutError::Timeout)) {
        let (institution, token) = (&pool.institution, &pool.label);
        tracing::error!(%institution, token, "a further token does not serve yet; the service starts without it");
    }
}

fn heard(pool: &TokenPool, first: &First) -> Result<(), StartError> {
    first.recv().unwrap_or_else(|_| {
        Err(StartError::Ended {
            institution: pool.institution.clone(),
            fault: Fault::new(WORKER, "its supervisor has ended"),
        })
    })
}
