//! Life: what is lost behind the threads' backs comes back, a PIN is tried once, and the end leaves nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags};
use cryptoki::error::{Error, RvError};
use cryptoki::session::UserType;
use secrecy::SecretString;
use semops_objects::InstitutionId;
use semops_pki::algorithm::sha256;
use signer::hsm::{Health, HsmError, StopError};

use crate::stage::{PIN, SAFE, play, slot, soon, start, until};

fn alfa() -> InstitutionId {
    "alfa".parse().unwrap()
}

#[test]
fn a_lost_login_is_made_again_once() {
    play(
        "life::a_lost_login_is_made_again_once",
        &["alfa"],
        async |stage| {
            let key = stage.make_key("alfa", "authorization", SAFE);
            let tokens = vec![stage.token("alfa", vec![key.clone()])];
            let (signer, keys, monitor) = start(stage.settings(4, 64), tokens).unwrap();
            let alfa = &alfa();
            let sign = || signer.sign(alfa, key.id, sha256(b"message"), soon());
            sign().await.unwrap();
            let pkcs11 = stage.pkcs11();
            let session = pkcs11.open_ro_session(slot(&pkcs11, "alfa")).unwrap();
            session.logout().unwrap();
            let (a, b, c, d) = tokio::join!(sign(), sign(), sign(), sign());
            for signature in [a, b, c, d] {
                let signature = signature.unwrap();
                key.public.verify_raw(b"message", &signature).unwrap();
            }
            // Four threads found themselves logged out; one logged in.
            let gauges = monitor.watch().gauges(alfa).unwrap();
            assert_eq!(gauges.logins, 2, "{gauges:?}");
            assert!(gauges.failures > 0);
            assert_eq!(monitor.watch().health(alfa), Health::Serving);
            assert_eq!(gauges.threads, 4);
            let _: [u8; 8] = keys.random(alfa, soon()).await.unwrap();
            drop(session);
            let watch = monitor.watch();
            monitor.stop(soon()).await.unwrap();
            // Ended as told: nobody is missed.
            assert_eq!(watch.gauges(alfa).unwrap().threads, 0);
            assert_eq!(watch.health(alfa), Health::Serving);
        },
    );
}

#[test]
fn sessions_closed_behind_the_back_are_opened_again() {
    play(
        "life::sessions_closed_behind_the_back_are_opened_again",
        &["alfa"],
        async |stage| {
            let key = stage.make_key("alfa", "authorization", SAFE);
            let tokens = vec![stage.token("alfa", vec![key.clone()])];
            let (signer, _keys, monitor) = start(stage.settings(1, 4), tokens).unwrap();
            let alfa = &alfa();
            let sign = || signer.sign(alfa, key.id, sha256(b"message"), soon());
            sign().await.unwrap();
            // Every session and the login are gone, as after the loss of a token.
            let pkcs11 = stage.pkcs11();
            pkcs11.clone().finalize().unwrap();
            let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
            pkcs11.initialize(arguments).unwrap();
            let signature = sign().await.unwrap();
            key.public.verify_raw(b"message", &signature).unwrap();
            let gauges = monitor.watch().gauges(alfa).unwrap();
            assert_eq!((gauges.sessions, gauges.logins), (1, 2), "{gauges:?}");
            monitor.stop(soon()).await.unwrap();
        },
    );
}

#[test]
fn a_module_that_lost_its_state_needs_a_restart_and_says_so() {
    play(
        "life::a_module_that_lost_its_state_needs_a_restart_and_says_so",
        &["alfa"],
        async |stage| {
            let key = stage.make_key("alfa", "authorization", SAFE);
            let tokens = vec![stage.token("alfa", vec![key.clone()])];
            let (signer, _keys, monitor) = start(stage.settings(1, 4), tokens).unwrap();
            let pkcs11 = stage.pkcs11();
            pkcs11.clone().finalize().unwrap();
            let refused = signer.sign(&alfa(), key.id, [1; 32], soon()).await;
            let Err(HsmError::Unavailable(fault)) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(fault.code(), "CKR_CRYPTOKI_NOT_INITIALIZED");
            assert_eq!(monitor.watch().health(&alfa()), Health::NeedsRestart(fault));
            let stopped = monitor.stop(soon()).await;
            assert!(
                matches!(stopped, Err(StopError::Finalize(_))),
                "{stopped:?}"
            );
        },
    );
}

#[test]
fn a_pin_that_no_longer_fits_is_tried_once() {
    play(
        "life::a_pin_that_no_longer_fits_is_tried_once",
        &["alfa"],
        async |stage| {
            let key = stage.make_key("alfa", "authorization", SAFE);
            let tokens = vec![stage.token("alfa", vec![key.clone()])];
            let (signer, _keys, monitor) = start(stage.settings(2, 4), tokens).unwrap();
            let alfa = &alfa();
            let sign = || signer.sign(alfa, key.id, [1; 32], soon());
            let pkcs11 = stage.pkcs11();
            let session = pkcs11.open_rw_session(slot(&pkcs11, "alfa")).unwrap();
            let new = SecretString::from("another-pin");
            session.set_pin(&SecretString::from(PIN), &new).unwrap();
            session.logout().unwrap();
            assert!(!stage.token_info("alfa").user_pin_count_low());

            let refused = sign().await;
            let Err(HsmError::Unavailable(fault)) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(fault.to_string(), "C_Login: CKR_PIN_INCORRECT");
            assert!(stage.token_info("alfa").user_pin_count_low());
            assert_eq!(monitor.watch().health(alfa), Health::Fatal(fault.clone()));

            // A good login clears the flag; it would be set again by a second try of the wrong PIN.
            session.login(UserType::User, Some(&new)).unwrap();
            session.logout().unwrap();
            assert!(!stage.token_info("alfa").user_pin_count_low());
            for _ in 0..8 {
                assert_eq!(sign().await, Err(HsmError::Unavailable(fault.clone())));
            }
            assert!(!stage.token_info("alfa").user_pin_count_low());
            drop(session);
            monitor.stop(soon()).await.unwrap();
        },
    );
}

#[test]
fn one_start_at_a_time() {
    play("life::one_start_at_a_time", &["alfa"], async |stage| {
        let key = stage.make_key("alfa", "authorization", SAFE);
        let tokens = || vec![stage.token("alfa", vec![key.clone()])];
        let (signer, _keys, monitor) = start(stage.settings(1, 4), tokens()).unwrap();
        let second = start(stage.settings(1, 4), tokens()).err().unwrap();
        let text = second.to_string();
        assert!(
            text.contains("C_Initialize: CKR_CRYPTOKI_ALREADY_INITIALIZED"),
            "{text}"
        );
        let signature = signer.sign(&alfa(), key.id, sha256(b"m"), soon()).await;
        key.public.verify_raw(b"m", &signature.unwrap()).unwrap();
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn the_end_closes_and_finalises() {
    play(
        "life::the_end_closes_and_finalises",
        &["alfa"],
        async |stage| {
            let key = stage.make_key("alfa", "authorization", SAFE);
            for _ in 0..2 {
                let tokens = vec![stage.token("alfa", vec![key.clone()])];
                let (signer, keys, monitor) = start(stage.settings(3, 4), tokens).unwrap();
                signer.sign(&alfa(), key.id, [1; 32], soon()).await.unwrap();
                assert_eq!(monitor.watch().gauges(&alfa()).unwrap().sessions, 3);
                monitor.stop(soon()).await.unwrap();
                let late = signer.sign(&alfa(), key.id, [1; 32], soon()).await;
                assert_eq!(late, Err(HsmError::Stopped));
                let late = keys.random::<16>(&alfa(), soon()).await;
                assert_eq!(late, Err(HsmError::Stopped));
                let info = stage.pkcs11().get_library_info();
                assert!(matches!(
                    info,
                    Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _))
                ));
            }
        },
    );
}

#[test]
fn a_call_under_way_is_never_finalised_beside() {
    const NAME: &str = "life::a_call_under_way_is_never_finalised_beside";
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
        assert_eq!(hung, Err(StopError::Hung(vec!["hsm-alfa-0".to_owned()])));
        let pkcs11 = stage.pkcs11();
        assert!(pkcs11.get_library_info().is_ok(), "finalised beside a call");
        drop(lock);
        // The call ends whole; then the module is finalised after all.
        let signature = signing.await.unwrap().unwrap();
        key.public.verify_raw(b"message", &signature).unwrap();
        assert_eq!(waiting.await.unwrap(), Err(HsmError::Stopped));
        until_ended().await;
        let info = pkcs11.get_library_info();
        assert!(matches!(
            info,
            Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _))
        ));
    });
}

/// Waits until this process has none of the service's HSM threads any more. The module is not asked: a call beside
/// C_Finalize is what must not be.
async fn until_ended() {
    let end = soon();
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
        // A thread may end between the two readings.
        let names: Vec<String> = names.filter_map(Result::ok).collect();
        let ours = |name: &String| name.starts_with("hsm-alfa") || name.starts_with("hsm-stop");
        names.into_iter().filter(ours)
    };
    while threads().next().is_some() {
        assert!(Instant::now() < end, "threads are left");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
