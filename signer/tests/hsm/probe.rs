//! The start: what is refused, with which words, and what the report shows.

use std::path::PathBuf;

use secrecy::SecretString;
use semops_objects::InstitutionId;
use signer::hsm::{Settings, StartError, Token};

use crate::stage::{Made, PIN, SAFE, Stage, play, soon, start, view};

fn alfa() -> InstitutionId {
    "alfa".parse().unwrap()
}

fn refused(stage: &Stage, tokens: Vec<Token>) -> StartError {
    match start(stage.settings(2, 4), tokens) {
        Ok(_) => panic!("it started"),
        Err(error) => {
            assert!(!format!("{error} {error:?}").contains(PIN));
            error
        }
    }
}

/// What was said of the key.
fn defect(error: StartError) -> String {
    assert!(matches!(error, StartError::Refused(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("token \"alfa\" (slot "), "{text}");
    text
}

#[test]
fn the_report_says_what_was_found() {
    play(
        "probe::the_report_says_what_was_found",
        &["alfa"],
        async |stage| {
            let key = stage.make_key("alfa", "device-ca", SAFE);
            let tokens = vec![stage.token("alfa", vec![key.clone()])];
            let (_signer, _keys, monitor) = start(stage.settings(3, 4), tokens).unwrap();
            let watch = monitor.watch();
            let reports: Vec<_> = watch.reports().collect();
            let [report] = reports[..] else {
                panic!("one token, one report")
            };
            assert_eq!((report.threads, report.read_only), (3, true));
            let text = report.to_string();
            let id = key.id.to_string();
            for part in [
                "HSM of alfa",
                "libsofthsm2.so",
                "SoftHSM",
                "\"alfa\"",
                "CKM_ECDSA",
                "device-ca",
                id.as_str(),
                "CKA_SENSITIVE=true CKA_EXTRACTABLE=false CKA_PRIVATE=true CKA_SIGN=true",
            ] {
                assert!(text.contains(part), "{part} is not in\n{text}");
            }
            assert!(!text.contains(PIN));
            monitor.stop(soon()).await.unwrap();
        },
    );
}

#[test]
fn a_key_that_could_leave_the_token_is_refused() {
    play(
        "probe::a_key_that_could_leave_the_token_is_refused",
        &["alfa"],
        async |stage| {
            for (sensitive, extractable, attribute) in [
                (true, true, "CKA_EXTRACTABLE"),
                (false, false, "CKA_SENSITIVE"),
            ] {
                let made = Made {
                    sensitive,
                    extractable,
                };
                let key = stage.make_key("alfa", "authorization", made);
                let error = refused(&stage, vec![stage.token("alfa", vec![key.clone()])]);
                let text = error.to_string();
                assert!(text.contains(&key.id.to_string()), "{text}");
                assert!(
                    text.contains("generate a new key inside the token"),
                    "{text}"
                );
                assert!(
                    defect(error).contains(&format!("{attribute} is ")),
                    "{text}"
                );
            }
        },
    );
}

#[test]
fn a_key_that_is_not_the_one_expected_is_refused() {
    play(
        "probe::a_key_that_is_not_the_one_expected_is_refused",
        &["alfa", "beta"],
        async |stage| {
            let key = stage.make_key("alfa", "authorization", SAFE);
            let foreign = stage.make_key("beta", "authorization", SAFE);
            let with = |key| vec![stage.token("alfa", vec![key])];

            let missing = defect(refused(&stage, with(foreign.clone())));
            let count =
                "C_FindObjects found 0 objects of CKO_PRIVATE_KEY with this CKA_ID, not one";
            assert!(missing.contains(count), "{missing}");

            let mut mislabelled = key.clone();
            mislabelled.label = "device-ca".to_owned();
            let label = defect(refused(&stage, with(mislabelled)));
            assert!(label.contains("CKA_LABEL is \"authorization\""), "{label}");

            let mut other_half = key.clone();
            other_half.public = foreign.public;
            let public = defect(refused(&stage, with(other_half)));
            let other = "CKA_EC_POINT is not the public key of the certificate";
            assert!(public.contains(other), "{public}");

            // Nothing of the refusals is left behind.
            let (_signer, _keys, monitor) = start(stage.settings(1, 1), with(key)).unwrap();
            monitor.stop(soon()).await.unwrap();
        },
    );
}

#[test]
fn an_unknown_label_is_answered_with_those_there_are() {
    play(
        "probe::an_unknown_label_is_answered_with_those_there_are",
        &["alfa", "beta"],
        async |stage| {
            let mut token = stage.token("alfa", Vec::new());
            token.label = "alpha".to_owned();
            let error = refused(&stage, vec![token]).to_string();
            for part in [
                "C_GetTokenInfo",
                "\"alpha\"",
                "\"alfa\"",
                "\"beta\"",
                "institution alfa",
            ] {
                assert!(error.contains(part), "{part} is not in: {error}");
            }
        },
    );
}

#[test]
fn labels_must_be_distinct() {
    play(
        "probe::labels_must_be_distinct",
        &["alfa", "alfa"],
        async |stage| {
            let ambiguous = refused(&stage, vec![stage.token("alfa", Vec::new())]);
            let ambiguous = ambiguous.to_string();
            let both = "several tokens have the label \"alfa\", in slots [";
            assert!(ambiguous.contains(both), "{ambiguous}");
            let twice = || stage.token("alfa", Vec::new());
            let shared = refused(&stage, vec![twice(), twice()]).to_string();
            assert!(
                shared.contains("the token \"alfa\" is named twice"),
                "{shared}"
            );
            let none = start(stage.settings(0, 1), Vec::new()).err().unwrap();
            assert!(none.to_string().contains("at least 1"), "{none}");
        },
    );
}

#[test]
fn a_wrong_pin_is_refused_with_the_way_out() {
    play(
        "probe::a_wrong_pin_is_refused_with_the_way_out",
        &["alfa"],
        async |stage| {
            let mut token = stage.token("alfa", Vec::new());
            token.pin = SecretString::from("not-the-pin");
            let error = refused(&stage, vec![token]);
            let text = format!("{error} {error:?}");
            assert!(!text.contains("not-the-pin"), "{text}");
            for part in [
                "token \"alfa\"",
                "C_Login: CKR_PIN_INCORRECT",
                "correct the PIN file",
            ] {
                assert!(text.contains(part), "{part} is not in: {text}");
            }
            // The module was finalised, so that a corrected PIN works at once.
            let tokens = vec![stage.token("alfa", Vec::new())];
            let (_signer, _keys, monitor) = start(stage.settings(1, 1), tokens).unwrap();
            assert_eq!(view(&monitor.watch(), &alfa()).gauges.logins, 1);
            monitor.stop(soon()).await.unwrap();
        },
    );
}

#[test]
fn a_module_that_cannot_be_loaded_is_named() {
    let name = "probe::a_module_that_cannot_be_loaded_is_named";
    play(name, &["alfa"], async |stage| {
        let settings = Settings {
            module: PathBuf::from("/nowhere/libhsm.so"),
            ..stage.settings(1, 1)
        };
        let tokens = vec![stage.token("alfa", Vec::new())];
        let text = start(settings, tokens).err().unwrap().to_string();
        for part in ["/nowhere/libhsm.so: dlopen", "`module` under [hsm]"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    });
}

#[test]
fn a_program_that_is_no_worker_is_told_at_once() {
    let name = "probe::a_program_that_is_no_worker_is_told_at_once";
    play(name, &["alfa"], async |stage| {
        // Over and over: one that ends at once may do so before or after it was told what to do.
        let ends = std::iter::repeat_n(("/bin/false", "exit code 1"), 50);
        for (program, what) in ends.chain([("/nowhere/signer", "No such file")]) {
            let settings = Settings {
                program: PathBuf::from(program),
                ..stage.settings(1, 1)
            };
            let tokens = vec![stage.token("alfa", Vec::new())];
            let text = start(settings, tokens).err().unwrap().to_string();
            assert!(text.contains(what), "{text}");
        }
    });
}
