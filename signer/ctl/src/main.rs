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

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = match Cli::read(env::args_os()) {
        Ok(cli) => cli,
        // Only programs read it: people have been told.
        Err(failure) => return fail(&failure, true),
    };
    let json = cli.json();
    match cli.run(SystemTime::now).await {
        Ok(report) => {
            let rendered = report.render(Form::of_stdout(json));
            match io::stdout().write_all(rendered.as_bytes()) {
                Ok(()) => match report.exit() {
                    Exit::Done => ExitCode::SUCCESS,
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
