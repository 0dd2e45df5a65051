//! Owns the putting together of the service from its checked configuration: store, tokens, keys, use cases.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use semops_objects::{institution::InstitutionId, jwk::thumbprint};
use semops_pki::certificate::Certificate;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{ServeError, end, observe, record, say};
use crate::{
    authority::{Authority, InstitutionKeys, Root, Setup, Tokens},
    clock::{Clock, Timestamp},
    config::{CaFiles, Config, Hsm, Institution},
    domain::key::{KeyId, KeyRecord, Purpose},
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
    let (mut institutions, mut tokens) = (BTreeMap::new(), Vec::new());
    for institution in config.institutions {
        let (id, keys, token) = keys(institution);
        institutions.insert(id, keys);
        tokens.push(token);
    }
    let setup = Setup {
        oids: config.oids,
        public_base_url: config.public_base_url,
        device_validity_days: config.device_validity_days,
        crl_validity_hours: config.crl.validity_hours,
        crl_refresh_hours: config.crl.refresh_hours,
        retention: config.retention,
        device_root: root(config.device_root),
        signing_root: root(config.signing_root),
        institutions,
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
    let records: Vec<Arc<KeyRecord>> = setup.institutions.values().flat_map(records).collect();
    let registrations = records.iter().map(|record| registration(record));
    store
        .register_keys(registrations.collect(), clock.now())
        .await?;
    for record in &records {
        observe::key(metrics, record);
    }
    let (group, writer) = Group::start(Arc::clone(&store), clock, metrics.clone());
    let signer = RecordedSigner::new(group, signer, records, clock, metrics.clone());
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

fn keys(institution: Institution) -> (InstitutionId, InstitutionKeys, hsm::Token) {
    let id = institution.id;
    let (device_ca, signing_ca) = (institution.device_ca, institution.signing_ca);
    let authorization = vec![
        institution.authorization.clone(),
        signing_ca.certificate.clone(),
    ];
    let of = |purpose, chain: Vec<Certificate>, leaf: &Certificate| {
        Arc::new(record(&id, purpose, leaf, chain))
    };
    let of_ca = |purpose, ca: &CaFiles| {
        let chain = vec![ca.certificate.clone()];
        of(purpose, chain, &ca.certificate)
    };
    let keys = InstitutionKeys {
        device_ca: of_ca(Purpose::DeviceCa, &device_ca),
        signing_ca: of_ca(Purpose::SigningCa, &signing_ca),
        authorization: of(
            Purpose::Authorization,
            authorization,
            &institution.authorization,
        ),
        device_ca_crl: device_ca.crl.der().to_vec(),
        signing_ca_crl: signing_ca.crl.der().to_vec(),
    };
    let token = hsm::Token {
        institution: id.clone(),
        label: institution.token,
        pin: institution.pin,
        keys: records(&keys).iter().map(|record| used(record)).collect(),
    };
    (id, keys, token)
}

fn used(record: &KeyRecord) -> hsm::Key {
    hsm::Key {
        id: record.id,
        label: record.purpose.name().to_owned(),
        public: record.public.clone(),
    }
}

fn record(
    institution: &InstitutionId,
    purpose: Purpose,
    leaf: &Certificate,
    chain: Vec<Certificate>,
) -> KeyRecord {
    KeyRecord {
        id: KeyId::new(thumbprint(leaf.public_key())),
        institution: institution.clone(),
        purpose,
        public: leaf.public_key().clone(),
        chain,
        not_before: Timestamp::from_seconds(leaf.not_before()),
        not_after: Timestamp::from_seconds(leaf.not_after()),
    }
}

fn records(keys: &InstitutionKeys) -> [Arc<KeyRecord>; 3] {
    Purpose::ALL.map(|purpose| Arc::clone(keys.of(purpose)))
}

fn registration(record: &KeyRecord) -> KeyRegistration {
    KeyRegistration {
        id: record.id,
        institution: record.institution.clone(),
        purpose: record.purpose,
    }
}
