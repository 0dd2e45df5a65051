//! What a release keeps of the points at which a test has the process die: nothing. The module is compiled alone, as a
//! release compiles it, into a program that reaches every point while one is armed.

#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAM: &str = "fn main() {
    for point in fault::Point::ALL {
        fault::point(*point);
    }
    println!(\"reached all\");
}
";

/// The compiler beside the cargo that built this.
fn rustc() -> PathBuf {
    Path::new(env!("CARGO")).with_file_name("rustc")
}

#[test]
fn a_release_has_no_points() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fault.rs");
    let module = module.to_str().unwrap();
    // Alone: it finds no other crate to end a process with.
    let source = format!("#[path = {module:?}]\nmod fault;\n{PROGRAM}");
    fs::write(path("reach.rs"), source).unwrap();
    let compiled = Command::new(rustc())
        .args(["--edition=2024", "-Copt-level=1", "-Cdebug-assertions=no"])
        .args(["-Adead_code", "-o"])
        .args([path("reach"), path("reach.rs")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");

    fs::write(path("armed"), "cosign.begun 1").unwrap();
    let variable = signer::fault::VARIABLE;
    let mut reach = Command::new(path("reach"));
    let reached = reach.env(variable, path("armed")).output().unwrap();
    assert!(reached.status.success(), "{}", reached.status);
    assert_eq!(reached.stdout, b"reached all\n");
    let program = fs::read(path("reach")).unwrap();
    let word = variable.as_bytes();
    assert!(program.windows(word.len()).all(|found| found != word));
}
