//! Sets up schemes with the real program and looks at what came out with openssl and PKCS#11.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod adding_tokens;
mod additions;
mod certifying;
mod chains;
mod contents;
mod custodians;
mod pins;
mod refusals;
mod root_crls;
mod sign_loop;
mod taken_back;
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

use semops_objects::institution::InstitutionId;
use semops_pki::certificate::Certificate;
use softhsm_setup::directory::Directory;
use softhsm_setup::scheme::Scheme;
use softhsm_setup::{Edge, init};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_softhsm-setup");
/// One directory for all tests that only read. No one drops it, so it is made where `cargo clean` removes it.
static SHARED: LazyLock<(TempDir, Directory)> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let directory = set_up(&folder.path().join("scheme"));
    (folder, directory)
});

fn shared() -> &'static Directory {
    &SHARED.1
}

fn scheme() -> Scheme {
    Scheme::parse(Scheme::EXAMPLE).unwrap()
}

fn edge() -> Edge {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Edge {
        program: PathBuf::from(PROGRAM),
        signer: None,
        now: since.unwrap().as_secs().try_into().unwrap(),
    }
}

fn set_up(path: &Path) -> Directory {
    init(&scheme(), path, &edge(), &mut go_on).unwrap()
}

fn go_on(_step: &str) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A directory of its own, in a folder that goes with the test.
fn own() -> (TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let directory = set_up(&folder.path().join("scheme"));
    (folder, directory)
}

/// Every file with its content and its mode.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let read = |path: PathBuf| {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        (path.clone(), (fs::read(path).unwrap(), mode))
    };
    files_below(folder).into_iter().map(read).collect()
}

fn id(text: &str) -> InstitutionId {
    text.parse().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn pem(path: &Path) -> Vec<Certificate> {
    Certificate::chain_from_pem(&fs::read_to_string(path).unwrap()).unwrap()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn two_ceremonies_at_once_make_two_schemes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| set_up(&folder.path().join("other")));
        (set_up(&folder.path().join("one")), other.join().unwrap())
    });
    for institution in ["alfa", "beta", "mobilis"].map(id) {
        let of = |made: &Directory| pem(&made.authorization_chain(&institution));
        assert_ne!(of(&one)[0].public_key(), of(&other)[0].public_key());
        let pin = |made: &Directory| fs::read(made.pin(&institution)).unwrap();
        assert_ne!(pin(&one), pin(&other));
    }
}
