//! Faults of the HSM: the module that disturbs calls, put between a deployment's service and its tokens, and the rules that
//! it goes by. What the rules can say stands in the README of `tests/fault-module`.

use std::{fs, path::PathBuf};

use crate::{
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
};

const ENVIRONMENT: &str = "[hsm.environment]\n";

/// The module's control file and log.
#[derive(Debug)]
pub struct Faults {
    control: PathBuf,
    log: PathBuf,
    /// The module that really has the tokens.
    below: PathBuf,
}

/// One rule, as it stands in the control file.
#[derive(Clone, Debug)]
pub struct Fault(String);

impl Fault {
    /// A fault of the token of `institution`; `rest` is the rule's other members, in TOML.
    #[must_use]
    pub fn at(institution: &str, name: &str, rest: &str) -> Self {
        Self(format!(
            "[[fault]]\nname = \"{name}\"\ntoken = \"{institution}\"\n{rest}\n"
        ))
    }
}

impl Faults {
    /// Has the service of a deployment, which does not run yet, load the module; without a rule.
    ///
    /// # Errors
    /// The module cannot be built, or a file cannot be written.
    pub fn under(deployment: &Deployment) -> Result<Self, Failure> {
        let module = &programs::ours(Watched::No)?.fault_module;
        let folder = deployment.directory().path();
        let below = deployment.scheme().module();
        let faults = Self {
            control: folder.join("faults.toml"),
            log: folder.join("faults.log"),
            below: below.to_owned(),
        };
        deployment.configure(
            &format!("module = {below:?}"),
            &format!("module = {module:?}"),
        )?;
        let variable = format!("SEMOPS_FAULT_CONTROL = {:?}\n", faults.control);
        deployment.configure(ENVIRONMENT, &format!("{ENVIRONMENT}{variable}"))?;
        faults.set(&[])?;
        Ok(faults)
    }

    /// These rules and no others, from the next call on.
    ///
    /// # Errors
    /// The control file cannot be written.
    pub fn set(&self, rules: &[Fault]) -> Result<(), Failure> {
        let mut text = format!("module = {:?}\nlog = {:?}\n", self.below, self.log);
        text.extend(rules.iter().map(|Fault(rule)| rule.as_str()));
        // Whole or not at all: it may be read at any moment.
        let beside = self.control.with_extension("new");
        fs::write(&beside, text)?;
        Ok(fs::rename(beside, &self.control)?)
    }

    /// No rule from the next call on; calls that hang go on.
    ///
    /// # Errors
    /// The control file cannot be written.
    pub fn heal(&self) -> Result<(), Failure> {
        self.set(&[])
    }

    /// How many calls the rule has disturbed.
    ///
    /// # Errors
    /// The log cannot be read, or tells of a control file that could not be.
    pub fn struck(&self, name: &str) -> Result<usize, Failure> {
        if !self.log.exists() {
            return Ok(0);
        }
        let log = fs::read_to_string(&self.log)?;
        let of = |rule: &str| {
            let lines = log
                .lines()
                .filter(|line| line.split(' ').nth(2) == Some(rule));
            lines.count()
        };
        if of("-") > 0 {
            return Err(Failure::new(format!("a bad control file:\n{log}")));
        }
        Ok(of(name))
    }
}
