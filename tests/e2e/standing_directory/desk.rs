//! A person who types, with the profiles that are found in a directory.

use std::process::Command;

use e2e::{
    failure::Failure,
    phone::pseudonym,
    programs::{self, Watched},
    story::QR,
    terminal::{Said, Terminal},
};
use serde_json::Value;
use softhsm_setup::directory::Directory;

/// One of our programs, with nothing in its environment that names tokens.
fn program(name: &str) -> Result<Command, Failure> {
    let programs = programs::ours(Watched::No)?;
    let path = match name {
        "signer" => &programs.signer,
        "softhsm-setup" => &programs.softhsm_setup,
        _ => &programs.semopsctl,
    };
    let mut command = Command::new(path);
    command.env_remove("SOFTHSM2_CONF");
    Ok(command)
}

/// A command as the README or a program writes it.
pub(super) fn typed(line: &str) -> Result<Command, Failure> {
    let mut words = line.split_whitespace();
    let mut command = program(words.next().unwrap_or_default())?;
    command.args(words);
    Ok(command)
}

/// A person with the profiles of a directory.
pub(super) struct Desk<'a> {
    pub(super) directory: &'a Directory,
    pub(super) terminal: Terminal,
}

impl Desk<'_> {
    /// `semopsctl --profile DIR/profiles/CALLER.toml --json LINE`, demanding that it ends with 0.
    pub(super) fn types(&self, caller: &str, line: &str) -> Result<Value, Failure> {
        let said = self.asks(caller, line)?;
        assert!(said.succeeded(), "{caller}: {line}: {said:?}");
        Ok(serde_json::from_str(&said.out)?)
    }

    /// The same, however it ends.
    pub(super) fn asks(&self, caller: &str, line: &str) -> Result<Said, Failure> {
        let mut command = program("semopsctl")?;
        let profile = format!("profiles/{caller}.toml");
        command
            .arg("--profile")
            .arg(self.directory.path().join(profile));
        let words = line.split_whitespace();
        self.terminal.run(command.arg("--json").args(words))
    }

    /// A phone that `issuer` enrols and `bank` accepts, in the folder `phone`.
    pub(super) fn phone(&self, phone: &str, issuer: &str, bank: &str) -> Result<(), Failure> {
        let new = format!("phone new --out {phone}");
        let said = self
            .terminal
            .run(program("semopsctl")?.args(new.split_whitespace()))?;
        assert!(said.succeeded(), "{said:?}");
        let enroll = format!("enroll --csr {phone}/csr.pem --out {phone}/chain.pem --subscriber");
        let enrolled = self.types(
            &format!("{issuer}-enrolment-ra"),
            &format!("{enroll} {}", pseudonym()),
        )?;
        let device = enrolled["device_id"].as_str().unwrap();
        let accept = format!("accept --device {device} --account {}", pseudonym());
        let accepted = self.types(&format!("{bank}-enrolment-ra"), &accept)?;
        assert_eq!(accepted["status"], "ACTIVE");
        Ok(())
    }

    /// An order of that phone's owner to a payee at `to`, co-signed by `bank`; `to` finds it valid.
    pub(super) fn pays(&self, phone: &str, bank: &str, to: &str) -> Result<(), Failure> {
        self.terminal.write("qr.txt", QR)?;
        let order = format!(
            "phone order --phone {phone} --payer-institution {bank} --to {to} --channel real_pos --emv-qr qr.txt --out order.jws"
        );
        let said = self
            .terminal
            .run(program("semopsctl")?.args(order.split_whitespace()))?;
        assert!(said.succeeded(), "{said:?}");
        let cosign = "cosign --order order.jws --out authorization.jws";
        self.types(&format!("{bank}-payments-backend"), cosign)?;
        let verify = "verify --authorization authorization.jws";
        let verdict = self.types(&format!("{to}-payments-backend"), verify)?;
        assert_eq!(
            (&verdict["verdict"], &verdict["authorization"]["iss"]),
            (&"VALID".into(), &bank.into()),
            "{verdict}"
        );
        Ok(())
    }
}
