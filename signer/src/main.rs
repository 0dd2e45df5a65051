//! The program `signer`: reads its configuration, serves until it is told to end, or does what an operator asks.

use std::{error::Error, io::Write as _, process::ExitCode};

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use signer::{
    clock::Clock,
    config::{Config, ConfigMistakes},
    hsm,
    operator::{
        self, Arguments, OperatorError, Otherwise,
        restore::{self, AfterRestoreError},
    },
    server,
};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MISTAKEN: u8 = 64; // EX_USAGE of sysexits.h

fn main() -> ExitCode {
    let arguments = Arguments::read();
    if let Some(Otherwise::HsmWorker { .. }) = arguments.command {
        return hsm::worker::run();
    }
    let Err(error) = run(arguments) else {
        return ExitCode::SUCCESS;
    };
    let _closed = writeln!(std::io::stderr(), "signer: {error}");
    let restore = error.downcast_ref::<AfterRestoreError>();
    let operator = error.downcast_ref::<OperatorError>();
    let mistaken = error.is::<ConfigMistakes>()
        || operator.is_some_and(OperatorError::is_mistake)
        || restore.is_some_and(AfterRestoreError::is_mistake);
    ExitCode::from(if mistaken { MISTAKEN } else { 1 })
}

fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    // PINs and keys stand in this memory: no core dump, no reading by others of the same user.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let file = arguments.config();
    if arguments.check_config {
        return Ok(Config::load(&file, now()).map(drop)?);
    }
    if let Some(Otherwise::Operator(command)) = arguments.command {
        return Ok(Runtime::new()?.block_on(operator::run(command, &file))?);
    }
    let (config, runtime) = (Config::load(&file, now())?, Runtime::new()?);
    if let Some(directory) = arguments.after_restore {
        runtime.block_on(restore::prepare(&config, &directory))?;
    }
    Ok(runtime.block_on(server::run(config, file))?)
}

/// Unix seconds.
fn now() -> i64 {
    Clock::system().now().seconds()
}
