//! Owns the putting together of the service from its checked configuration: store, tokens, keys, use cases.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    num::NonZeroUsize,
    sync::Arc,
};

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{ServeError, end, keys, record, say};
use crate::{
    authority::{Authority, Setup, Tokens, dispensable_keys},
    clock::Clock,
    config::{Config, Hsm, Institution},
    domain::key::{KeyId, KeyRecord},
    hsm,
    limits::Limits,
    metrics::Metrics,
    signing::RecordedSigner,
    store::{KeyRegistration, Store, group::Group},
};

/// Threads that read the store.
const READERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// The use cases with what has to be ended after them.
pub(super) struct Built {
    pub(super) authority: Arc<Authority>,
    pub(super) monitor: hsm::Monitor,
    pub(super) writer: JoinHandle<()>,
}

/// Opens the store and the tokens, checks both, and says what the tokens can do.
pub(super) async fn build(config: Config, metrics: &Metrics) -> Result<Built, ServeError> {
    let store =
        record::open_measured(&config.store, READERS, Clock::system(), metrics.clone()).await?;
    let (mut institutions, mut ceremonies) = (BTreeMap::new(), BTreeMap::new());
    for institution in &config.institutions {
        let id = institution.id.clone();
        ceremonies.insert(id.clone(), institution.ceremony.clone());
        institutions.insert(id.clone(), keys::of(&id, &institution.keys));
    }
    let setup = Setup {
        scheme: config.scheme,
        oids: config.oids,
        public_base_url: config.public_base_url,
        device_validity_days: config.device_validity_days,
        crl_validity_hours: config.crl.validity_hours,
        crl_refresh_hours: config.crl.refresh_hours,
        retention: config.retention,
        roots: config.roots,
        institutions,
        ceremonies,
    };
    let now = Clock::system().now();
    let dispensable = dispensable_keys(store.as_ref(), &setup, now).await?;
    let tokens = config.institutions.into_iter();
    let tokens = tokens.flat_map(|institution| tokens_of(institution, &setup, &dispensable));
    let (signer, keys, monitor) = open(config.hsm, tokens.collect(), metrics.clone()).await?;
    let watch = monitor.watch();
    match use_cases(setup, store, signer, Tokens { keys, watch }, metrics).await {
        Ok((authority, writer)) => Ok(Built {
            authority,
            monitor,
            writer,
        }),
        Err(error) => {
            end(monitor).await;
            Err(error)
        }
    }
}

async fn open(
    hsm: Hsm,
    tokens: Vec<hsm::Token>,
    metrics: Metrics,
) -> Result<(hsm::Signer, hsm::Keys, hsm::Monitor), ServeError> {
    let environment = hsm.environment.variables();
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = hsm::Settings {
        program: hsm::Settings::THIS_PROGRAM.into(),
        environment: environment.collect(),
        module: hsm.module,
        network: hsm.network,
        workers: hsm.workers,
        hung: hsm.hung,
        threads: hsm.threads,
        queue: hsm.queue,
    };
    let started = spawn_blocking(move || hsm::start(settings, tokens, &metrics)).await;
    let panicked = |panic: JoinError| ServeError::Ended("the HSM's start", panic.to_string());
    let started = started.map_err(panicked)??;
    for report in started.2.watch().reports() {
        say(format_args!("{report}"));
    }
    Ok(started)
}

async fn use_cases(
    setup: Setup,
    store: Arc<dyn Store>,
    signer: hsm::Signer,
    tokens: Tokens,
    metrics: &Metrics,
) -> Result<(Arc<Authority>, JoinHandle<()>), ServeError> {
    let clock = Clock::system();
    let registrations = setup.institutions.values().flatten().map(registration);
    store
        .register_keys(registrations.collect(), clock.now())
        .await?;
    let (group, writer) = Group::start(Arc::clone(&store), clock, metrics.clone());
    let signer = RecordedSigner::new(group, signer, clock, metrics.clone());
    let limits = Limits::start();
    let authority =
        Authority::new(setup, store, signer, tokens, limits, clock, metrics.clone()).await?;
    Ok((Arc::new(authority), writer))
}

/// The keys that the configuration names and that must be there are in the first token; what is in the others is taken up by
/// their history.
fn tokens_of(
    institution: Institution,
    setup: &Setup,
    dispensable: &BTreeSet<KeyId>,
) -> Vec<hsm::Token> {
    let id = institution.id;
    let keys = setup.institutions.get(&id).into_iter().flatten();
    let keys = keys.filter(|record| !dispensable.contains(&record.id));
    let first = hsm::Token {
        institution: id.clone(),
        label: institution.token,
        pin: institution.pin,
        keys: keys.map(|record| hsm::Key::of(record)).collect(),
    };
    let further = institution.further.into_iter().map(|token| hsm::Token {
        institution: id.clone(),
        label: token.label,
        pin: token.pin,
        keys: Vec::new(),
    });
    iter::once(first).chain(further).collect()
}

fn registration(record: &Arc<KeyRecord>) -> KeyRegistration {
    KeyRegistration {
        id: record.id,
        institution: record.institution.clone(),
        purpose: record.purpose,
    }
}
