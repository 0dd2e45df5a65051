//! The program `signer`: reads its configuration, serves until it is told to end, or does what an operator asks.

use std::{error::Error, io::Write as _, path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use signer::{
    config::{Config, ConfigMistakes, Records},
    hsm, operator, server,
};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The SEMOPS signing service
#[derive(Parser)]
#[command(subcommand_negates_reqs = true)]
struct Arguments {
    /// The configuration; signer.example.toml says what it holds
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Check the configuration with all its files and do nothing else; exit code 64 when it has mistakes
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Operator(operator::Command),
    /// What the service starts for each token, with a socket as standard input
    #[command(hide = true)]
    HsmWorker { institution: String },
}

const MISTAKEN: u8 = 64; // EX_USAGE of sysexits.h

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::HsmWorker { .. }) = arguments.command {
        return hsm::worker::run();
    }
    let Err(error) = run(arguments) else {
        return ExitCode::SUCCESS;
    };
    let _closed = writeln!(std::io::stderr(), "signer: {error}");
    ExitCode::from(if error.is::<ConfigMistakes>() {
        MISTAKEN
    } else {
        1
    })
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    // PINs and keys stand in this memory: no core dump, no reading by others of the same user.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let Some(file) = arguments.config else {
        let missing = ErrorKind::MissingRequiredArgument;
        Arguments::command()
            .error(missing, "--config <FILE> is missing")
            .exit();
    };
    if arguments.check_config {
        return Ok(Config::load(&file).map(drop)?);
    }
    if let Some(Command::Operator(command)) = arguments.command {
        let records = Records::load(&file)?;
        return Ok(Runtime::new()?.block_on(operator::run(command, &records))?);
    }
    let config = Config::load(&file)?;
    Ok(Runtime::new()?.block_on(server::run(config, file))?)
}
