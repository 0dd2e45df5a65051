//! Owns the stage of a scene: a process of its own with SoftHSM tokens of its own, beside the worker processes. SoftHSM
//! reads SOFTHSM2_CONF once, so that a test calls its own executable again, for itself alone, with that variable set.

use std::fs;
use std::future::Future;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType};
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use secrecy::SecretString;
use semops_objects::InstitutionId;
use semops_objects::jwk::thumbprint;
use semops_pki::algorithm::PublicKey;
use signer::domain::key::KeyId;
use signer::hsm::{
    self, Gauges, Key, Keys, Monitor, Settings, Signer, StartError, Token, TokenView, Watch,
};
use signer::metrics::Metrics;

pub(crate) const PIN: &str = "pin-of-the-stage";
const SO_PIN: &str = "so-pin-of-the-stage";
const CONF: &str = "SOFTHSM2_CONF";
const SCENE: &str = "SIGNER_TEST_SCENE";
const LOCK: &str = "SIGNER_TEST_LOCK";
/// Nothing in a scene takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Plays `scene` of the test `name`, on tokens with these labels.
pub(crate) fn play<F: Future<Output = ()>>(
    name: &str,
    tokens: &[&str],
    scene: impl FnOnce(Stage) -> F,
) {
    if let Some(file) = std::env::var_os(LOCK) {
        return hold(Path::new(&file));
    }
    if std::env::var_os(SCENE).is_some_and(|playing| playing == name) {
        let conf = PathBuf::from(std::env::var_os(CONF).unwrap());
        let folder = conf.parent().unwrap().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let module = module_path();
        return runtime.block_on(scene(Stage { folder, module }));
    }
    let folder = make_tokens(tokens);
    let output = again(name, folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "the scene failed:\n{told}\n{errors}"
    );
    let log = format!("{told}{errors}");
    assert!(!log.contains(PIN), "the PIN was printed:\n{log}");
}

/// The command that plays the scene of the test `name`.
fn again(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(SCENE, name)
        .env(CONF, folder.join("softhsm2.conf"));
    command
}

fn module_path() -> PathBuf {
    let known = [
        "/usr/lib/softhsm",
        "/usr/lib64/softhsm",
        "/usr/lib64/pkcs11",
    ];
    let paths = known.map(|folder| Path::new(folder).join("libsofthsm2.so"));
    let found = paths.into_iter().find(|path| path.exists());
    found.expect("SoftHSM's libsofthsm2.so is missing; run softhsm-setup/install")
}

fn make_tokens(labels: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let conf = format!("directories.tokendir = {}\n", tokens.display());
    fs::write(folder.path().join("softhsm2.conf"), conf).unwrap();
    module_path();
    for label in labels {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label])
            .args(["--pin", PIN, "--so-pin", SO_PIN])
            .env(CONF, folder.path().join("softhsm2.conf"))
            .output()
            .expect("softhsm2-util is missing; run softhsm-setup/install");
        assert!(made.status.success(), "{made:?}");
    }
    folder
}

/// The scene's world.
pub(crate) struct Stage {
    folder: PathBuf,
    module: PathBuf,
}

/// What a key made for a scene is like.
#[derive(Clone, Copy)]
pub(crate) struct Made {
    pub(crate) sensitive: bool,
    pub(crate) extractable: bool,
}

/// As the service wants it.
pub(crate) const SAFE: Made = Made {
    sensitive: true,
    extractable: false,
};

impl Stage {
    pub(crate) fn settings(&self, threads: usize, queue: usize) -> Settings {
        let variable = (CONF.to_owned(), std::env::var(CONF).unwrap());
        Settings {
            program: env!("CARGO_BIN_EXE_signer").into(),
            module: self.module.clone(),
            environment: vec![variable],
            network: false,
            workers: 1,
            hung: PATIENCE,
            threads,
            queue,
        }
    }

    /// The token with `label`, which is also its institution, and the right PIN.
    pub(crate) fn token(&self, label: &str, keys: Vec<Key>) -> Token {
        Token {
            institution: label.parse().unwrap(),
            label: label.to_owned(),
            pin: SecretString::from(PIN),
            keys,
        }
    }

    /// Makes a P-256 key in the token, in a life of the module of its own.
    pub(crate) fn make_key(&self, token: &str, label: &str, made: Made) -> Key {
        self.with(token, |pkcs11, slot| generate(pkcs11, slot, label, made))
    }

    /// Does something with the token in a life of the module of its own; the worker processes have theirs.
    pub(crate) fn with<T>(&self, token: &str, act: impl FnOnce(&Pkcs11, Slot) -> T) -> T {
        let pkcs11 = Pkcs11::new(&self.module).unwrap();
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        pkcs11.initialize(arguments).unwrap();
        let done = act(&pkcs11, slot(&pkcs11, token));
        pkcs11.finalize().unwrap();
        done
    }

    /// Gives the token another PIN.
    pub(crate) fn change_pin(&self, token: &str, new: &SecretString) {
        self.with(token, |pkcs11, slot| {
            let session = pkcs11.open_rw_session(slot).unwrap();
            session.set_pin(&SecretString::from(PIN), new).unwrap();
        });
    }

    /// Logs in, once.
    pub(crate) fn login(&self, token: &str, pin: &SecretString) {
        self.with(token, |pkcs11, slot| {
            let session = pkcs11.open_ro_session(slot).unwrap();
            session.login(UserType::User, Some(pin)).unwrap();
        });
    }

    /// Whether a wrong PIN was sent since the last right one (CKF_USER_PIN_COUNT_LOW).
    pub(crate) fn wrong_pin_was_sent(&self, token: &str) -> bool {
        self.with(token, |pkcs11, slot| {
            pkcs11.get_token_info(slot).unwrap().user_pin_count_low()
        })
    }

    /// Makes C_Sign wait: another process takes the exclusive fcntl lock on the `generation` file of
    /// the scene's one token.
    pub(crate) fn lock(&self, name: &str) -> Lock {
        let mut tokens = fs::read_dir(self.folder.join("tokens")).unwrap();
        let token = tokens.next().unwrap().unwrap().path();
        assert!(tokens.next().is_none(), "a scene with one token");
        let mut child = again(name, &self.folder)
            .env(LOCK, token.join("generation"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(output.any(|line| line.unwrap().contains("locked")));
        Lock { child, output }
    }
}

/// The token with `label`.
fn slot(pkcs11: &Pkcs11, label: &str) -> Slot {
    let slots = pkcs11.get_slots_with_initialized_token().unwrap();
    let mut slots = slots.into_iter();
    let is = |slot: &Slot| pkcs11.get_token_info(*slot).unwrap().label() == label;
    slots.find(is).unwrap()
}

fn generate(pkcs11: &Pkcs11, slot: Slot, label: &str, made: Made) -> Key {
    let session = pkcs11.open_rw_session(slot).unwrap();
    let pin = SecretString::from(PIN);
    session.login(UserType::User, Some(&pin)).unwrap();
    let curve = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let named = Attribute::Label(label.as_bytes().to_vec());
    let public = [
        Attribute::EcParams(curve),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        named.clone(),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(made.sensitive),
        Attribute::Extractable(made.extractable),
        Attribute::Sign(true),
        named,
    ];
    let pair = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private);
    let (public, private) = pair.unwrap();
    let point = session.get_attributes(public, &[AttributeType::EcPoint]);
    let [Attribute::EcPoint(point)] = &point.unwrap()[..] else {
        unreachable!("asked for one attribute")
    };
    let key = PublicKey::from_sec1(&point[2..]).unwrap();
    let id = thumbprint(&key);
    for object in [public, private] {
        let id = Attribute::Id(id.to_vec());
        session.update_attributes(object, &[id]).unwrap();
    }
    Key {
        id: KeyId::new(id),
        label: label.to_owned(),
        public: key,
    }
}

/// The lock of [`Stage::lock`], until it is dropped.
pub(crate) struct Lock {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Its output is read to the end, for a process that cannot write fails.
        self.output.by_ref().for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }
}

/// The other process: holds the lock until its input ends.
fn hold(file: &Path) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    println!("locked");
    std::io::stdout().flush().unwrap();
    let mut end = Vec::new();
    std::io::stdin().read_to_end(&mut end).unwrap();
}

/// Starts the tokens, unmeasured.
pub(crate) fn start(
    settings: Settings,
    tokens: Vec<Token>,
) -> Result<(Signer, Keys, Monitor), StartError> {
    hsm::start(settings, tokens, &Metrics::none())
}

/// How the first token of an institution fares.
pub(crate) fn view(watch: &Watch, institution: &InstitutionId) -> TokenView {
    watch.of(institution).remove(0)
}

/// A deadline that no scene reaches.
pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Waits until the token's gauges are as wanted.
pub(crate) async fn until(
    monitor: &Monitor,
    token: &str,
    wanted: impl Fn(&Gauges) -> bool,
) -> Gauges {
    let named = |view: &TokenView| view.label == token;
    let end = soon();
    loop {
        let gauges = monitor.watch().views().find(named).unwrap().gauges;
        if wanted(&gauges) {
            return gauges;
        }
        assert!(Instant::now() < end, "still {gauges:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
