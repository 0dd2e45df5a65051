//! `phone`: a phone for people without one. Its folder holds key.pem, csr.pem and, once enrolled, chain.pem.

mod new;
mod order;

use std::time::SystemTime;

use clap::Subcommand;

use crate::{failure::Failure, output::Report};

/// The phone's private key, PKCS#8 PEM.
const KEY: &str = "key.pem";
/// Its certification request, PEM.
const REQUEST: &str = "csr.pem";
/// Its certificate chain, PEM, leaf first, as `enroll --out` saves it.
const CHAIN: &str = "chain.pem";

/// What the phone does.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and a certification request
    New(new::Args),
    /// Sign an order to the payer's institution
    Order(Box<order::Args>),
}

/// Does it; `now` is the phone's clock.
///
/// # Errors
/// [`Failure`], always about what the user gave.
pub fn run(args: &Args, now: SystemTime) -> Result<Report, Failure> {
    match &args.command {
        Command::New(args) => new::run(args),
        Command::Order(args) => order::run(args, now),
    }
}
