//! Owns the threads: each takes jobs from the socket, does them in its own long-lived session, and mends or replaces the
//! session when a call fails.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cryptoki::slot::Slot;
use prost::Message as _;
use rustix::net::SendFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use uuid::Uuid;

use super::login::{Epoch, Login};
use super::module::{Access, Module, Session};
use super::pairs;
use super::probe::key::probe;
use crate::domain::key::KeyId;
use crate::hsm::failure::{Class, Failure};
use crate::hsm::wire::{self, Answer, Ending, Job, Order, Received, WireKey};

/// How often a session is used at least, so that the token does not let it expire.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How soon a lost session is opened again when there is no work to do it for.
const MEND: Duration = Duration::from_secs(5);
/// A lost session and a lost login can follow each other; more than that is not mended by trying.
const ATTEMPTS: u32 = 4;
/// The longest job, octets.
const LONGEST: usize = 1024;

/// What the threads have in common.
pub(super) struct Shared {
    pub(super) socket: OwnedFd,
    pub(super) module: Module,
    pub(super) slot: Slot,
    pub(super) login: Login,
    /// Set once the token refused for good: nothing is tried any more.
    fatal: AtomicBool,
    sessions: AtomicU32,
}

impl Shared {
    pub(super) fn new(socket: OwnedFd, module: Module, slot: Slot, login: Login) -> Self {
        Self {
            socket,
            module,
            slot,
            login,
            fatal: AtomicBool::new(false),
            sessions: AtomicU32::new(0),
        }
    }
}

/// One thread.
pub(super) struct Thread {
    shared: Arc<Shared>,
    /// Which of the threads this is.
    index: usize,
    session: Option<Session>,
    /// What kind of session the next one is.
    access: Access,
    /// The login that was in force when the session was opened.
    epoch: Epoch,
    tend_at: Instant,
    /// The calls that failed since the last answer.
    met: Vec<Failure>,
}

/// A job that a failure ended; what failed has been noted.
struct Failed;

impl Thread {
    /// A thread's work with its session open.
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Result<Self, Failure> {
        let (epoch, access) = (shared.login.epoch(), shared.login.access());
        let mut thread = Self {
            shared,
            access,
            index,
            session: None,
            epoch,
            tend_at: Instant::now() + KEEP_ALIVE,
            met: Vec::new(),
        };
        thread.open()?;
        Ok(thread)
    }

    /// Works until the service closes the socket.
    pub(super) fn run(mut self) {
        let _whole = Whole;
        let mut buffer = [0; LONGEST];
        // If it cannot be set, a thread without work tends nothing; the service looks after idle ones as well.
        let _ = set_socket_timeout(&self.shared.socket, Timeout::Recv, Some(MEND));
        loop {
            match wire::take::<Job>(&self.shared.socket, &mut buffer) {
                Ok(Received::Message(job)) => self.serve(job),
                Ok(Received::Nothing) => {}
                Ok(Received::End) | Err(_) => break,
            }
            if Instant::now() >= self.tend_at {
                let before = Instant::now();
                let lost = self.session.is_none();
                let tended = self.tend();
                if lost || !self.met.is_empty() {
                    self.answer(0, before, tended.map(|()| Vec::new()));
                }
            }
        }
        self.end();
    }

    fn serve(&mut self, job: Job) {
        let (deadline, now) = (wire::own(job.deadline), Instant::now());
        if now >= deadline {
            return self.send(job.id, Ending::Expired, Vec::new(), Duration::ZERO);
        }
        let result = match job.order {
            Some(Order::Sign(ask)) => self.sign(&ask, deadline),
            Some(Order::Random(length)) => {
                let length = usize::try_from(length).unwrap_or(0);
                self.mended(deadline, |session| session.random(length))
            }
            Some(Order::Tend(_)) => self.tend().map(|()| Vec::new()),
            Some(Order::Generate(ask)) => self.generate(&ask, deadline),
            Some(Order::Adopt(ask)) => self.adopt(ask, deadline),
            Some(Order::Destroy(key)) => self.destroy(key, deadline),
            None => Err(self.odd("an unknown job")),
        };
        self.answer(job.id, now, result);
    }

    fn sign(&mut self, ask: &wire::Sign, deadline: Instant) -> Result<Vec<u8>, Failed> {
        let (Ok(key), Ok(digest)) = (
            ask.key.as_slice().try_into(),
            ask.digest.as_slice().try_into(),
        ) else {
            return Err(self.odd("no key or no digest"));
        };
        let (key, digest): (KeyId, [u8; 32]) = (KeyId::new(key), digest);
        self.mended(deadline, |session| session.sign(key, &digest))
            .map(|signature| signature.to_vec())
    }

    fn generate(&mut self, ask: &wire::Generate, deadline: Instant) -> Result<Vec<u8>, Failed> {
        let Ok(request) = Uuid::from_slice(&ask.request) else {
            return Err(self.odd("no request"));
        };
        let make = |session: &mut Session| pairs::generate(session, request, &ask.label);
        let public = self.writing(deadline, make)?;
        Ok(public.sec1().to_vec())
    }

    fn adopt(&mut self, ask: wire::Adopt, deadline: Instant) -> Result<Vec<u8>, Failed> {
        let request = ask.request.map(|octets| Uuid::from_slice(&octets));
        let (Some(key), Ok(request)) = (ask.key.and_then(WireKey::key), request.transpose()) else {
            return Err(self.odd("no key or no request"));
        };
        if let Some(request) = request {
            self.writing(deadline, |session| pairs::name(session, request, &key))?;
        }
        let look = |session: &mut Session| {
            session.must_be_user()?;
            probe(session, "", &key).map_err(Failure::from)
        };
        let report = self.mended(deadline, look)?;
        Ok(wire::WireKeyReport::from(&report).encode_to_vec())
    }

    fn destroy(&mut self, key: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, Failed> {
        let Ok(key) = key.try_into().map(KeyId::new) else {
            return Err(self.odd("no key"));
        };
        self.writing(deadline, |session| pairs::destroy(session, key))?;
        Ok(Vec::new())
    }

    /// Makes `call` in a read-write session instead of the thread's own, for the token's sessions are counted.
    fn writing<T>(
        &mut self,
        deadline: Instant,
        call: impl Fn(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failed> {
        self.end();
        self.access = Access::ReadWrite;
        let done = self.mended(deadline, call);
        self.end();
        self.access = self.shared.login.access();
        done
    }

    /// The service asked for what there is not.
    fn odd(&mut self, what: &str) -> Failed {
        self.met
            .push(Failure::new(Class::Reject, crate::hsm::error::WORKER, what));
        Failed
    }

    fn answer(&mut self, id: u64, began: Instant, result: Result<Vec<u8>, Failed>) {
        let took = began.elapsed();
        match result {
            Ok(octets) => self.send(id, Ending::Done, octets, took),
            Err(Failed) => self.send(id, Ending::Failed, Vec::new(), took),
        }
    }

    fn send(&mut self, id: u64, ending: Ending, octets: Vec<u8>, took: Duration) {
        let answer = Answer {
            id,
            ending: ending.into(),
            octets,
            nanos: wire::nanos(took),
            failures: self
                .met
                .drain(..)
                .map(|failure| (&failure).into())
                .collect(),
            sessions: self.shared.sessions.load(Ordering::Relaxed),
            logins: self.shared.login.epoch().0,
        };
        // Without the service at the other end nobody misses it, and the next take says so.
        let _ = wire::put(&self.shared.socket, &answer, SendFlags::empty());
    }

    /// Makes `call`, with fresh sessions and logins as the failures demand, until the deadline.
    fn mended<T>(
        &mut self,
        deadline: Instant,
        call: impl Fn(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failed> {
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(&call) {
                Ok(result) => return Ok(result),
                Err(failure) => failure,
            };
            let class = failure.class;
            self.note(failure);
            // Past C_SignInit a failure can leave the operation active; before it nothing is lost by this.
            self.end();
            let again = attempt < ATTEMPTS && Instant::now() < deadline && !self.is_fatal();
            attempt += 1;
            match class {
                Class::Retry if again => {}
                Class::Relogin if again => self.login()?,
                _ => return Err(Failed),
            }
        }
    }

    fn note(&mut self, failure: Failure) {
        if failure.class == Class::Fatal {
            self.shared.fatal.store(true, Ordering::SeqCst);
        }
        self.met.push(failure);
    }

    fn is_fatal(&self) -> bool {
        self.shared.fatal.load(Ordering::SeqCst)
    }

    fn attempt<T>(
        &mut self,
        call: &impl Fn(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.session.is_none() {
            self.open()?;
        }
        match &mut self.session {
            Some(session) => call(session),
            None => Err(Failure::new(Class::Retry, "C_OpenSession", "no session")),
        }
    }

    fn open(&mut self) -> Result<(), Failure> {
        let shared = &self.shared;
        self.epoch = shared.login.epoch();
        let session = Session::open(&shared.module, shared.slot, self.access)?;
        if let Err(failure) = session.must_be_user() {
            session.close();
            return Err(failure);
        }
        self.session = Some(session);
        shared.sessions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Closes the session.
    fn end(&mut self) {
        if let Some(session) = self.session.take() {
            session.close();
            self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn login(&mut self) -> Result<(), Failed> {
        let outcome = self.shared.login.login(&self.shared.module, self.epoch);
        outcome.map_err(|failure| {
            self.note(failure);
            Failed
        })
    }

    /// Uses the session, and the login's, so that neither expires; opens it again if it is lost. So the health
    /// recovers, or is found out to have gone, without work too.
    fn tend(&mut self) -> Result<(), Failed> {
        self.tend_at = Instant::now() + MEND;
        if self.is_fatal() {
            return Err(Failed);
        }
        if self.index == 0
            && let Err(failure) = self.shared.login.keep_alive()
        {
            self.note(failure);
            self.login()?;
        }
        let tended = self.mended(Instant::now() + MEND, |session| session.must_be_user());
        if tended.is_ok() {
            self.tend_at = Instant::now() + KEEP_ALIVE;
        }
        tended
    }
}

/// A thread that panics takes the process with it: the service starts another one, and no thread is missed unseen.
struct Whole;

impl Drop for Whole {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
