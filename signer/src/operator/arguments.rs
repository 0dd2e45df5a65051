//! Owns the command line of the program.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use super::Command;

/// The SEMOPS signing service
#[derive(Debug, Parser)]
#[command(name = "signer", subcommand_negates_reqs = true)]
pub struct Arguments {
    /// The configuration; signer.example.toml says what it holds
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Check the configuration with all its files and do nothing else; exit code 64 when it has mistakes
    #[arg(long)]
    pub check_config: bool,
    /// Serve a record that was put back from a backup: take over the newest published CRLs of all CAs, which are in DIRECTORY
    /// (DER), and hold all orders until those that were lost have expired; exit code 64 when a CRL is missing or wrong
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "check_config")]
    pub after_restore: Option<PathBuf>,
    /// What else is to be done than to serve
    #[command(subcommand)]
    pub command: Option<Otherwise>,
}

/// What is done instead of serving.
#[derive(Debug, Subcommand)]
pub enum Otherwise {
    /// What an operator asks
    #[command(flatten)]
    Operator(Command),
    /// What the service starts for each token, with a socket as standard input
    #[command(hide = true)]
    HsmWorker {
        /// Whose token
        institution: String,
        /// Its label
        #[arg(allow_hyphen_values = true)]
        token: String,
    },
}

impl Arguments {
    /// The arguments of this process; it ends with what is wrong with them.
    pub fn read() -> Self {
        let arguments = Self::parse();
        if arguments.after_restore.is_some() && arguments.command.is_some() {
            let text = "--after-restore serves; it goes with no command";
            refuse(ErrorKind::ArgumentConflict, text);
        }
        arguments
    }

    /// The configuration; the process ends if it is not named.
    pub fn config(&mut self) -> PathBuf {
        let missing = "--config <FILE> is missing";
        let file = self.config.take();
        file.unwrap_or_else(|| refuse(ErrorKind::MissingRequiredArgument, missing))
    }
}

fn refuse(kind: ErrorKind, text: &str) -> ! {
    Arguments::command().error(kind, text).exit()
}
