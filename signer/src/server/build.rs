//! Owns the putting together of the service from its checked configuration: store, tokens, keys, use cases.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{ServeError, end, keys, record, say};
use crate::{
    authority::{Authority, Root, Setup, Tokens},
    clock::Clock,
    config::{CaFiles, Config, Hsm, Institution},
    domain::key::KeyRecord,
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
    let mut tokens = Vec::new();
    for institution in config.institutions {
        let id = institution.id.clone();
        let keys = keys::of(&id, &institution.keys);
        ceremonies.insert(id.clone(), institution.ceremony.clone());
        tokens.push(token(institution, &keys));
        institutions.insert(id, keys);
    }
    let setup = Setup {
        scheme: config.scheme,
        oids: config.oids,
        public_base_url: config.public_base_url,
        device_validity_days: config.device_validity_days,
        crl_validity_hours: config.crl.validity_hours,
        crl_refresh_hours: config.crl.refresh_hours,
        retention: config.retention,
        device_root: root(config.device_root),
        signing_root: root(config.signing_root),
        institutions,
        ceremonies,
    };
    let (signer, keys, monitor) = open(config.hsm, tokens, metrics.clone()).await?;
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

fn root(files: CaFiles) -> Root {
    Root {
        certificate: files.certificate,
        crl: files.crl.der().to_vec(),
    }
}

fn token(institution: Institution, keys: &[Arc<KeyRecord>]) -> hsm::Token {
    hsm::Token {
        institution: institution.id,
        label: institution.token,
        pin: institution.pin,
        keys: keys.iter().map(|record| hsm::Key::of(record)).collect(),
    }
}

fn registration(record: &Arc<KeyRecord>) -> KeyRegistration {
    KeyRegistration {
        id: record.id,
        institution: record.institution.clone(),
        purpose: record.purpose,
    }
}
