//! What the program prints, and what it refuses to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use softhsm_setup::init;
use softhsm_setup::scheme::Scheme;

use crate::{PROGRAM, edge, files_below, go_on, text};

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[test]
fn the_program_says_what_it_does_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a scheme");
    let arguments = ["init", path.to_str().unwrap(), "--without-record"];
    let output = run(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let serve = format!(
        "\n  signer --config {}\n",
        path.join("signer.toml").display()
    );
    for part in [
        serve.as_str(),
        "signer.toml migrate",
        "change load",
        "mobilis-ceremony.json",
        "custodians/beta: hand each to its person, keep none here",
        "mobilis: token",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let before = files_below(&path).len();
    let output = run(&arguments);
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
        "--without-record",
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
fn without_the_signer_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made");
    // As installed without the signer beside it.
    let alone = folder.path().join("softhsm-setup");
    fs::copy(PROGRAM, &alone).unwrap();
    let no_signer = folder.path().join("no-signer");
    let cases = [
        (alone.as_path(), vec!["init"], folder.path().join("signer")),
        (
            Path::new(PROGRAM),
            vec!["init", "--signer", no_signer.to_str().unwrap()],
            no_signer.clone(),
        ),
    ];
    for (program, arguments, missing) in cases {
        let output = Command::new(program)
            .args(arguments)
            .arg(&path)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in [
            missing.to_str().unwrap(),
            "cargo build",
            "--signer",
            "--without-record",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!path.exists());
    }
}

#[test]
fn results_are_json_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scheme");
    let path = path.to_str().unwrap();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let output = run(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout).lines().count(), 1);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let made = json(&["init", path, "--without-record", "--json"]);
    assert_eq!(made["config"], format!("{path}/signer.toml"));
    assert_eq!(
        (
            &made["recorded"],
            made["institutions"].as_array().unwrap().len()
        ),
        (&false.into(), 3)
    );
    let alfa = &made["institutions"][0];
    for file in [
        &alfa["profiles"][0],
        &alfa["approval_keys"][2],
        &alfa["ceremony"],
    ] {
        assert!(Path::new(file.as_str().unwrap()).is_file(), "{file}");
    }
    let gamma = folder.path().join("gamma.toml");
    fs::write(&gamma, run(&["example", "--institution"]).stdout).unwrap();
    let added = json(&[
        "add",
        path,
        "--institution",
        gamma.to_str().unwrap(),
        "--without-record",
        "--json",
    ]);
    assert_eq!(added["institution"]["id"], "gamma");
    let next = &added["trust_documents"][0];
    assert_eq!(
        (&next["institution"], &next["version"]),
        (&"alfa".into(), &2.into())
    );
    assert!(Path::new(next["file"].as_str().unwrap()).is_file());
    assert_eq!(added["stale_crls"], serde_json::json!([]));
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
    let refused = init(&scheme, path, &edge(), &mut go_on);
    refused.unwrap_err().to_string()
}
