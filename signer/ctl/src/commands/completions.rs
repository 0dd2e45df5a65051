//! `completions`: what a shell needs to complete the words of this program.

use clap_complete::{Shell, generate};
use serde_json::json;

use crate::output::Report;

const HOW: &str = "\
JSON: {\"shell\", \"script\"}

bash, for you alone, from the next shell on (with the package bash-completion):
  semopsctl completions bash > ~/.local/share/bash-completion/completions/semopsctl
zsh, in a folder of $fpath:
  semopsctl completions zsh > _semopsctl
fish:
  semopsctl completions fish > ~/.config/fish/completions/semopsctl.fish";

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = HOW)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script that completes `command`.
#[must_use]
pub fn run(args: &Args, command: &mut clap::Command) -> Report {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(args.shell, command, name, &mut script);
    let script = String::from_utf8_lossy(&script);
    Report::new(json!({"shell": args.shell.to_string(), "script": script})).script(script)
}
