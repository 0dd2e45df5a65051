//! The command line: takes the time, the scheme's file and this program's own path, and prints what is done and what
//! to do next.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, SystemTimeError};

use clap::{Parser, Subcommand};
use softhsm_setup::directory::Directory;
use softhsm_setup::error::SetupError;
use softhsm_setup::scheme::{Scheme, SchemeError};
use softhsm_setup::{Edge, init, serve_token};

/// Exit code of a scheme with mistakes: EX_USAGE of sysexits(3).
const USAGE: u8 = 64;

/// Makes SoftHSM tokens, keys, certificates and a ready-to-run directory for the signing service.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up a whole scheme in a new or empty folder.
    Init {
        /// The folder; nothing in it is ever overwritten.
        directory: PathBuf,
        /// The scheme; without it: banks alfa and beta, mobile network operator mobilis, on 127.0.0.1.
        #[arg(long, value_name = "FILE")]
        scheme: Option<PathBuf>,
    },
    /// Print the default scheme, commented, to begin one's own with.
    Example,
    /// Hold one token for an `init` that is under way; speaks over standard input and output.
    #[command(hide = true)]
    Token,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0}")]
    Scheme(#[from] SchemeError),
    #[error("{0}")]
    Setup(#[from] SetupError),
    #[error("the path of this program: {0}")]
    Program(std::io::Error),
    #[error("the clock stands before 1970: {0}")]
    Clock(#[from] SystemTimeError),
    #[error("{0}")]
    Token(std::io::Error),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Init { directory, scheme } => run_init(&directory, scheme.as_deref()),
        Command::Example => {
            say(Scheme::EXAMPLE.trim_end());
            Ok(())
        }
        Command::Token => serve_token().map_err(Failure::Token),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("softhsm-setup: {failure}");
            match failure {
                Failure::Scheme(_) => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run_init(directory: &Path, scheme: Option<&Path>) -> Result<(), Failure> {
    let text = match scheme {
        None => Scheme::EXAMPLE.to_owned(),
        Some(path) => fs::read_to_string(path).map_err(|source| Failure::Read {
            path: path.to_owned(),
            source,
        })?,
    };
    let scheme = Scheme::parse(&text)?;
    let edge = Edge {
        program: std::env::current_exe().map_err(Failure::Program)?,
        now: now()?,
    };
    let made = init(&scheme, directory, &edge, &mut |step| say(step))?;
    print_next(&scheme, &made);
    Ok(())
}

fn now() -> Result<i64, SystemTimeError> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn print_next(scheme: &Scheme, made: &Directory) {
    let signer = format!("  signer --config {}", made.config().display());
    let path = made.path().display();
    say(&format!(
        "\nNext, take {path}/offline to a safe place, then:"
    ));
    let conf = made.softhsm_configuration();
    say(&format!("  export SOFTHSM2_CONF={}", conf.display()));
    say(&format!("{signer} migrate"));
    for institution in scheme.institutions() {
        let id = institution.id();
        let documents = [
            ("callers", made.callers(id)),
            ("policy", made.policy(id)),
            ("trust", made.trust(id)),
        ];
        for (kind, path) in documents {
            say(&format!("{signer} {kind} load {}", path.display()));
        }
    }
    say(&signer);
}

/// Prints a line; a reader that went away does not stop a ceremony half-way.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
