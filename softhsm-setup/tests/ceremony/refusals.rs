//! What the program prints, and what it refuses to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use softhsm_setup::init;
use softhsm_setup::scheme::Scheme;

use crate::{PROGRAM, edge, files_below, text};

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[test]
fn the_program_says_what_it_does_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a scheme");
    let output = run(&["init", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let conf = format!("SOFTHSM2_CONF={}", path.join("softhsm2.conf").display());
    for part in [
        conf.as_str(),
        "signer.toml migrate",
        "policy load",
        "mobilis: token",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let before = files_below(&path).len();
    let output = run(&["init", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nothing is ever overwritten"));
    assert_eq!(files_below(&path).len(), before);
}

#[test]
fn the_program_names_all_mistakes_of_a_scheme_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, path) = (folder.path().join("s.toml"), folder.path().join("made"));
    let wrong = Scheme::EXAMPLE
        .replace("acceptance_seconds = 60", "acceptance_seconds = 0")
        .replace("server = ", "servers = ");
    fs::write(&file, wrong).unwrap();
    let arguments = [
        "init",
        path.to_str().unwrap(),
        "--scheme",
        file.to_str().unwrap(),
    ];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    for part in [
        "5 mistake",
        "server: missing",
        "servers: unknown",
        "institution[beta].policy.acc",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!path.exists());
}

#[test]
fn a_failed_ceremony_leaves_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("not-a-module.so");
    fs::write(&fake, "no ELF").unwrap();
    let refused = refusal_of_module(&fake, &folder.path().join("made"));
    assert!(refused.contains("loading the module"), "{refused}");
    assert_eq!(fs::read_dir(folder.path().join("made")).unwrap().count(), 0);
    let missing = refusal_of_module(Path::new("/nowhere.so"), &folder.path().join("x"));
    assert!(missing.contains("softhsm-setup/install"), "{missing}");
    assert!(!folder.path().join("x").exists());
}

#[test]
fn a_module_of_another_maker_is_refused_before_anything_is_initialised() {
    let folder = tempfile::tempdir().unwrap();
    let (source, module) = (folder.path().join("m.c"), folder.path().join("m.so"));
    fs::write(&source, OTHER_MODULE).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"])
        .arg(&module)
        .arg(&source);
    assert!(cc.status().unwrap().success());
    let refused = refusal_of_module(&module, &folder.path().join("made"));
    assert!(
        refused.contains("\"Another maker\", not SoftHSM"),
        "{refused}"
    );
}

/// A PKCS#11 module that can be initialised and tells its maker; any other call would crash.
const OTHER_MODULE: &str = r#"
#include <string.h>
struct info { unsigned char version[2]; char maker[32]; unsigned long flags; char text[32]; unsigned char library[2]; };
struct list { unsigned char version[2]; void *function[68]; };
static unsigned long nothing(void *ignored) { return 0; }
static unsigned long get_info(struct info *info) {
    memset(info, 0, sizeof *info);
    memset(info->maker, ' ', 32);
    memset(info->text, ' ', 32);
    memcpy(info->maker, "Another maker", 13);
    info->version[0] = 2;
    info->version[1] = 40;
    return 0;
}
static struct list functions = { {2, 40}, {nothing, nothing, get_info} };
unsigned long C_GetFunctionList(struct list **out) { *out = &functions; return 0; }
"#;

fn refusal_of_module(module: &Path, path: &Path) -> String {
    let text = Scheme::EXAMPLE.replace("/usr/lib/softhsm/libsofthsm2.so", module.to_str().unwrap());
    let scheme = Scheme::parse(&text).unwrap();
    let refused = init(&scheme, path, &edge(), &mut |_| {});
    refused.unwrap_err().to_string()
}
