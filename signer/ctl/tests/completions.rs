//! Shell completions: the scripts are asked in the shell itself where it is at hand, which is bash.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

use std::process::{Command, Output};

use clap::CommandFactory as _;
use semopsctl::cli::Cli;
use serde_json::Value;

fn semopsctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semopsctl"));
    command.args(arguments).output().unwrap()
}

fn script(shell: &str) -> String {
    let output = semopsctl(&["completions", shell]);
    assert!(output.status.success(), "{shell}: {output:?}");
    assert!(output.stderr.is_empty(), "{shell}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What bash offers for the last of `words`, asked as readline asks a completion function.
fn offered_by_bash(words: &[&str]) -> Vec<String> {
    let asking = "source /dev/stdin\n\
        COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_LINE=\"$*\"; COMP_POINT=${#COMP_LINE}\n\
        complete -p semopsctl >/dev/null || exit 9\n\
        _semopsctl semopsctl \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"\n\
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("semopsctl.bash");
    std::fs::write(&path, script("bash")).unwrap();
    let output = Command::new("bash")
        .args(["--norc", "--noprofile", "-c", asking, "bash"])
        .args(words)
        .stdin(std::fs::File::open(path).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_subcommands_options_and_values() {
    let all = offered_by_bash(&["semopsctl", ""]);
    for command in Cli::command().get_subcommands() {
        assert!(all.iter().any(|word| word == command.get_name()), "{all:?}");
    }
    assert_eq!(
        offered_by_bash(&["semopsctl", "dev"]),
        ["device", "devices"]
    );
    let documents = offered_by_bash(&["semopsctl", "policy", ""]);
    for word in ["show", "versions", "diff"] {
        assert!(
            documents.iter().any(|offered| offered == word),
            "{documents:?}"
        );
    }
    assert_eq!(
        offered_by_bash(&["semopsctl", "devices", "--iss"]),
        ["--issued"]
    );
    assert_eq!(
        offered_by_bash(&["semopsctl", "devices", "--status", "r"]),
        ["revoked"]
    );
}

#[test]
fn every_shell_has_a_script_that_knows_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = script(shell);
        for command in Cli::command().get_subcommands() {
            assert!(
                script.contains(command.get_name()),
                "{shell}: {}",
                command.get_name()
            );
        }
    }
    assert_eq!(semopsctl(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn programs_get_the_script_as_json() {
    let output = semopsctl(&["--json", "completions", "bash"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json.get("shell"), Some(&Value::from("bash")));
    assert_eq!(json.get("script"), Some(&Value::from(script("bash"))));
}
