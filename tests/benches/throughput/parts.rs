//! The parts of an operation, each measured alone, in a process of its own: SoftHSM reads SOFTHSM2_CONF once per
//! process, and so the processor time of each is known.

mod commit;
mod echo;
mod token;

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use e2e::failure::Failure;
use semops_pki::local_key::LocalKey;
use serde::{Deserialize, Serialize};
use signer::clock::Clock;
use signer::config::{Config, Institution};

use crate::{cpu, load};

pub(crate) use echo::{Echo, exchange};

/// How many callers a part has that is called from tasks.
const CALLERS: usize = 64;

/// Which part, with what.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Task {
    pub(crate) part: Part,
    /// The signer's configuration.
    pub(crate) config: PathBuf,
    pub(crate) kind: Kind,
    /// Octets of the request and of the answer.
    pub(crate) request: usize,
    pub(crate) answer: usize,
    pub(crate) time: Duration,
}

/// The parts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Part {
    /// One P-256 verification, one thread.
    Verify,
    /// C_Sign and nothing else, in this many threads with a session each.
    RawSign { threads: usize },
    /// The same by a queue and two threads in this process, from tasks.
    QueuedSign,
    /// The same by the way of the service: the token's queue, so many worker processes, and back.
    Sign { workers: usize },
    /// Begin and complete of the record, in groups, durable; written to this copy of the store.
    Commit { store: PathBuf },
    /// A server that answers with so many octets, until its standard input ends.
    Echo,
}

/// For which RPC.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) enum Kind {
    CosignOrder,
    EnrollDevice,
}

/// What came of a part.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// Processor time per operation, microseconds.
    pub(crate) cpu_us: f64,
}

impl Rate {
    pub(crate) fn new(operations: usize, elapsed: Duration, cpu: Duration) -> Self {
        let count = load::count(operations.max(1));
        Self {
            per_second: count / elapsed.as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6 / count,
        }
    }
}

/// This program again, for one part.
pub(crate) fn command(task: &Task, softhsm: &Path) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("part")
        .arg(serde_json::to_string(task)?)
        .env("SOFTHSM2_CONF", softhsm)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    Ok(command)
}

/// Has a part measured.
///
/// # Errors
/// Its process fails; it has said why.
pub(crate) fn measure(task: &Task, softhsm: &Path) -> Result<Rate, Failure> {
    let output = command(task, softhsm)?.output()?;
    if !output.status.success() {
        return Err(Failure::new(format!("{:?}: {}", task.part, output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What the process of a part does: its rate goes to standard output.
///
/// # Errors
/// The part fails.
pub(crate) fn run(task: &str) -> Result<(), Failure> {
    let task: Task = serde_json::from_str(task)?;
    let config = Config::load(&task.config, Clock::system().now().seconds())
        .map_err(Failure::during("configuration"))?;
    let rate = match &task.part {
        Part::Verify => verify(&task)?,
        Part::RawSign { threads } => token::raw(config, &task, *threads)?,
        Part::QueuedSign => {
            tokio::runtime::Runtime::new()?.block_on(token::queued(config, &task))?
        }
        Part::Sign { workers } => {
            tokio::runtime::Runtime::new()?.block_on(token::signer(config, &task, *workers))?
        }
        Part::Commit { store } => {
            tokio::runtime::Runtime::new()?.block_on(commit::commit(&config, &task, store))?
        }
        Part::Echo => {
            return tokio::runtime::Runtime::new()?.block_on(echo::serve(&config, &task));
        }
    };
    println!("{}", serde_json::to_string(&rate)?);
    Ok(())
}

fn verify(task: &Task) -> Result<Rate, Failure> {
    let key = LocalKey::generate()?;
    let message = vec![b'x'; task.request];
    let signature = key.sign_raw(&message)?;
    let (started, before) = (Instant::now(), cpu::of_this_process()?);
    let mut count = 0;
    while started.elapsed() < task.time {
        black_box(key.public_key().verify_raw(black_box(&message), &signature))?;
        count += 1;
    }
    let cpu = cpu::of_this_process()? - before;
    Ok(Rate::new(count, started.elapsed(), cpu))
}

/// The institution whose key signs: the payer's bank, or the operator that enrols.
fn institution(config: Config, kind: Kind) -> Result<Institution, Failure> {
    let id = match kind {
        Kind::CosignOrder => "alfa",
        Kind::EnrollDevice => "mobilis",
    };
    let mut institutions = config.institutions.into_iter();
    let found = institutions.find(|institution| institution.id.as_str() == id);
    found.ok_or_else(|| Failure::new(format!("{id} is not in the configuration")))
}
