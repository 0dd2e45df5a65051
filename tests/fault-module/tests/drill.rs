//! The module as a program meets it: loaded as a library, over SoftHSM, through a PKCS#11 client that is not ours.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11},
    error::{Error, Result, RvError},
    mechanism::Mechanism,
    object::{Attribute, ObjectHandle},
    session::{Session, SessionState, UserType},
    slot::Slot,
};
use secrecy::SecretString;

const SCENE: &str = "FAULT_MODULE_SCENE";
const PIN: &str = "1234-user";
/// OBJECT IDENTIFIER of P-256, in DER.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const DIGEST: [u8; 32] = [7; 32];

/// Plays a scene in a process of its own: SoftHSM and the module read their variables once in a process.
fn play(name: &str, scene: impl FnOnce(Scene)) {
    if env::var_os(SCENE).is_some_and(|playing| playing == name) {
        let folder = PathBuf::from(env::var_os("SEMOPS_FAULT_CONTROL").unwrap());
        let folder = folder.parent().unwrap().to_owned();
        return scene(Scene { folder });
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let conf = folder.path().join("softhsm2.conf");
    fs::write(
        &conf,
        format!("directories.tokendir = {}\n", tokens.display()),
    )
    .unwrap();
    for label in ["alfa", "beta"] {
        let made = Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                label,
                "--pin",
                PIN,
                "--so-pin",
                PIN,
            ])
            .env("SOFTHSM2_CONF", &conf)
            .output()
            .expect("softhsm2-util is missing; run softhsm-setup/install");
        assert!(made.status.success(), "{made:?}");
    }
    let played = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(SCENE, name)
        .env("SOFTHSM2_CONF", &conf)
        .env("SEMOPS_FAULT_CONTROL", folder.path().join("control.toml"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&played.stdout);
    let errors = String::from_utf8_lossy(&played.stderr);
    assert!(
        played.status.success() && told.contains("1 passed"),
        "the scene failed:\n{told}\n{errors}"
    );
}

struct Scene {
    folder: PathBuf,
}

fn softhsm() -> PathBuf {
    let folders = [
        "/usr/lib/softhsm",
        "/usr/lib64/softhsm",
        "/usr/lib64/pkcs11",
    ];
    let paths = folders.map(|folder| Path::new(folder).join("libsofthsm2.so"));
    let found = paths.into_iter().find(|path| path.exists());
    found.expect("SoftHSM's libsofthsm2.so is missing; run softhsm-setup/install")
}

/// Where cargo puts it for the tests of its package: beside them.
fn module() -> PathBuf {
    let beside = env::current_exe().unwrap();
    beside.with_file_name(format!("libfault_module{}", env::consts::DLL_SUFFIX))
}

impl Scene {
    fn rules_over(&self, module: &Path, rules: &str) {
        let log = self.folder.join("log");
        let text = format!("module = {module:?}\nlog = {log:?}\n{rules}");
        let beside = self.folder.join("beside");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.folder.join("control.toml")).unwrap();
    }

    fn rules(&self, rules: &str) {
        self.rules_over(&softhsm(), rules);
    }

    /// How many lines the log has about a rule.
    fn noted(&self, rule: &str) -> usize {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let about = text
            .lines()
            .filter(|line| line.split(' ').nth(2) == Some(rule));
        about.count()
    }

    fn initialized(&self) -> Pkcs11 {
        self.rules("");
        let module = Pkcs11::new(module()).unwrap();
        initialize(&module).unwrap();
        module
    }
}

fn initialize(module: &Pkcs11) -> Result<()> {
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
}

fn slot(module: &Pkcs11, label: &str) -> Slot {
    let slots = module.get_slots_with_token().unwrap().into_iter();
    let mut slots = slots.filter(|slot| module.get_token_info(*slot).unwrap().label() == label);
    slots.next().unwrap()
}

fn logged_in(module: &Pkcs11, slot: Slot) -> Session {
    let session = module.open_rw_session(slot).unwrap();
    match session.login(UserType::User, Some(&SecretString::from(PIN))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => session,
        other => panic!("{other:?}"),
    }
}

fn key(session: &Session) -> [ObjectHandle; 2] {
    let public = [
        Attribute::EcParams(P256.to_vec()),
        Attribute::Verify(true),
        Attribute::Token(true),
    ];
    let private = [
        Attribute::Sign(true),
        Attribute::Token(true),
        Attribute::Sensitive(true),
    ];
    let (public, private) = session
        .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
        .unwrap();
    [public, private]
}

fn refused<T: std::fmt::Debug>(called: Result<T>, code: RvError, function: Function) {
    let found = called.map_err(|error| match error {
        Error::Pkcs11(code, function) => format!("{function:?} {code:?}"),
        other => other.to_string(),
    });
    assert_eq!(found.unwrap_err(), format!("{function:?} {code:?}"));
}

#[test]
fn calls_fail_as_the_file_says_and_work_as_soon_as_it_does_not() {
    play(
        "calls_fail_as_the_file_says_and_work_as_soon_as_it_does_not",
        |scene| {
            let module = scene.initialized();
            let info = module.get_library_info().unwrap();
            assert_eq!(
                info.library_description(),
                "FAULT MODULE, NOT FOR PRODUCTION"
            );
            let (alfa, beta) = (slot(&module, "alfa"), slot(&module, "beta"));
            // The login lasts as long as any session.
            let _keeper = logged_in(&module, alfa);
            let session = logged_in(&module, alfa);
            let [_, private] = key(&session);
            let sign = || session.sign(&Mechanism::Ecdsa, private, &DIGEST);
            sign().unwrap();

            // Half way: the operation that C_SignInit began is active still.
            let rule = "[[fault]]\nname = \"half\"\ntoken = \"alfa\"\ncalls = [\"C_Sign\"]\nfirst = 1\n\
                    effect = { return = \"CKR_FUNCTION_FAILED\" }\n";
            scene.rules(rule);
            refused(sign(), RvError::FunctionFailed, Function::Sign);
            refused(sign(), RvError::OperationActive, Function::SignInit);
            session.close().unwrap();
            let session = logged_in(&module, alfa);
            let sign = || session.sign(&Mechanism::Ecdsa, private, &DIGEST);
            sign().unwrap();
            assert_eq!(scene.noted("half"), 1);

            // Another token is another token's.
            let at_beta = logged_in(&module, beta);
            let [_, betas] = key(&at_beta);
            scene.rules("[[fault]]\nname = \"gone\"\ntoken = \"alfa\"\neffect = \"remove\"\n");
            refused(sign(), RvError::DeviceRemoved, Function::SignInit);
            refused(
                module.get_token_info(alfa),
                RvError::TokenNotPresent,
                Function::GetTokenInfo,
            );
            refused(
                module.open_ro_session(alfa),
                RvError::TokenNotPresent,
                Function::OpenSession,
            );
            assert!(!module.get_slots_with_token().unwrap().contains(&alfa));
            assert!(module.get_all_slots().unwrap().contains(&alfa));
            at_beta.sign(&Mechanism::Ecdsa, betas, &DIGEST).unwrap();
            assert_eq!(scene.noted("gone"), 3);
            scene.rules("");
            refused(sign(), RvError::SessionHandleInvalid, Function::SignInit);
            assert_eq!(slot(&module, "alfa"), alfa);

            // The last session that ends has logged out, too.
            let session = module.open_ro_session(alfa).unwrap();
            let state = session.get_session_info().unwrap().session_state();
            assert_eq!(state, SessionState::RoPublic);
            scene.rules(
                "[[fault]]\nname = \"few\"\ntoken = \"alfa\"\neffect = { max_sessions = 1 }\n",
            );
            refused(
                module.open_ro_session(alfa),
                RvError::SessionCount,
                Function::OpenSession,
            );
            let most: Option<u64> = module
                .get_token_info(alfa)
                .unwrap()
                .max_session_count()
                .into();
            assert_eq!((most, scene.noted("few")), (Some(1), 1));
            drop(session);
            module.open_ro_session(alfa).unwrap();

            scene.rules(
                "[[fault]]\nname = \"final\"\neffect = { flags = [\"CKF_USER_PIN_FINAL_TRY\"] }\n",
            );
            assert!(module.get_token_info(alfa).unwrap().user_pin_final_try());
            module.finalize().unwrap();
        },
    );
}

#[test]
fn wrong_signatures_have_the_right_length_and_do_not_verify() {
    play(
        "wrong_signatures_have_the_right_length_and_do_not_verify",
        |scene| {
            let module = scene.initialized();
            let session = logged_in(&module, slot(&module, "alfa"));
            let [public, private] = key(&session);
            let [others, _] = key(&session);
            let sign = || session.sign(&Mechanism::Ecdsa, private, &DIGEST).unwrap();
            let verifies = |key, signature: &[u8]| {
                session
                    .verify(&Mechanism::Ecdsa, key, &DIGEST, signature)
                    .is_ok()
            };
            for (wrong, by_other) in [("bit", false), ("zero", false), ("other", true)] {
                scene.rules(&format!(
                "[[fault]]\nname = \"{wrong}\"\nfirst = 1\neffect = {{ signature = \"{wrong}\" }}\n"
            ));
                let signature = sign();
                assert_eq!(signature.len(), 64);
                assert!(!verifies(public, &signature), "{wrong}");
                assert_eq!(verifies(others, &signature), by_other, "{wrong}");
                assert_eq!(signature == [0; 64], wrong == "zero");
                assert!(verifies(public, &sign()), "{wrong}");
                assert_eq!(scene.noted(wrong), 1);
            }
            module.finalize().unwrap();
        },
    );
}

#[test]
fn it_does_not_forward_to_itself_nor_to_a_copy_and_takes_no_bad_file() {
    play(
        "it_does_not_forward_to_itself_nor_to_a_copy_and_takes_no_bad_file",
        |scene| {
            let copy = scene.folder.join("copy.so");
            fs::copy(module(), &copy).unwrap();
            let loaded = Pkcs11::new(module()).unwrap();
            let failed = |loaded: &Pkcs11| {
                refused(
                    initialize(loaded),
                    RvError::GeneralError,
                    Function::Initialize,
                );
            };
            scene.rules_over(&module(), "");
            failed(&loaded);
            // The copy finds itself in the file, over which nothing stands then.
            scene.rules_over(&copy, "");
            failed(&loaded);
            scene.rules("[[fault]]\n");
            failed(&loaded);
            scene.rules_over(Path::new("/nonexistent.so"), "");
            failed(&loaded);
            scene.rules("");
            initialize(&loaded).unwrap();
            // One more, for a new token, is SoftHSM's way.
            assert_eq!(loaded.get_slots_with_token().unwrap().len(), 3);
            loaded.finalize().unwrap();
        },
    );
}
