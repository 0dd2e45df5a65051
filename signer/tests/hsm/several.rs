//! Several tokens of one institution: each key is in one of them, and a further one that fails stops nobody.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use secrecy::SecretString;
use semops_objects::InstitutionId;
use semops_objects::key::Purpose;
use semops_pki::algorithm::sha256;
use signer::hsm::{Fit, Health, HsmError, Key, Monitor, Signer, StartError, Token};
use uuid::Uuid;

use crate::life::worker_processes;
use crate::stage::{PIN, SAFE, Stage, play, soon, start, until};

const LABEL: &str = "authorization";

fn alfa() -> InstitutionId {
    "alfa".parse().unwrap()
}

/// A further token of alfa.
fn further(stage: &Stage, label: &str) -> Token {
    Token {
        institution: alfa(),
        ..stage.token(label, Vec::new())
    }
}

async fn signs(signer: &Signer, key: &Key) {
    let signed = signer.sign(&alfa(), key.id, sha256(b"bytes"), soon()).await;
    key.public.verify_raw(b"bytes", &signed.unwrap()).unwrap();
}

async fn fares(monitor: &Monitor, label: &str, wanted: impl Fn(&Health) -> bool) {
    let end = soon();
    loop {
        let view = monitor.watch().views().find(|view| view.label == label);
        let health = view.unwrap().health;
        if wanted(&health) {
            return;
        }
        assert!(Instant::now() < end, "still {health:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn each_key_is_used_in_the_token_that_has_it() {
    const NAME: &str = "several::each_key_is_used_in_the_token_that_has_it";
    play(NAME, &["alfa", "alfa-2"], async |stage| {
        let alfa = &alfa();
        let first = stage.make_key("alfa", LABEL, SAFE);
        let second = stage.make_key("alfa-2", LABEL, SAFE);
        let tokens = vec![
            stage.token("alfa", vec![first.clone()]),
            further(&stage, "alfa-2"),
        ];
        let (signer, keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        let fit = |key: &Key| keys.fit(alfa, key.id);
        assert_eq!((fit(&first), fit(&second)), (Fit::Ready, Fit::Absent));
        keys.adopt(alfa, second.clone(), None, soon())
            .await
            .unwrap();
        assert_eq!((fit(&first), fit(&second)), (Fit::Ready, Fit::Ready));
        signs(&signer, &first).await;
        signs(&signer, &second).await;
        let made = |label: &str| {
            let view = monitor.watch().views().find(|view| view.label == label);
            view.unwrap().gauges.signatures
        };
        assert_eq!((made("alfa"), made("alfa-2")), (1, 1));
        let listed: Vec<_> = keys.list(alfa);
        let listed = listed.iter().map(|(label, key)| (label.as_str(), key.id));
        let both = [("alfa", first.id), ("alfa-2", second.id)];
        assert_eq!(listed.collect::<Vec<_>>(), both);

        // A pair is made where it is asked for, and taken up where it is.
        let request = Uuid::new_v4();
        let purpose = Purpose::Authorization;
        let public = keys.generate(alfa, Some("alfa-2"), request, purpose, soon());
        let public = public.await.unwrap();
        let third = Key {
            id: public_id(&public),
            label: LABEL.to_owned(),
            public,
        };
        keys.adopt(alfa, third.clone(), Some(request), soon())
            .await
            .unwrap();
        signs(&signer, &third).await;
        assert_eq!((made("alfa"), made("alfa-2")), (1, 2));
        let pairs = |keys: &[&Key]| stage.pairs_of(keys);
        assert_eq!(stage.objects("alfa", LABEL), pairs(&[&first]));
        assert_eq!(stage.objects("alfa-2", LABEL), pairs(&[&second, &third]));
        let nowhere = keys.generate(alfa, Some("beta"), request, purpose, soon());
        assert!(matches!(nowhere.await, Err(HsmError::Rejected(_))));

        // Destroyed wherever it is.
        keys.destroy(alfa, third.id, soon()).await.unwrap();
        assert_eq!(stage.objects("alfa-2", LABEL), pairs(&[&second]));
        assert_eq!(fit(&third), Fit::Absent);
        monitor.stop(soon()).await.unwrap();
    });
}

fn public_id(public: &semops_pki::algorithm::PublicKey) -> semops_objects::key::KeyId {
    semops_objects::key::KeyId::of(public)
}

#[test]
fn the_keys_of_a_token_that_hangs_are_less_fit() {
    const NAME: &str = "several::the_keys_of_a_token_that_hangs_are_less_fit";
    play(NAME, &["alfa", "alfa-2"], async |stage| {
        let alfa = &alfa();
        let key = stage.make_key("alfa", LABEL, SAFE);
        let tokens = vec![
            stage.token("alfa", vec![key.clone()]),
            further(&stage, "alfa-2"),
        ];
        let (signer, keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        let [first, _] = worker_processes()[..] else {
            panic!("two worker processes")
        };
        kill_process(first, Signal::STOP).unwrap();
        let end = soon();
        // Its threads stop one after the other.
        loop {
            let soon = Instant::now() + Duration::from_millis(100);
            if signer.sign(alfa, key.id, [1; 32], soon).await == Err(HsmError::DeadlineExceeded) {
                break;
            }
            assert!(Instant::now() < end);
        }
        while keys.fit(alfa, key.id) == Fit::Ready {
            assert!(Instant::now() < end);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Another one gives random octets meanwhile.
        keys.random::<16>(alfa, soon()).await.unwrap();
        kill_process(first, Signal::CONT).unwrap();
        while keys.fit(alfa, key.id) != Fit::Ready {
            assert!(Instant::now() < end);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        signs(&signer, &key).await;
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn a_further_token_that_fails_is_no_obstacle() {
    const NAME: &str = "several::a_further_token_that_fails_is_no_obstacle";
    play(NAME, &["alfa", "alfa-2"], async |stage| {
        let key = stage.make_key("alfa", LABEL, SAFE);
        let wrong = Token {
            pin: SecretString::from("wrong-pin"),
            ..further(&stage, "alfa-2")
        };
        let mut settings = stage.settings(1, 8);
        settings.workers = 2;
        let first = || stage.token("alfa", vec![key.clone()]);
        let tokens = vec![first(), wrong, further(&stage, "alfa-3")];
        let (signer, keys, monitor) = start(settings, tokens).unwrap();
        signs(&signer, &key).await;
        keys.random::<16>(&alfa(), soon()).await.unwrap();
        // The PIN was sent once; the token that is not there is looked for again and again.
        fares(&monitor, "alfa-2", |health| {
            matches!(health, Health::Fatal(_))
        })
        .await;
        fares(&monitor, "alfa-3", |health| {
            matches!(health, Health::Replacing(_))
        })
        .await;
        assert!(stage.wrong_pin_was_sent("alfa-2"));
        stage.login("alfa-2", &SecretString::from(PIN));
        assert!(!stage.wrong_pin_was_sent("alfa-2"));
        // One that is looked for meanwhile is found missing again.
        until(&monitor, "alfa", |gauges| gauges.workers == 2).await;
        monitor.stop(soon()).await.unwrap();
        assert!(!stage.wrong_pin_was_sent("alfa-2"));

        // The first one has to serve.
        let tokens = vec![further(&stage, "alfa-3"), first()];
        assert!(matches!(
            start(stage.settings(1, 8), tokens),
            Err(StartError::Refused(_))
        ));
        let tokens = ["1", "2", "3", "4", "5"].map(|label| further(&stage, label));
        assert!(matches!(
            start(stage.settings(1, 8), tokens.to_vec()),
            Err(StartError::Settings(_))
        ));
    });
}
