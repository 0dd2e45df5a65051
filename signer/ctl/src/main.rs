//! `semopsctl`: parse, run, print, exit code.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
    time::SystemTime,
};

use semopsctl::{
    cli::Cli,
    failure::Failure,
    output::{Exit, Form},
};
use tokio::runtime::{Builder, Runtime};

/// A load makes and sends messages as fast as the service does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::read(env::args_os()) {
        Ok(cli) => cli,
        // Only programs read it: people have been told.
        Err(failure) => return fail(&failure, true),
    };
    let json = cli.json();
    match runtime(&cli).and_then(|runtime| runtime.block_on(cli.run(SystemTime::now))) {
        Ok(report) => {
            let rendered = report.render(Form::of_stdout(json));
            match io::stdout().write_all(rendered.as_bytes()) {
                Ok(()) => match report.exit() {
                    Exit::Done => ExitCode::SUCCESS,
                    Exit::Unreliable => ExitCode::from(1),
                    Exit::NotValid => ExitCode::from(4),
                    Exit::Differs => ExitCode::from(5),
                },
                // Whoever reads has gone away; there is nobody to tell.
                Err(_) => ExitCode::from(2),
            }
        }
        Err(failure) => fail(&failure, json),
    }
}

fn fail(failure: &Failure, json: bool) -> ExitCode {
    let _ = io::stderr().write_all(failure.render(json).as_bytes());
    failure.exit_code()
}

/// One thread is enough for one call; a load takes all processors.
fn runtime(cli: &Cli) -> Result<Runtime, Failure> {
    let mut builder = if cli.is_load() {
        Builder::new_multi_thread()
    } else {
        Builder::new_current_thread()
    };
    builder.enable_all().build().map_err(|error| {
        Failure::usage(
            format!("no runtime: {error}"),
            "free some memory or threads, and try again",
        )
    })
}
