//! The change of a token's PIN: nothing of it is lost, wherever it is cut short.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use softhsm_setup::directory::Directory;

use crate::{PROGRAM, own, text};

fn run(made: &Directory, command: &str, more: &[&str]) -> Output {
    let mut program = Command::new(PROGRAM);
    program.arg(command).arg(made.path());
    program.args(["--institution", "beta"]).args(more);
    program.output().unwrap()
}

fn change(made: &Directory) {
    let output = run(made, "change-pin", &["--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["institution"], &told["token"]),
        (&"beta".into(), &"beta".into())
    );
    assert_eq!(
        told["pin_file"].as_str().map(Path::new),
        Some(file(made).as_path())
    );
}

/// Whether the token takes the PIN in the file.
fn opens(made: &Directory) -> bool {
    run(made, "sign-loop", &["--seconds", "1"]).status.success()
}

fn file(made: &Directory) -> PathBuf {
    made.pin(&"beta".parse().unwrap())
}

fn next(made: &Directory) -> PathBuf {
    PathBuf::from(format!("{}.next", file(made).display()))
}

#[test]
fn a_change_of_a_pin_is_finished_wherever_it_was_cut_short() {
    let (_folder, made) = own();
    let read = || fs::read_to_string(file(&made)).unwrap();
    let first = read();
    change(&made);
    let second = read();
    assert_ne!(first, second);
    assert!(opens(&made) && !next(&made).exists());
    let mode = fs::metadata(file(&made)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The token had the new one, its file not yet.
    fs::write(next(&made), &second).unwrap();
    fs::write(file(&made), &first).unwrap();
    assert!(!opens(&made));
    change(&made);
    assert_eq!(read(), second);
    assert!(opens(&made) && !next(&made).exists());

    // The new one was put down, and the token did not have it yet.
    let third = "0123456789abcdef";
    fs::write(next(&made), third).unwrap();
    change(&made);
    assert_eq!(read(), third);
    assert!(opens(&made) && !next(&made).exists());
}
