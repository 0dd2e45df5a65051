//! The program `signer`: reads its configuration, serves until it is told to end, or does what an operator asks.

use std::{error::Error, io::Write as _, path::PathBuf, process::ExitCode};

use clap::Parser;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use signer::{
    config::{Config, ConfigMistakes, Environment, Records},
    environment, operator, server,
};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The SEMOPS signing service
#[derive(Parser)]
struct Arguments {
    /// The configuration; signer.example.toml says what it holds
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration with all its files and do nothing else; exit code 64 when it has mistakes
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<operator::Command>,
}

const MISTAKEN: u8 = 64; // EX_USAGE of sysexits.h

fn main() -> ExitCode {
    let Err(error) = run(Arguments::parse()) else {
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
    let file = arguments.config;
    if arguments.check_config {
        return Ok(Config::load(&file).map(drop)?);
    }
    if let Some(command) = arguments.command {
        let records = Records::load(&file)?;
        return Ok(Runtime::new()?.block_on(operator::run(command, &records))?);
    }
    // What is wrong with it is told below, with all other mistakes.
    if let Ok(module) = Environment::load(&file) {
        environment::begin_with(&module)?;
    }
    let config = Config::load(&file)?;
    Ok(Runtime::new()?.block_on(server::run(config, file))?)
}
