//! Owns one worker process as the service sees it: started from the service's own program, spoken to by a socket, ended by
//! SIGKILL, and always waited for.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType, shutdown, socketpair,
};
use secrecy::ExposeSecret as _;

use super::error::{Fault, WORKER};
use super::wire::{self, Begin, WireKey};
use super::{Settings, Token};

/// How long a process has for its end.
pub(super) const LEAVING: Duration = Duration::from_secs(5);

/// A worker process; killed when it is dropped.
pub(super) struct Process {
    child: Child,
    /// To it and from it.
    pub(super) link: Arc<OwnedFd>,
}

impl Process {
    /// Starts one for `token` and tells it what it has to know. `tick` is how long the link waits for a message.
    ///
    /// The calling thread has to outlive it: the system ends the process with the thread that started it
    /// (PR_SET_PDEATHSIG).
    pub(super) fn start(settings: &Settings, token: &Token, tick: Duration) -> io::Result<Self> {
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (ours, theirs) = socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&ours, Timeout::Recv, Some(tick))?;
        let environment = settings.environment.iter();
        let child = Command::new(&settings.program)
            .arg0("signer")
            .args([WORKER, token.institution.as_str(), token.label.as_str()])
            .env_clear()
            .envs(environment.map(|(name, value)| (name, value)))
            // Of standard input's kind, so that nothing else has to be left open for it.
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            // A terminal's interrupt is for the service, which drains.
            .process_group(0)
            .spawn()?;
        let process = Self {
            child,
            link: Arc::new(ours),
        };
        let keys: Vec<WireKey> = token.keys.iter().map(WireKey::from).collect();
        let mut begin = Begin {
            module: settings.module.as_os_str().as_bytes().to_vec(),
            institution: token.institution.to_string(),
            label: token.label.clone(),
            pin: token.pin.expose_secret().to_owned(),
            keys,
            threads: u32::try_from(settings.threads).unwrap_or(u32::MAX),
            workers: u64::try_from(settings.workers).unwrap_or(u64::MAX),
            network: settings.network,
        };
        let told = wire::put(&process.link, &begin, SendFlags::DONTWAIT);
        zeroize::Zeroize::zeroize(&mut begin.pin);
        match told.as_ref().map_err(io::Error::kind) {
            // It has ended already. How, its status says to whoever hears nothing from it.
            Err(io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(process),
            _ => told.map(|()| process),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Has it end by itself, which closes its sessions; in time, or it is killed.
    pub(super) fn leave(mut self) {
        // One that has ended needs no telling.
        let _ = shutdown(&self.link, Shutdown::Write);
        self.wait(LEAVING);
        self.end();
    }

    /// Waits for its end, so long.
    pub(super) fn wait(&mut self, patience: Duration) {
        let end = Instant::now() + patience;
        while Instant::now() < end && !self.has_ended() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it, if it has not ended by itself, and says how it did.
    pub(super) fn end(mut self) -> Fault {
        // One that has ended keeps its status until it is asked for.
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => Fault::new(WORKER, ending(status)),
            Err(error) => Fault::new(WORKER, error.to_string()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended and been waited for; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
