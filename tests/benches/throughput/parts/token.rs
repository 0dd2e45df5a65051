//! The token alone: C_Sign in a loop, and the service's way to it.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, ObjectClass, ObjectHandle},
    session::{Session, UserType},
};
use e2e::{
    failure::Failure,
    programs::{self, Watched},
    workers,
};
use rustix::process::getpid;
use semops_objects::jwk::thumbprint;
use semops_pki::certificate::Certificate;
use signer::{
    config::{Config, Institution},
    domain::key::KeyId,
    hsm,
    metrics::Metrics,
};
use tokio::{sync::oneshot, task::JoinSet};

use super::{CALLERS, Kind, Rate, Task, institution};
use crate::cpu;

const DIGEST: [u8; 32] = [7; 32];

fn certificate(institution: &Institution, kind: Kind) -> &Certificate {
    match kind {
        Kind::CosignOrder => &institution.keys.authorization,
        Kind::EnrollDevice => &institution.keys.device_ca.certificate,
    }
}

/// Sessions that are logged in, each with the key.
struct Opened {
    pkcs11: Pkcs11,
    sessions: Vec<(Session, ObjectHandle)>,
}

fn open(config: Config, task: &Task, count: usize) -> Result<Opened, Failure> {
    let pkcs11 = Pkcs11::new(&config.hsm.module)?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let institution = institution(config, task.kind)?;
    let slots = pkcs11.get_slots_with_initialized_token()?;
    let mut slots = slots.into_iter().filter(|slot| {
        let info = pkcs11.get_token_info(*slot);
        info.is_ok_and(|info| info.label() == institution.token)
    });
    let slot = slots
        .next()
        .ok_or_else(|| Failure::new("the token is gone"))?;
    let id = thumbprint(certificate(&institution, task.kind).public_key());
    let mut sessions = Vec::new();
    for _ in 0..count {
        let session = pkcs11.open_ro_session(slot)?;
        if sessions.is_empty() {
            session.login(UserType::User, Some(&institution.pin))?;
        }
        let template = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Id(id.to_vec()),
        ];
        let key = session.find_objects(&template)?.pop();
        let key = key.ok_or_else(|| Failure::new("the key is gone"))?;
        sessions.push((session, key));
    }
    Ok(Opened { pkcs11, sessions })
}

/// C_Sign in `threads` threads.
pub(super) fn raw(config: Config, task: &Task, threads: usize) -> Result<Rate, Failure> {
    let Opened { pkcs11, sessions } = open(config, task, threads)?;
    let (started, before) = (Instant::now(), cpu::of_this_process()?);
    let time = task.time;
    let threads = sessions
        .into_iter()
        .map(|(session, key)| thread::spawn(move || sign(&session, key, started, time)));
    let threads: Vec<_> = threads.collect();
    let mut count = 0;
    for thread in threads {
        let signed = thread.join();
        count += signed.map_err(|_| Failure::new("a signing thread panicked"))??;
    }
    let rate = Rate::new(count, started.elapsed(), cpu::of_this_process()? - before);
    // Before OpenSSL's exit handlers run, or SoftHSM may crash.
    pkcs11.finalize()?;
    Ok(rate)
}

fn sign(
    session: &Session,
    key: ObjectHandle,
    started: Instant,
    time: Duration,
) -> Result<usize, Failure> {
    let mut count = 0;
    while started.elapsed() < time {
        session.sign(&Mechanism::Ecdsa, key, &DIGEST)?;
        count += 1;
    }
    Ok(count)
}

/// The same by a queue and two threads in this process, from tasks: what worker processes are to be compared with.
pub(super) async fn queued(config: Config, task: &Task) -> Result<Rate, Failure> {
    let (threads, capacity) = (config.hsm.threads, config.hsm.queue);
    let Opened { pkcs11, sessions } = open(config, task, threads)?;
    let (jobs, work) = crossbeam_channel::bounded::<oneshot::Sender<Vec<u8>>>(capacity);
    let threads = sessions.into_iter().map(|(session, key)| {
        let work = work.clone();
        thread::spawn(move || -> Result<(), Failure> {
            for reply in work {
                let signature = session.sign(&Mechanism::Ecdsa, key, &DIGEST)?;
                drop(reply.send(signature));
            }
            Ok(())
        })
    });
    let threads: Vec<_> = threads.collect();
    let rate = called(task, cpu::of_this_process, move || {
        let jobs = jobs.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            jobs.send(reply)?;
            answer.await?;
            Ok(())
        }
    })
    .await?;
    for thread in threads {
        let ended = thread.join();
        ended.map_err(|_| Failure::new("a signing thread panicked"))??;
    }
    pkcs11.finalize()?;
    Ok(rate)
}

/// What `call` does a second, asked for by tasks; with the processor time that `cpu` knows of.
async fn called<F: Future<Output = Result<(), Failure>> + Send>(
    task: &Task,
    cpu: impl Fn() -> Result<Duration, Failure>,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> Result<Rate, Failure> {
    let (started, before) = (Instant::now(), cpu()?);
    let end = started + task.time;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let call = call.clone();
        callers.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                call().await?;
                count += 1;
            }
            Ok::<usize, Failure>(count)
        });
    }
    let mut count = 0;
    while let Some(caller) = callers.join_next().await {
        count += caller??;
    }
    Ok(Rate::new(count, started.elapsed(), cpu()? - before))
}

/// Of this process and its worker processes.
fn cpu_of_all() -> Result<Duration, Failure> {
    let mut sum = cpu::of_this_process()?;
    for (_, worker) in workers::all(getpid().as_raw_nonzero())? {
        sum += cpu::used(u32::try_from(worker.get())?)?;
    }
    Ok(sum)
}

/// The same through the service's queue and worker processes, from tasks.
pub(super) async fn signer(config: Config, task: &Task, workers: usize) -> Result<Rate, Failure> {
    let environment = config.hsm.environment.variables();
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = hsm::Settings {
        program: programs::ours(Watched::No)?.signer.clone(),
        environment: environment.collect(),
        module: config.hsm.module.clone(),
        network: config.hsm.network,
        workers,
        hung: config.hsm.hung,
        threads: config.hsm.threads,
        queue: config.hsm.queue,
    };
    let institution = institution(config, task.kind)?;
    let public = certificate(&institution, task.kind).public_key().clone();
    let key = KeyId::new(thumbprint(&public));
    let label = match task.kind {
        Kind::CosignOrder => "authorization",
        Kind::EnrollDevice => "device-ca",
    };
    let id = institution.id.clone();
    let token = hsm::Token {
        institution: institution.id,
        label: institution.token,
        pin: institution.pin,
        keys: vec![hsm::Key {
            id: key,
            label: label.to_owned(),
            public,
        }],
    };
    let (signer, _keys, monitor) = hsm::start(settings, vec![token], &Metrics::none())?;
    let signer = Arc::new(signer);
    let rate = called(task, cpu_of_all, move || {
        let (signer, id) = (Arc::clone(&signer), id.clone());
        let deadline = Instant::now() + Duration::from_secs(10);
        async move {
            signer.sign(&id, key, DIGEST, deadline).await?;
            Ok(())
        }
    })
    .await?;
    monitor
        .stop(Instant::now() + Duration::from_secs(10))
        .await?;
    Ok(rate)
}
