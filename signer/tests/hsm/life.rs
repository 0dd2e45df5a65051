//! Life: processes that die or hang are replaced, a PIN is tried once, and the end leaves nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use semops_objects::InstitutionId;
use semops_pki::algorithm::sha256;
use signer::hsm::{Fault, Health, HsmError, Monitor, Settings, StopError};

use crate::stage::{SAFE, play, soon, start, until, view};

fn alfa() -> InstitutionId {
    "alfa".parse().unwrap()
}

#[test]
fn a_killed_process_is_replaced_and_its_work_done() {
    const NAME: &str = "life::a_killed_process_is_replaced_and_its_work_done";
    play(NAME, &["alfa"], async |stage| {
        let key = stage.make_key("alfa", "authorization", SAFE);
        let tokens = vec![stage.token("alfa", vec![key.clone()])];
        let (signer, _keys, monitor) = start(stage.settings(1, 4), tokens).unwrap();
        let lock = stage.lock(NAME);
        let alfa = alfa();
        let sign = |message: &'static [u8]| signer.sign(&alfa, key.id, sha256(message), soon());
        let disturb = async {
            until(&monitor, "alfa", |g| g.busy == 1 && g.waiting == 1).await;
            let [pid] = worker_processes()[..] else {
                panic!("one worker process")
            };
            kill_process(pid, Signal::KILL).unwrap();
            until(&monitor, "alfa", |g| g.replaced == 1).await;
            drop(lock);
        };
        // One in the call, one on its way.
        let (first, second, ()) = tokio::join!(sign(b"first"), sign(b"second"), disturb);
        key.public.verify_raw(b"first", &first.unwrap()).unwrap();
        key.public.verify_raw(b"second", &second.unwrap()).unwrap();
        let gauges = view(&monitor.watch(), &alfa).gauges;
        assert_eq!((gauges.replaced, gauges.workers), (1, 1));
        assert_eq!((gauges.signatures, gauges.logins), (2, 2), "{gauges:?}");
        assert_eq!(view(&monitor.watch(), &alfa).health, Health::Serving);
        monitor.stop(soon()).await.unwrap();
        assert!(worker_processes().is_empty());
    });
}

#[test]
fn a_hanging_process_is_killed_and_others_do_its_work() {
    const NAME: &str = "life::a_hanging_process_is_killed_and_others_do_its_work";
    play(NAME, &["alfa"], async |stage| {
        let key = stage.make_key("alfa", "authorization", SAFE);
        let settings = Settings {
            hung: Duration::from_millis(200),
            workers: 2,
            ..stage.settings(1, 8)
        };
        let tokens = vec![stage.token("alfa", vec![key.clone()])];
        let (signer, _keys, monitor) = start(settings, tokens).unwrap();
        let before = worker_processes();
        assert_eq!(before.len(), 2);
        kill_process(before[0], Signal::STOP).unwrap();
        let alfa = alfa();
        let sign = || signer.sign(&alfa, key.id, sha256(b"m"), soon());
        let (a, b, c, d) = tokio::join!(sign(), sign(), sign(), sign());
        for signature in [a, b, c, d] {
            key.public.verify_raw(b"m", &signature.unwrap()).unwrap();
        }
        let gauges = until(&monitor, "alfa", |g| g.workers == 2 && g.replaced == 1).await;
        assert_eq!((gauges.signatures, gauges.threads), (4, 2), "{gauges:?}");
        let after = worker_processes();
        assert!(!after.contains(&before[0]) && after.contains(&before[1]));
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn a_pin_that_no_longer_fits_is_tried_once() {
    const NAME: &str = "life::a_pin_that_no_longer_fits_is_tried_once";
    play(NAME, &["alfa"], async |stage| {
        let key = stage.make_key("alfa", "authorization", SAFE);
        let settings = Settings {
            workers: 2,
            ..stage.settings(1, 4)
        };
        let tokens = vec![stage.token("alfa", vec![key.clone()])];
        let (signer, _keys, monitor) = start(settings, tokens).unwrap();
        let alfa = alfa();
        let sign = || signer.sign(&alfa, key.id, [1; 32], soon());
        sign().await.unwrap();
        let new = SecretString::from("another-pin");
        stage.change_pin("alfa", &new);
        assert!(!stage.wrong_pin_was_sent("alfa"));

        // Both go at once; one of those that replace them sends the PIN, and that is the end of it.
        for pid in worker_processes() {
            kill_process(pid, Signal::KILL).unwrap();
        }
        let fault = fatal(&monitor).await;
        assert_eq!(fault.to_string(), "C_Login: CKR_PIN_INCORRECT");
        assert!(stage.wrong_pin_was_sent("alfa"));

        // A good login clears the flag; it would be set again by a second try of the wrong PIN.
        stage.login("alfa", &new);
        assert!(!stage.wrong_pin_was_sent("alfa"));
        for _ in 0..8 {
            assert_eq!(sign().await, Err(HsmError::Unavailable(fault.clone())));
        }
        until(&monitor, "alfa", |gauges| gauges.workers == 0).await;
        assert!(worker_processes().is_empty());
        assert_eq!(view(&monitor.watch(), &alfa).health, Health::Fatal(fault));
        monitor.stop(soon()).await.unwrap();
        assert!(!stage.wrong_pin_was_sent("alfa"));
    });
}

async fn fatal(monitor: &Monitor) -> Fault {
    let end = soon();
    loop {
        if let Health::Fatal(fault) = view(&monitor.watch(), &alfa()).health {
            return fault;
        }
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn the_end_leaves_no_process() {
    play(
        "life::the_end_leaves_no_process",
        &["alfa"],
        async |stage| {
            let key = stage.make_key("alfa", "authorization", SAFE);
            for _ in 0..2 {
                let tokens = vec![stage.token("alfa", vec![key.clone()])];
                let (signer, keys, monitor) = start(stage.settings(3, 4), tokens).unwrap();
                signer.sign(&alfa(), key.id, [1; 32], soon()).await.unwrap();
                assert_eq!(view(&monitor.watch(), &alfa()).gauges.sessions, 3);
                assert_eq!(worker_processes().len(), 1);
                let watch = monitor.watch();
                monitor.stop(soon()).await.unwrap();
                let late = signer.sign(&alfa(), key.id, [1; 32], soon()).await;
                assert_eq!(late, Err(HsmError::Stopped));
                let late = keys.random::<16>(&alfa(), soon()).await;
                assert_eq!(late, Err(HsmError::Stopped));
                assert!(worker_processes().is_empty());
                // Ended as told: nothing is missed.
                let gauges = view(&watch, &alfa()).gauges;
                assert_eq!((gauges.threads, gauges.replaced), (0, 0));
                assert_eq!(view(&watch, &alfa()).health, Health::Serving);
            }
            // Dropped instead: killed.
            let tokens = vec![stage.token("alfa", vec![key])];
            let (_signer, _keys, monitor) = start(stage.settings(1, 4), tokens).unwrap();
            assert_eq!(worker_processes().len(), 1);
            drop(monitor);
            until_ended().await;
        },
    );
}

#[test]
fn a_call_that_outlasts_the_end_is_cut_off() {
    const NAME: &str = "life::a_call_that_outlasts_the_end_is_cut_off";
    play(NAME, &["alfa"], async |stage| {
        let key = stage.make_key("alfa", "authorization", SAFE);
        let tokens = vec![stage.token("alfa", vec![key.clone()])];
        let (signer, _keys, monitor) = start(stage.settings(1, 4), tokens).unwrap();
        let lock = stage.lock(NAME);
        let signer = Arc::new(signer);
        let sign = |digest| {
            let (signer, id) = (Arc::clone(&signer), key.id);
            tokio::spawn(async move { signer.sign(&alfa(), id, digest, soon()).await })
        };
        let signing = sign(sha256(b"message"));
        until(&monitor, "alfa", |g| g.busy == 1).await;
        let waiting = sign([2; 32]);
        until(&monitor, "alfa", |g| g.waiting == 1).await;
        let patience = Instant::now() + Duration::from_millis(100);
        let hung = monitor.stop(patience).await;
        assert_eq!(hung, Err(StopError::Hung(vec!["alfa".to_owned()])));
        assert_eq!(waiting.await.unwrap(), Err(HsmError::Stopped));
        assert_eq!(signing.await.unwrap(), Err(HsmError::Stopped));
        until_ended().await;
        drop(lock);
    });
}

/// The worker processes of this process, in the order of their ids.
pub(crate) fn worker_processes() -> Vec<Pid> {
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        // A thread may end meanwhile, and its children with it.
        let children = std::fs::read_to_string(task.unwrap().path().join("children"));
        let children = children.unwrap_or_default();
        found.extend(
            children
                .split_whitespace()
                .map(|pid| pid.parse::<i32>().unwrap()),
        );
    }
    let is_worker = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"signer\0hsm-worker\0alfa\0")
    };
    found.retain(is_worker);
    found.sort_unstable();
    found.into_iter().filter_map(Pid::from_raw).collect()
}

async fn until_ended() {
    let end = soon();
    while !worker_processes().is_empty() {
        assert!(Instant::now() < end, "processes are left");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
