//! Owns a worker process: one token, the PIN of that token and no other, a few threads with one long-lived PKCS#11 session
//! each. Jobs come by a socket, answers go back by it, and when it is closed the process ends. Nothing else names cryptoki.

mod ckr;
mod confine;
mod login;
mod module;
mod pairs;
mod probe;
mod refusal;
mod thread;

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::net::SendFlags;
use secrecy::SecretString;
use zeroize::Zeroizing;

use self::module::Module;
use self::probe::{Probed, Wanted, call, probe};
use self::refusal::Refusal;
use self::thread::{Shared, Thread};
use super::Token;
use super::wire::{self, Begin, Begun, LONGEST, Received, Refused, WireFailure};

/// Works for the service at the other end of standard input, until that is closed.
pub fn run() -> ExitCode {
    match confine::enter().and_then(|()| work()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(io::stderr(), "signer: a worker process ended: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut buffer = Zeroizing::new(vec![0; LONGEST]);
    let begin = match wire::take::<Begin>(&socket, &mut buffer)? {
        Received::Message(begin) => begin,
        Received::Nothing | Received::End => return Ok(()),
    };
    drop(buffer);
    if let Err(error) = confine::confine(begin.network) {
        let refusal = Refusal::Confinement(error.to_string());
        return refuse(&socket, &refusal);
    }
    serve(socket, begin)
}

fn refuse(socket: &OwnedFd, refusal: &Refusal) -> io::Result<()> {
    let failure = match refusal {
        Refusal::Call { failure, .. } => Some(WireFailure::from(failure)),
        _ => None,
    };
    let refused = Some(Refused {
        text: refusal.to_string(),
        failure,
    });
    let begun = Begun {
        report: None,
        refused,
    };
    wire::put(socket, &begun, SendFlags::empty())
}

fn serve(socket: OwnedFd, begin: Begin) -> io::Result<()> {
    let path = PathBuf::from(OsStr::from_bytes(&begin.module));
    let module = match Module::initialize(&path) {
        Ok(module) => module,
        Err(failure) => return refuse(&socket, &call(&path.display().to_string(), failure)),
    };
    let wanted = Wanted {
        threads: usize::try_from(begin.threads).unwrap_or(1),
        workers: begin.workers,
    };
    let probed = token(begin).and_then(|token| probe(&module, &path, wanted, token));
    let probed = match probed {
        Ok(probed) => probed,
        Err(refusal) => {
            refuse(&socket, &refusal)?;
            return finalize(&module);
        }
    };
    let Probed {
        login,
        slot,
        report,
    } = probed;
    let on = format!("token \"{}\" (slot {})", report.label, report.slot);
    let begun = Begun {
        report: Some((&report).into()),
        refused: None,
    };
    let shared = Arc::new(Shared::new(socket, module, slot, login));
    match launch(&shared, report.threads, &on) {
        Ok(threads) => {
            wire::put(&shared.socket, &begun, SendFlags::empty())?;
            for thread in threads {
                // One that panics ends the process.
                let _ended = thread.join();
            }
        }
        Err(refusal) => refuse(&shared.socket, &refusal)?,
    }
    shared.login.close();
    // Before the exit handlers of the module's libraries run: they free what it still uses.
    finalize(&shared.module)
}

/// Opens every session, then starts the threads, so that whatever fails, no thread is inside a call.
fn launch(shared: &Arc<Shared>, count: usize, on: &str) -> Result<Vec<JoinHandle<()>>, Refusal> {
    let mut ready = Vec::new();
    for index in 0..count {
        let thread = Thread::new(Arc::clone(shared), index);
        ready.push(thread.map_err(|failure| call(on, failure))?);
    }
    let mut threads = Vec::new();
    for (index, thread) in ready.into_iter().enumerate() {
        let builder = std::thread::Builder::new().name(format!("hsm-{index}"));
        let thread = builder.spawn(move || thread.run());
        threads.push(thread.map_err(Refusal::Thread)?);
    }
    Ok(threads)
}

fn finalize(module: &Module) -> io::Result<()> {
    let finalized = module.finalize();
    finalized.map_err(|failure| io::Error::other(failure.fault.to_string()))
}

fn token(begin: Begin) -> Result<Token, Refusal> {
    let pin = SecretString::from(begin.pin);
    let institution = begin.institution.parse();
    let keys = begin.keys.into_iter().map(wire::WireKey::key);
    let keys = keys.collect::<Option<_>>();
    Ok(Token {
        institution: institution.map_err(|_| Refusal::Setup("no institution"))?,
        label: begin.label,
        pin,
        keys: keys.ok_or(Refusal::Setup("a key that is none"))?,
    })
}

#[cfg(test)]
mod scenes;
