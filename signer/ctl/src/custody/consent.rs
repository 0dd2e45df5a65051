//! Asking the person at the terminal before anything is signed.

use std::io::{self, IsTerminal as _, Write as _};

use crate::{failure::Failure, progress::Progress};

/// Whether to ask.
#[derive(Debug, clap::Args)]
pub struct ConsentArgs {
    /// Sign without asking, once you have looked at it
    #[arg(long)]
    yes: bool,
}

impl ConsentArgs {
    /// Shows `what`, asks whether to `act`, and goes on only after a yes.
    ///
    /// # Errors
    /// [`Failure::Usage`]: no yes, or nobody who could be asked.
    pub fn ask(&self, what: &str, act: &str, progress: &Progress) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::usage(
                "nothing was signed: there is no terminal at which you could be asked",
                "look at it first (change show, policy diff), then sign with --yes",
            ));
        }
        let said = progress.hush(|| question(what, act));
        match said {
            Ok(said) if said.trim() == "yes" => Ok(()),
            Ok(_) => Err(Failure::usage(
                "nothing was signed: you did not say yes",
                "run the command again if you want to",
            )),
            Err(error) => Err(Failure::usage(
                format!("nothing was signed: {error}"),
                "look at it first, then sign with --yes",
            )),
        }
    }
}

fn question(what: &str, act: &str) -> io::Result<String> {
    write!(io::stderr(), "{what}\n{act}? Type yes: ")?;
    let mut said = String::new();
    io::stdin().read_line(&mut said)?;
    Ok(said)
}
