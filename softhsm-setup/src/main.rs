//! The command line: takes the time, files and the paths of programs, minds interrupts, and prints what is done and
//! what to do next.

mod custody_command;
mod interrupts;
mod root_crl_command;
mod told;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, SystemTimeError};

use clap::{Args, Parser, Subcommand};
use semops_objects::institution::InstitutionId;
use softhsm_setup::error::SetupError;
use softhsm_setup::scheme::{Newcomer, Scheme, SchemeError};
use softhsm_setup::{Edge, add, add_token, certify, change_pin, init, serve_token, sign_loop};

use custody_command::CustodyArguments;
use interrupts::interrupts;
use root_crl_command::RootCrlArguments;
use told::{Told, say};

/// Exit code of a file with mistakes: EX_USAGE of sysexits(3).
const USAGE: u8 = 64;
/// Exit code of a ceremony that was interrupted: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    refused or failed: what was made is taken back, the reason and the way out are on standard error
  2    the command line is wrong
  64   the scheme or the institution's file has mistakes; all are named
  130  interrupted (SIGINT, SIGTERM, SIGHUP): what was made is taken back

With --json a command prints one JSON object on standard output, and its steps on standard error:
  init       {\"directory\", \"config\", \"recorded\", \"scheme\": {\"approval_keys\": [], \"ceremony\"},
              \"institutions\": [INSTITUTION]}
  add        {\"directory\", \"config\", \"recorded\", \"institution\": INSTITUTION,
              \"trust_documents\": [{\"institution\", \"version\", \"file\"}], \"stale_crls\": []}
  add-token  {\"institution\", \"token\", \"pin_file\"}
  certify    {\"institution\", \"hierarchy\", \"certificate\"}
  custody    {\"directory\", \"scheme\": {\"id\", \"approval_keys\": [], \"ceremony\"} or null, \"institutions\": [as \"scheme\"]}
  root-crl   {\"crls\": [{\"hierarchy\", \"crl\", \"number\", \"next_update\", \"entries\", \"new\"}]}
  change-pin {\"institution\", \"token\", \"pin_file\"}
  sign-loop  {\"signatures\", \"seconds\", \"per_second\", \"threads\"}
where INSTITUTION is {\"id\", \"profiles\": [], \"approval_keys\": [], \"ceremony\"}";

/// Makes SoftHSM tokens, keys, certificates and a ready-to-run directory for the signing service.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up a whole scheme in a new or empty folder, so that `signer --config DIR/signer.toml` serves it
    Init(InitArguments),
    /// Add an institution to a folder that `init` made; the root keys must be back in its `offline`
    Add(AddArguments),
    /// Make a further token of an institution, for keys that sign beside those in its first one
    AddToken(AddTokenArguments),
    /// Certify the next CA of an institution by its request; the key of the root must be back in `offline`
    Certify(CertifyArguments),
    /// Give a folder of an earlier version custodians: its institutions, its scheme, or both begin their history
    Custody(CustodyArguments),
    /// Issue the next CRL of each root whose key is back in `offline`, or have a root revoke a CA
    RootCrl(RootCrlArguments),
    /// Give a token of an institution a new PIN, and write it to the file that signer.toml names; then send the signer SIGHUP
    ChangePin(ChangePinArguments),
    /// Measure C_Sign (ECDSA, P-256) in an institution's token, with a key made for it and destroyed afterwards
    SignLoop(SignLoopArguments),
    /// Print a commented file to begin one's own with
    Example {
        /// An institution for `add` in place of a scheme for `init`
        #[arg(long)]
        institution: bool,
    },
    /// Hold one token for another command that is under way; speaks over standard input and output
    #[command(hide = true)]
    Token,
}

#[derive(Args)]
struct InitArguments {
    /// The folder; nothing in it is ever overwritten
    directory: PathBuf,
    /// The scheme; without it: banks alfa and beta, mobile network operator mobilis, on 127.0.0.1
    #[arg(long, value_name = "FILE")]
    scheme: Option<PathBuf>,
    #[command(flatten)]
    record: RecordArguments,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct AddArguments {
    /// The folder
    directory: PathBuf,
    /// The institution
    #[arg(long, value_name = "FILE")]
    institution: PathBuf,
    #[command(flatten)]
    record: RecordArguments,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct AddTokenArguments {
    /// The folder
    directory: PathBuf,
    /// Whose token
    #[arg(long, value_name = "ID")]
    institution: InstitutionId,
    /// Its label; the institution's id with the next number if left out
    #[arg(long, value_name = "LABEL")]
    label: Option<InstitutionId>,
    /// The program `signer`, which checks the configuration; without it, the one beside this program
    #[arg(long, value_name = "PATH")]
    signer: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct CertifyArguments {
    /// The folder
    directory: PathBuf,
    /// The certification request of a key that `semopsctl keys create` made, PEM or DER
    request: PathBuf,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ChangePinArguments {
    /// The folder
    directory: PathBuf,
    /// Whose token
    #[arg(long, value_name = "ID")]
    institution: InstitutionId,
    /// Which of its tokens, by its label; its first one if left out
    #[arg(long, value_name = "LABEL")]
    token: Option<InstitutionId>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct SignLoopArguments {
    /// The folder
    directory: PathBuf,
    /// Whose token
    #[arg(long, value_name = "ID")]
    institution: InstitutionId,
    /// For how long
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Sessions, each in its thread; as many as signer.toml has if left out
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// Who makes the record and loads the ceremonies.
#[derive(Args)]
struct RecordArguments {
    /// The program `signer`; without it, the one beside this program
    #[arg(long, value_name = "PATH")]
    signer: Option<PathBuf>,
    /// Leave the record and the loading of ceremonies to the operator, and print how it is done
    #[arg(long, conflicts_with = "signer")]
    without_record: bool,
}

impl RecordArguments {
    fn with(signer: Option<PathBuf>) -> Self {
        Self {
            signer,
            without_record: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}: {source}: name a file that can be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Scheme(#[from] SchemeError),
    #[error("{0}")]
    Setup(#[from] SetupError),
    #[error("the path of this program: {0}: start it by its path")]
    Program(io::Error),
    #[error("the clock stands before 1970: {0}: set it")]
    Clock(#[from] SystemTimeError),
    #[error("no way to mind interrupts: {0}: is the machine out of threads?")]
    Signals(io::Error),
    #[error("{0}")]
    Token(io::Error),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Scheme(_) | Self::Setup(SetupError::Scheme(_)) => ExitCode::from(USAGE),
            Self::Setup(SetupError::Interrupted) => ExitCode::from(INTERRUPTED),
            _ => ExitCode::FAILURE,
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("softhsm-setup: {failure}");
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Init(arguments) => run_init(arguments),
        Command::Add(arguments) => run_add(arguments),
        Command::AddToken(arguments) => run_add_token(arguments),
        Command::Certify(arguments) => run_certify(&arguments),
        Command::Custody(arguments) => custody_command::run(arguments),
        Command::RootCrl(arguments) => root_crl_command::run(&arguments),
        Command::ChangePin(arguments) => run_change_pin(&arguments),
        Command::SignLoop(arguments) => run_sign_loop(&arguments),
        Command::Example { institution } => {
            let (scheme, newcomer) = (Scheme::EXAMPLE, Newcomer::EXAMPLE);
            say(if institution { newcomer } else { scheme }.trim_end());
            Ok(())
        }
        Command::Token => serve_token().map_err(Failure::Token),
    }
}

fn run_init(arguments: InitArguments) -> Result<(), Failure> {
    let scheme = match arguments.scheme {
        None => Scheme::parse(Scheme::EXAMPLE)?,
        Some(path) => Scheme::parse(&read(&path)?)?,
    };
    let (edge, stop) = (edge(arguments.record)?, interrupts()?);
    let told = Told {
        json: arguments.json,
    };
    let mut progress = |step: &str| told.step(step, &stop);
    let made = init(&scheme, &arguments.directory, &edge, &mut progress)?;
    told.initialised(&scheme, &made, edge.signer.is_some());
    Ok(())
}

fn run_add(arguments: AddArguments) -> Result<(), Failure> {
    let text = read(&arguments.institution)?;
    let (edge, stop) = (edge(arguments.record)?, interrupts()?);
    let told = Told {
        json: arguments.json,
    };
    let mut progress = |step: &str| told.step(step, &stop);
    let added = add(&arguments.directory, &text, &edge, &mut progress)?;
    told.added(&added, edge.signer.is_some());
    Ok(())
}

fn run_add_token(arguments: AddTokenArguments) -> Result<(), Failure> {
    let stop = interrupts()?;
    let edge = edge(RecordArguments::with(arguments.signer))?;
    let told = Told {
        json: arguments.json,
    };
    let mut progress = |step: &str| told.step(step, &stop);
    let (institution, label) = (&arguments.institution, arguments.label.as_ref());
    let added = add_token(
        &arguments.directory,
        institution,
        label,
        &edge,
        &mut progress,
    )?;
    told.token_added(&added);
    Ok(())
}

fn run_certify(arguments: &CertifyArguments) -> Result<(), Failure> {
    let (edge, stop) = (bare_edge()?, interrupts()?);
    let told = Told {
        json: arguments.json,
    };
    let mut progress = |step: &str| told.step(step, &stop);
    let certified = certify(
        &arguments.directory,
        &arguments.request,
        &edge,
        &mut progress,
    )?;
    told.certified(&certified);
    Ok(())
}

fn run_change_pin(arguments: &ChangePinArguments) -> Result<(), Failure> {
    let (directory, institution) = (&arguments.directory, &arguments.institution);
    let (token, json) = (arguments.token.as_ref(), arguments.json);
    let changed = change_pin(directory, institution, token, &program()?)?;
    Told { json }.pin_changed(institution, &changed);
    Ok(())
}

fn run_sign_loop(arguments: &SignLoopArguments) -> Result<(), Failure> {
    let measured = sign_loop(
        &arguments.directory,
        &arguments.institution,
        arguments.seconds,
        arguments.threads,
        &program()?,
    )?;
    let told = Told {
        json: arguments.json,
    };
    told.measured(&measured);
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::Read {
        path: path.to_owned(),
        source,
    })
}

fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(Failure::Program)
}

fn edge(record: RecordArguments) -> Result<Edge, Failure> {
    let program = program()?;
    let signer = match record {
        RecordArguments {
            without_record: true,
            ..
        } => None,
        RecordArguments { signer, .. } => {
            Some(signer.unwrap_or_else(|| program.with_file_name("signer")))
        }
    };
    let now = now()?;
    Ok(Edge {
        program,
        signer,
        now,
    })
}

/// For a ceremony that needs no record.
fn bare_edge() -> Result<Edge, Failure> {
    Ok(Edge {
        program: program()?,
        signer: None,
        now: now()?,
    })
}

fn now() -> Result<i64, Failure> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
