//! Work: signatures and random numbers, the bounded queue, deadlines.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use semops_objects::InstitutionId;
use semops_pki::algorithm::sha256;
use signer::domain::key::KeyId;
use signer::hsm::{Health, HsmError};

use crate::stage::{SAFE, play, soon, start, until, view};

fn alfa() -> InstitutionId {
    "alfa".parse().unwrap()
}

#[test]
fn every_signature_verifies_under_concurrency() {
    play(
        "signing::every_signature_verifies_under_concurrency",
        &["alfa", "beta"],
        async |stage| {
            let institutions = ["alfa", "beta"];
            let keys = institutions.map(|label| stage.make_key(label, "authorization", SAFE));
            let tokens = [0, 1].map(|i| stage.token(institutions[i], vec![keys[i].clone()]));
            let (signer, _keys, monitor) = start(stage.settings(2, 512), tokens.into()).unwrap();
            let signer = Arc::new(signer);
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0_usize..400 {
                let (signer, key) = (Arc::clone(&signer), keys[n % 2].clone());
                let institution = institutions[n % 2].parse().unwrap();
                tasks.spawn(async move {
                    let message = n.to_be_bytes();
                    let signature = signer.sign(&institution, key.id, sha256(&message), soon());
                    let signature = signature.await.unwrap();
                    key.public.verify_raw(&message, &signature).unwrap();
                    signature
                });
            }
            let signatures: HashSet<[u8; 64]> = tasks.join_all().await.into_iter().collect();
            assert_eq!(signatures.len(), 400);
            for institution in institutions {
                let institution = institution.parse().unwrap();
                let gauges = view(&monitor.watch(), &institution).gauges;
                assert_eq!((gauges.signatures, gauges.failures), (200, 0));
                assert_eq!((gauges.threads, gauges.sessions, gauges.logins), (2, 2, 1));
                assert_eq!(view(&monitor.watch(), &institution).health, Health::Serving);
            }
            monitor.stop(soon()).await.unwrap();
        },
    );
}

#[test]
fn only_the_institutions_own_configured_keys_sign() {
    play(
        "signing::only_the_institutions_own_configured_keys_sign",
        &["alfa", "beta"],
        async |stage| {
            let own = stage.make_key("alfa", "authorization", SAFE);
            // In the token, but not in the configuration.
            let other = stage.make_key("alfa", "device-ca", SAFE);
            let foreign = stage.make_key("beta", "authorization", SAFE);
            let tokens = vec![
                stage.token("alfa", vec![own.clone()]),
                stage.token("beta", vec![foreign.clone()]),
            ];
            let (signer, keys, monitor) = start(stage.settings(1, 4), tokens).unwrap();
            for key in [other.id, foreign.id, KeyId::new([7; 32])] {
                let refused = signer.sign(&alfa(), key, [1; 32], soon()).await;
                assert!(matches!(refused, Err(HsmError::Rejected(_))), "{refused:?}");
            }
            let stranger = "gamma".parse().unwrap();
            let refused = signer.sign(&stranger, own.id, [1; 32], soon()).await;
            assert!(matches!(refused, Err(HsmError::Rejected(_))), "{refused:?}");
            assert_eq!(view(&monitor.watch(), &alfa()).gauges.signatures, 0);
            assert!(keys.list(&stranger).is_empty());
            let listed: Vec<KeyId> = keys.list(&alfa()).iter().map(|(_, key)| key.id).collect();
            assert_eq!(listed, [own.id]);
            monitor.stop(soon()).await.unwrap();
        },
    );
}

#[test]
fn a_full_queue_is_refused_at_once() {
    const NAME: &str = "signing::a_full_queue_is_refused_at_once";
    play(NAME, &["alfa"], async |stage| {
        let key = stage.make_key("alfa", "authorization", SAFE);
        let tokens = vec![stage.token("alfa", vec![key.clone()])];
        let (signer, _keys, monitor) = start(stage.settings(1, 2), tokens).unwrap();
        let lock = stage.lock(NAME);
        let (alfa, digest) = (&alfa(), sha256(b"message"));
        let sign = || signer.sign(alfa, key.id, digest, soon());
        let observed = async {
            until(&monitor, "alfa", |g| g.busy == 1 && g.waiting == 2).await;
            let before = Instant::now();
            assert!(matches!(sign().await, Err(HsmError::QueueFull(_))));
            assert!(before.elapsed() < Duration::from_secs(1));
            drop(lock);
        };
        let first = async {
            let signature = sign();
            signature.await.unwrap()
        };
        let rest = async {
            until(&monitor, "alfa", |g| g.busy == 1).await;
            tokio::join!(sign(), sign())
        };
        let (first, (second, third), ()) = tokio::join!(first, rest, observed);
        for signature in [first, second.unwrap(), third.unwrap()] {
            key.public.verify_raw(b"message", &signature).unwrap();
        }
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn an_expired_job_is_never_signed() {
    const NAME: &str = "signing::an_expired_job_is_never_signed";
    play(NAME, &["alfa"], async |stage| {
        let key = stage.make_key("alfa", "authorization", SAFE);
        let tokens = vec![stage.token("alfa", vec![key.clone()])];
        let (signer, _keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        let lock = stage.lock(NAME);
        let alfa = &alfa();
        let first = signer.sign(alfa, key.id, [1; 32], soon());
        let others = async {
            until(&monitor, "alfa", |g| g.busy == 1).await;
            let late = Instant::now() + Duration::from_millis(50);
            let expired = signer.sign(alfa, key.id, [2; 32], late).await;
            assert_eq!(expired, Err(HsmError::DeadlineExceeded));
            // One whose caller goes away before its turn.
            let gone = signer.sign(alfa, key.id, [3; 32], soon());
            let gone = tokio::time::timeout(Duration::from_millis(50), gone).await;
            assert!(gone.is_err());
            assert_eq!(view(&monitor.watch(), alfa).gauges.waiting, 2);
            drop(lock);
        };
        let (first, ()) = tokio::join!(first, others);
        assert!(first.is_ok());
        let gauges = until(&monitor, "alfa", |g| g.busy == 0 && g.waiting == 0).await;
        assert_eq!((gauges.signatures, gauges.expired), (1, 2));
        // One that is late from the start is not even queued.
        let past = signer.sign(alfa, key.id, [4; 32], Instant::now()).await;
        assert_eq!(past, Err(HsmError::DeadlineExceeded));
        assert_eq!(view(&monitor.watch(), alfa).gauges.expired, 2);
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn random_octets_differ() {
    play("signing::random_octets_differ", &["alfa"], async |stage| {
        let tokens = vec![stage.token("alfa", Vec::new())];
        let (_signer, keys, monitor) = start(stage.settings(2, 4), tokens).unwrap();
        let mut drawn = HashSet::new();
        for _ in 0..100 {
            let octets: [u8; 16] = keys.random(&alfa(), soon()).await.unwrap();
            drawn.insert(octets);
        }
        assert_eq!(drawn.len(), 100);
        let long: [u8; 256] = keys.random(&alfa(), soon()).await.unwrap();
        assert!(long[240..].iter().any(|octet| *octet != 0));
        monitor.stop(soon()).await.unwrap();
    });
}
