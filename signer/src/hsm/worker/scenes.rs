//! What befalls a worker process from within: sessions, login and module lost behind its back, and what it may not do.
//! Each scene is played in a process of its own, which is the worker process and the one who disturbs it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};

use super::*;
use crate::hsm::failure::{Class, Failure};
use crate::hsm::wire::{Answer, Ending, Job, Order, Tend};

const SCENE: &str = "SIGNER_TEST_SCENE";
const CONF: &str = "SOFTHSM2_CONF";
const PIN: &str = "pin-of-the-scene";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Plays `scene` of the test `name` in a process that runs this test alone.
fn play(name: &str, scene: impl FnOnce()) {
    if std::env::var_os(SCENE).is_some_and(|playing| playing == name) {
        return scene();
    }
    let folder = token();
    let conf = folder.path().join("softhsm2.conf");
    let played = Command::new(std::env::current_exe().unwrap())
        .args([
            &format!("hsm::worker::scenes::{name}"),
            "--exact",
            "--nocapture",
        ])
        .env(SCENE, name)
        .env(CONF, &conf)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&played.stdout);
    let errors = String::from_utf8_lossy(&played.stderr);
    assert!(
        played.status.success() && told.contains("1 passed"),
        "{told}\n{errors}"
    );
}

/// A folder with SoftHSM's configuration and one token.
fn token() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (tokens, conf) = (
        folder.path().join("tokens"),
        folder.path().join("softhsm2.conf"),
    );
    fs::create_dir(&tokens).unwrap();
    fs::write(
        &conf,
        format!("directories.tokendir = {}\n", tokens.display()),
    )
    .unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "alfa",
            "--pin",
            PIN,
            "--so-pin",
            PIN,
        ])
        .env(CONF, &conf)
        .output();
    assert!(made.unwrap().status.success());
    folder
}

/// The service's end, and the worker's threads in this process.
struct Service {
    socket: OwnedFd,
    worker: std::thread::JoinHandle<io::Result<()>>,
    asked: u64,
}

impl Service {
    fn start(threads: u32) -> Self {
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (socket, theirs) = socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None).unwrap();
        let begin = Begin {
            module: MODULE.into(),
            institution: "alfa".to_owned(),
            label: "alfa".to_owned(),
            pin: PIN.to_owned(),
            threads,
            workers: 1,
            ..Begin::default()
        };
        let worker = std::thread::spawn(move || serve(theirs, begin));
        let service = Self {
            socket,
            worker,
            asked: 0,
        };
        let begun: Begun = service.take();
        assert_eq!(begun.refused, None);
        service
    }

    fn take<T: prost::Message + Default>(&self) -> T {
        match wire::take(&self.socket, &mut vec![0; LONGEST]).unwrap() {
            Received::Message(message) => message,
            Received::Nothing | Received::End => panic!("no answer"),
        }
    }

    fn ask(&mut self, order: Order, left: Duration) {
        self.asked += 1;
        let job = Job {
            id: self.asked,
            deadline: wire::shared(Instant::now() + left),
            order: Some(order),
        };
        wire::put(&self.socket, &job, SendFlags::empty()).unwrap();
    }

    fn answer(&mut self, order: Order) -> Answer {
        self.ask(order, Duration::from_secs(30));
        self.take()
    }

    fn end(self) -> io::Result<()> {
        drop(self.socket);
        self.worker.join().unwrap()
    }
}

fn failures(answer: &Answer) -> Vec<(String, Class)> {
    let failures = answer.failures.iter().cloned().map(Failure::from);
    failures
        .map(|failure| (failure.fault.to_string(), failure.class))
        .collect()
}

fn module() -> Pkcs11 {
    Pkcs11::new(Path::new(MODULE)).unwrap()
}

#[test]
fn a_lost_login_is_made_again_once() {
    play("a_lost_login_is_made_again_once", || {
        let mut service = Service::start(4);
        let first = service.answer(Order::Random(16));
        assert_eq!(
            (first.octets.len(), first.logins, first.sessions),
            (16, 1, 4)
        );
        let pkcs11 = module();
        let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
        pkcs11.open_ro_session(slot).unwrap().logout().unwrap();
        // Whichever threads find themselves logged out, one login is made.
        for _ in 0..32 {
            service.ask(Order::Tend(Tend {}), Duration::from_secs(30));
        }
        let answers: Vec<Answer> = (0..32).map(|_| service.take()).collect();
        assert!(answers.iter().all(|answer| answer.ending() == Ending::Done));
        let met: Vec<_> = answers.iter().flat_map(failures).collect();
        assert!(!met.is_empty());
        assert!(
            met.iter().all(|(_, class)| *class == Class::Relogin),
            "{met:?}"
        );
        assert_eq!(answers[31].logins, 2);
        service.end().unwrap();
    });
}

#[test]
fn sessions_closed_behind_the_back_are_opened_again() {
    play("sessions_closed_behind_the_back_are_opened_again", || {
        let mut service = Service::start(1);
        // Every session and the login are gone, as after the loss of a token.
        let pkcs11 = module();
        pkcs11.clone().finalize().unwrap();
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        pkcs11.initialize(arguments).unwrap();
        let answer = service.answer(Order::Tend(Tend {}));
        assert_eq!(answer.ending(), Ending::Done, "{answer:?}");
        assert_eq!((answer.sessions, answer.logins), (1, 2));
        service.end().unwrap();
    });
}

#[test]
fn a_module_that_lost_its_state_asks_for_another_process() {
    play(
        "a_module_that_lost_its_state_asks_for_another_process",
        || {
            let mut service = Service::start(1);
            module().finalize().unwrap();
            let answer = service.answer(Order::Random(16));
            assert_eq!(answer.ending(), Ending::Failed);
            let (fault, class) = failures(&answer).pop().unwrap();
            assert!(fault.ends_with("CKR_CRYPTOKI_NOT_INITIALIZED"), "{fault}");
            assert_eq!(class, Class::Restart);
            assert!(service.end().is_err(), "finalised already");
        },
    );
}

#[test]
fn what_is_too_late_or_unknown_is_not_done() {
    play("what_is_too_late_or_unknown_is_not_done", || {
        let mut service = Service::start(1);
        service.ask(Order::Random(16), Duration::ZERO);
        let late: Answer = service.take();
        assert_eq!((late.ending(), late.octets.len()), (Ending::Expired, 0));
        let odd = wire::Sign {
            key: vec![1; 32],
            digest: vec![1; 31],
        };
        let odd = service.answer(Order::Sign(odd));
        assert_eq!(odd.ending(), Ending::Failed);
        assert_eq!(failures(&odd)[0].1, Class::Reject);
        service.end().unwrap();
    });
}

#[test]
fn a_confined_process_has_no_network_and_starts_nothing() {
    play(
        "a_confined_process_has_no_network_and_starts_nothing",
        || {
            let refused =
                |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(UdpSocket::bind("127.0.0.1:0").is_ok());
            // The filter holds for the thread that makes it and for those that it starts.
            confine::confine(false).unwrap();
            refused(UdpSocket::bind("127.0.0.1:0").unwrap_err());
            refused(UdpSocket::bind("[::1]:0").unwrap_err());
            let later = std::thread::spawn(|| UdpSocket::bind("127.0.0.1:0"));
            refused(later.join().unwrap().unwrap_err());
            UnixDatagram::unbound().unwrap();
            refused(Command::new("/bin/true").status().unwrap_err());
            let parent = rustix::process::getppid().unwrap();
            let killed = rustix::process::test_kill_process(parent);
            assert_eq!(killed, Err(rustix::io::Errno::PERM));
        },
    );
}

#[test]
fn a_network_is_there_for_those_who_need_one() {
    play("a_network_is_there_for_those_who_need_one", || {
        confine::confine(true).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap();
        Command::new("/bin/true").status().unwrap_err();
        let _: PathBuf = fs::read_link("/proc/self/exe").unwrap();
    });
}
