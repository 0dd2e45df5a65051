//! Pairs: made in a token while it serves, taken up, found again after whatever ended the process, destroyed.

use rustix::process::{Signal, kill_process};
use semops_objects::InstitutionId;
use semops_objects::jwk::thumbprint;
use semops_pki::algorithm::{PublicKey, sha256};
use signer::domain::key::{KeyId, Purpose};
use signer::hsm::{Health, HsmError, Key, Settings, Signer};
use uuid::Uuid;

use crate::life::worker_processes;
use crate::stage::{SAFE, play, soon, start, until, view};

const LABEL: &str = "authorization";

fn alfa() -> InstitutionId {
    "alfa".parse().unwrap()
}

fn named(public: &PublicKey, label: &str) -> Key {
    Key {
        id: KeyId::new(thumbprint(public)),
        label: label.to_owned(),
        public: public.clone(),
    }
}

async fn signs(signer: &Signer, key: &Key) {
    let signature = signer.sign(&alfa(), key.id, sha256(b"m"), soon()).await;
    key.public.verify_raw(b"m", &signature.unwrap()).unwrap();
}

async fn signs_not(signer: &Signer, key: &Key) {
    let refused = signer.sign(&alfa(), key.id, sha256(b"m"), soon()).await;
    assert!(matches!(refused, Err(HsmError::Rejected(_))), "{refused:?}");
}

#[test]
fn a_pair_made_at_run_time_signs_once_it_is_taken_up() {
    const NAME: &str = "pairs::a_pair_made_at_run_time_signs_once_it_is_taken_up";
    play(NAME, &["alfa", "beta"], async |stage| {
        let alfa = &alfa();
        let first = stage.make_key("alfa", LABEL, SAFE);
        let settings = Settings {
            workers: 2,
            ..stage.settings(2, 64)
        };
        let tokens = vec![stage.token("alfa", vec![first.clone()])];
        let (signer, keys, monitor) = start(settings, tokens).unwrap();
        let request = Uuid::new_v4();
        let make = || keys.generate(alfa, None, request, Purpose::Authorization, soon());
        let public = make().await.unwrap();
        let key = named(&public, LABEL);
        signs_not(&signer, &key).await;
        assert_eq!(keys.list(alfa).len(), 1);

        let adopt = || keys.adopt(alfa, key.clone(), Some(request), soon());
        let report = adopt().await.unwrap();
        assert_eq!((report.id, report.label.as_str()), (key.id, LABEL));
        let told = |name: &str| {
            let found = report.attributes.iter().find(|(told, _)| told == name);
            found.unwrap().1
        };
        for name in [
            "CKA_SENSITIVE",
            "CKA_ALWAYS_SENSITIVE",
            "CKA_NEVER_EXTRACTABLE",
        ] {
            assert_eq!(told(name), Some(true), "{name}");
        }
        assert_eq!(
            (told("CKA_EXTRACTABLE"), told("CKA_LOCAL")),
            (Some(false), Some(true))
        );
        adopt().await.unwrap();
        let listed: Vec<KeyId> = keys.list(alfa).iter().map(|(_, key)| key.id).collect();
        assert_eq!(listed, [first.id, key.id]);
        // Whichever process and thread takes it.
        for _ in 0..8 {
            let signed = [&key, &first, &key, &key].map(|key| signs(&signer, key));
            let [a, b, c, d] = signed;
            tokio::join!(a, b, c, d);
        }
        let gauges = view(&monitor.watch(), alfa).gauges;
        assert_eq!((gauges.failures, gauges.logins, gauges.replaced), (0, 2, 0));
        // Also those that are started later.
        for pid in worker_processes() {
            kill_process(pid, Signal::KILL).unwrap();
        }
        until(&monitor, "alfa", |g| g.workers == 2 && g.replaced == 2).await;
        signs(&signer, &key).await;
        assert_eq!(
            stage.objects("alfa", LABEL),
            stage.pairs_of(&[&first, &key])
        );
        assert!(stage.objects("beta", LABEL).is_empty());
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn one_request_has_one_pair() {
    const NAME: &str = "pairs::one_request_has_one_pair";
    play(NAME, &["alfa"], async |stage| {
        let alfa = &alfa();
        let tokens = vec![stage.token("alfa", Vec::new())];
        let (_signer, keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let make = |request| keys.generate(alfa, None, request, Purpose::DeviceCa, soon());
        let first = make(one).await.unwrap();
        assert_eq!(make(one).await.unwrap(), first);
        let second = make(other).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(stage.objects("alfa", "device-ca").len(), 4);

        // Another process made a pair for the same request at the same time, and half of a third.
        stage.make_unnamed("alfa", "device-ca", one, b"\0");
        stage.make_unnamed("alfa", "device-ca", one, b"\xff");
        stage.lose_private("alfa", "device-ca", one, b"\xff");
        assert_eq!(stage.objects("alfa", "device-ca").len(), 7);
        let taken = make(one).await.unwrap();
        assert_eq!(make(one).await.unwrap(), taken);
        assert_ne!(taken, second);
        // What was recorded is kept, be it the one that is found now or the other; the others go.
        let (kept, next) = (named(&first, "device-ca"), named(&second, "device-ca"));
        let adopted = keys.adopt(alfa, kept.clone(), Some(one), soon()).await;
        assert_eq!(adopted.unwrap().id, kept.id);
        let left = stage.objects("alfa", "device-ca");
        assert_eq!(left.len(), 4);
        assert!(stage.pairs_of(&[&kept]).is_subset(&left));
        keys.adopt(alfa, next.clone(), Some(other), soon())
            .await
            .unwrap();
        assert_eq!(
            stage.objects("alfa", "device-ca"),
            stage.pairs_of(&[&kept, &next])
        );
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn a_pair_named_by_half_is_named_whole() {
    const NAME: &str = "pairs::a_pair_named_by_half_is_named_whole";
    play(NAME, &["alfa"], async |stage| {
        let alfa = &alfa();
        let tokens = vec![stage.token("alfa", Vec::new())];
        let (signer, keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        let request = Uuid::new_v4();
        let public = keys.generate(alfa, None, request, Purpose::Authorization, soon());
        let key = named(&public.await.unwrap(), LABEL);
        // Where a process may end between the two.
        stage.name_private("alfa", LABEL, &key);
        let refused = keys.adopt(alfa, key.clone(), None, soon()).await;
        let Err(HsmError::Rejected(fault)) = refused else {
            panic!("{refused:?}")
        };
        assert!(
            fault.code().contains("0 objects of CKO_PUBLIC_KEY"),
            "{fault}"
        );
        signs_not(&signer, &key).await;
        keys.adopt(alfa, key.clone(), Some(request), soon())
            .await
            .unwrap();
        signs(&signer, &key).await;
        assert_eq!(stage.objects("alfa", LABEL), stage.pairs_of(&[&key]));
        assert_eq!(view(&monitor.watch(), alfa).health, Health::Serving);
        monitor.stop(soon()).await.unwrap();
    });
}

/// While another process names the pair, a module may show its private half as it was before, and the public one as it is.
#[test]
fn nothing_is_destroyed_before_both_halves_are_seen() {
    const NAME: &str = "pairs::nothing_is_destroyed_before_both_halves_are_seen";
    play(NAME, &["alfa"], async |stage| {
        let alfa = &alfa();
        let tokens = vec![stage.token("alfa", Vec::new())];
        let (signer, keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        let request = Uuid::new_v4();
        let public = keys.generate(alfa, None, request, Purpose::Authorization, soon());
        let key = named(&public.await.unwrap(), LABEL);
        stage.name_public("alfa", LABEL, &key);
        let early = keys.adopt(alfa, key.clone(), Some(request), soon()).await;
        assert!(early.is_err());
        signs_not(&signer, &key).await;
        stage.name_private("alfa", LABEL, &key);
        keys.adopt(alfa, key.clone(), Some(request), soon())
            .await
            .unwrap();
        signs(&signer, &key).await;
        assert_eq!(stage.objects("alfa", LABEL), stage.pairs_of(&[&key]));
        monitor.stop(soon()).await.unwrap();
    });
}

/// A pair that is not yet as it must be is another process's, which is still making it.
#[test]
fn a_pair_in_the_making_is_left_to_its_maker() {
    const NAME: &str = "pairs::a_pair_in_the_making_is_left_to_its_maker";
    play(NAME, &["alfa"], async |stage| {
        let alfa = &alfa();
        let tokens = vec![stage.token("alfa", Vec::new())];
        let (_signer, keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        let request = Uuid::new_v4();
        stage.make_unfinished("alfa", LABEL, request);
        let public = keys.generate(alfa, None, request, Purpose::Authorization, soon());
        let key = named(&public.await.unwrap(), LABEL);
        assert_eq!(stage.objects("alfa", LABEL).len(), 4);
        keys.adopt(alfa, key.clone(), Some(request), soon())
            .await
            .unwrap();
        assert_eq!(stage.objects("alfa", LABEL), stage.pairs_of(&[&key]));
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn a_process_killed_while_it_makes_a_pair_leaves_one() {
    const NAME: &str = "pairs::a_process_killed_while_it_makes_a_pair_leaves_one";
    play(NAME, &["alfa"], async |stage| {
        let alfa = &alfa();
        let key = stage.make_key("alfa", "device-ca", SAFE);
        let tokens = vec![stage.token("alfa", vec![key])];
        let (signer, keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        let lock = stage.lock(NAME);
        let request = Uuid::new_v4();
        let disturb = async {
            until(&monitor, "alfa", |g| g.busy == 1).await;
            for pid in worker_processes() {
                kill_process(pid, Signal::KILL).unwrap();
            }
            until(&monitor, "alfa", |g| g.replaced == 1).await;
            drop(lock);
        };
        let make = keys.generate(alfa, None, request, Purpose::Authorization, soon());
        let (public, ()) = tokio::join!(make, disturb);
        let made = named(&public.unwrap(), LABEL);
        keys.adopt(alfa, made.clone(), Some(request), soon())
            .await
            .unwrap();
        signs(&signer, &made).await;
        assert_eq!(stage.objects("alfa", LABEL), stage.pairs_of(&[&made]));
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn what_is_not_as_it_must_be_is_not_taken_up() {
    const NAME: &str = "pairs::what_is_not_as_it_must_be_is_not_taken_up";
    play(NAME, &["alfa", "beta"], async |stage| {
        let alfa = &alfa();
        use crate::stage::Made;
        let loose = Made {
            sensitive: true,
            extractable: true,
        };
        let loose = stage.make_key("alfa", LABEL, loose);
        let foreign = stage.make_key("beta", LABEL, SAFE);
        let other = stage.make_key("alfa", "device-ca", SAFE);
        let tokens = vec![stage.token("alfa", Vec::new())];
        let (signer, keys, monitor) = start(stage.settings(1, 8), tokens).unwrap();
        for (key, why) in [
            (loose, "CKA_EXTRACTABLE is true, not false"),
            (foreign, "0 objects of CKO_PRIVATE_KEY"),
            (named(&other.public, LABEL), "CKA_LABEL is \"device-ca\""),
        ] {
            let refused = keys.adopt(alfa, key.clone(), None, soon()).await;
            let Err(HsmError::Rejected(fault)) = refused else {
                panic!("{refused:?}")
            };
            assert!(fault.code().contains(why), "{fault}");
            signs_not(&signer, &key).await;
        }
        assert!(keys.list(alfa).is_empty());
        assert_eq!(view(&monitor.watch(), alfa).health, Health::Serving);
        monitor.stop(soon()).await.unwrap();
    });
}

#[test]
fn a_destroyed_key_is_gone_and_the_others_go_on() {
    const NAME: &str = "pairs::a_destroyed_key_is_gone_and_the_others_go_on";
    play(NAME, &["alfa"], async |stage| {
        let alfa = &alfa();
        let (old, kept) = (
            stage.make_key("alfa", LABEL, SAFE),
            stage.make_key("alfa", "device-ca", SAFE),
        );
        let tokens = vec![stage.token("alfa", vec![old.clone(), kept.clone()])];
        let (signer, keys, monitor) = start(stage.settings(2, 8), tokens).unwrap();
        signs(&signer, &old).await;
        keys.destroy(alfa, old.id, soon()).await.unwrap();
        signs_not(&signer, &old).await;
        assert!(stage.objects("alfa", LABEL).is_empty());
        // Again, as after an answer that was lost.
        keys.destroy(alfa, old.id, soon()).await.unwrap();
        // A process that is started later does not miss it.
        for pid in worker_processes() {
            kill_process(pid, Signal::KILL).unwrap();
        }
        until(&monitor, "alfa", |g| g.workers == 1 && g.replaced == 1).await;
        signs(&signer, &kept).await;
        let listed: Vec<KeyId> = keys.list(alfa).iter().map(|(_, key)| key.id).collect();
        assert_eq!(listed, [kept.id]);
        monitor.stop(soon()).await.unwrap();
    });
}
