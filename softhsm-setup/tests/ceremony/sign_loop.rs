//! The bare C_Sign loop: a figure, and no key left behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use softhsm_setup::directory::Directory;

use crate::{PROGRAM, files_below, own, text};

/// How long to wait for what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

fn sign_loop(made: &Directory, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("sign-loop").arg(made.path()).args(arguments);
    command
}

/// SoftHSM keeps each object in a file.
fn objects(tokens: &Path) -> usize {
    let files = files_below(tokens).into_iter();
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "object")
        })
        .count()
}

#[test]
fn it_prints_a_figure_and_leaves_no_key_behind() {
    let (_folder, made) = own();
    let before = objects(&made.tokens());
    let mut command = sign_loop(
        &made,
        &["--institution", "beta", "--seconds", "1", "--json"],
    );
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let figure: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |name: &str| figure[name].as_f64().unwrap();
    assert!(
        number("signatures") > 1.0 && number("seconds") >= 1.0,
        "{figure}"
    );
    let per_second = number("signatures") / number("seconds");
    assert!((number("per_second") - per_second).abs() < 0.01, "{figure}");
    assert_eq!(figure["threads"], 2, "as signer.toml says");
    assert_eq!(objects(&made.tokens()), before);

    let mut command = sign_loop(
        &made,
        &["--institution", "beta", "--seconds", "1", "--threads", "1"],
    );
    let output = command.output().unwrap();
    let said = text(&output.stdout);
    assert!(
        said.contains(" signatures a second: ") && said.contains(" 1 thread"),
        "{said}"
    );
    assert_eq!(objects(&made.tokens()), before);
}

#[test]
fn interrupted_it_leaves_no_key_behind() {
    let (_folder, made) = own();
    let before = objects(&made.tokens());
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < PATIENCE, "{what}");
            std::thread::yield_now();
        }
    };
    // Not SIGINT: a shell has what it runs in the background ignore that.
    for signal in [Signal::TERM, Signal::KILL] {
        let mut command = sign_loop(&made, &["--institution", "alfa", "--seconds", "3600"]);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        until("the key pair", &|| objects(&made.tokens()) == before + 2);
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        until("the end of the key pair", &|| {
            objects(&made.tokens()) == before
        });
    }
}

#[test]
fn what_cannot_be_measured_is_told_with_the_way_out() {
    let (_folder, made) = own();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let output = sign_loop(&made, arguments).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    };
    let unknown = ["--institution", "gamma", "--seconds", "1"];
    refused(
        &unknown,
        1,
        "no institution gamma: `[[institution]]` in signer.toml",
    );
    refused(&["--institution", "alfa", "--seconds", "0"], 2, "--seconds");
    std::fs::write(made.pin(&"alfa".parse().unwrap()), "wrong").unwrap();
    let wrong = ["--institution", "alfa", "--seconds", "1"];
    refused(&wrong, 1, "token alfa: C_Login as user");
}
