//! The persons of an institution that comes or leaves: they look at the plan, and type what it prints.

use std::{fs, process::Command};

use e2e::{
    clock::Hands,
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    terminal::{Said, Terminal},
    until::until,
};
use serde_json::Value;
use softhsm_setup::directory::Directory;

use super::SOON;

pub(crate) struct Desk<'a> {
    pub(crate) directory: Directory,
    pub(crate) institution: &'static str,
    pub(crate) persons: [&'static str; 2],
    pub(crate) terminal: Terminal,
    pub(crate) hands: Option<&'a Hands>,
}

/// The step that is next, if one is.
pub(crate) fn next(plan: &Value) -> Option<&Value> {
    let steps = plan["steps"].as_array().unwrap();
    steps.iter().find(|step| step["state"] == "next")
}

/// What is typed for a step.
pub(crate) fn commands(step: &Value) -> Vec<&str> {
    let commands = step["commands"].as_array().unwrap().iter();
    commands.map(|line| line.as_str().unwrap()).collect()
}

impl<'a> Desk<'a> {
    pub(crate) fn new(
        deployment: &Deployment,
        institution: &'static str,
        persons: [&'static str; 2],
        hands: Option<&'a Hands>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            directory: deployment.directory().clone(),
            institution,
            persons,
            terminal: Terminal::new()?,
            hands,
        })
    }

    /// `semopsctl --profile ... --json LINE` as the caller of that role, by the clock of the service.
    pub(crate) fn says(&self, role: &str, words: &[&str]) -> Result<Said, Failure> {
        let programs = programs::ours(Watched::No)?;
        let profile = format!("profiles/{}-{role}.toml", self.institution);
        let mut command = Command::new(&programs.semopsctl);
        command.arg("--profile");
        command.arg(self.directory.path().join(profile));
        command.arg("--json").args(words);
        if let Some(hands) = self.hands {
            command = hands.of(command);
        }
        self.terminal.run(&mut command)
    }

    /// The same, demanding that it ends well.
    fn asks(&self, role: &str, words: &[&str]) -> Result<Value, Failure> {
        let said = self.says(role, words)?;
        assert!(said.succeeded(), "{role}: {words:?}: {said:?}");
        Ok(serde_json::from_str(&said.out)?)
    }

    /// The plan, by the line that shows it; asked for again while the service is told of a change.
    pub(crate) async fn plan(&self, line: &str) -> Result<Value, Failure> {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        until("the plan", SOON, async || {
            let said = self.says("auditor-audit", &words)?;
            if said.err.contains("DOCUMENTS_MOVING") {
                return Ok(None);
            }
            assert!(said.succeeded(), "{line}: {said:?}");
            Ok(Some(serde_json::from_str(&said.out)?))
        })
        .await
    }

    /// A line as it is printed, typed by whoever it is for.
    pub(crate) fn types(&self, who: &str, line: &str) -> Result<Value, Failure> {
        let (role, person) = match who {
            "a custodian" => ("custodian-security", 0),
            "another custodian" => ("custodian-security", 1),
            "whoever enrols (role enrolment)" => ("enrolment-ra", 0),
            "a custodian or an auditor" => ("auditor-audit", 0),
            "custodians of the peer, with the files that --out saves" => ("custodian-security", 0),
            other => panic!("{other} types {line}"),
        };
        let (folder, person) = (self.directory.path(), self.persons[person]);
        let key = folder.join(format!("custodians/{}/{person}.key", self.institution));
        let key = key.to_string_lossy();
        let mut words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.remove(0), "semopsctl");
        for word in &mut words {
            match *word {
                "FILE" => *word = &key,
                "DIR" => *word = "evidence",
                "TRUST" => *word = "next-trust.toml",
                _ => {}
            }
        }
        if line.contains("--approval-key") {
            words.push("--yes");
        }
        self.asks(role, &words)
    }

    /// The same, and another custodian approves what is proposed.
    pub(crate) fn agrees(&self, who: &str, line: &str) -> Result<(), Failure> {
        let said = self.types(who, line)?;
        let Some(id) = said["change_id"].as_str() else {
            return Ok(());
        };
        let approve = format!("semopsctl change approve {id} --approval-key FILE");
        let said = self.types("another custodian", &approve)?;
        assert_eq!(said["state"], "EXECUTED", "{said}");
        Ok(())
    }

    /// `signer.toml` without the institution's table; what it was before.
    pub(crate) fn takes_the_table_out(&self) -> Result<String, Failure> {
        let config = self.directory.config();
        let before = fs::read_to_string(&config)?;
        let head = "[[institution]]\n";
        let own = format!("id = \"{}\"\n", self.institution);
        let (first, tables) = before.split_once(head).unwrap();
        let others: Vec<&str> = tables
            .split(head)
            .filter(|table| !table.starts_with(&own))
            .collect();
        assert_eq!(others.len() + 1, before.matches(head).count());
        let after = others
            .iter()
            .fold(first.to_owned(), |text, table| text + head + table);
        fs::write(&config, after)?;
        Ok(before)
    }

    /// A line of the operator's, typed in the service's directory.
    pub(crate) fn operates(&self, line: &str) -> Result<(), Failure> {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap_or_default();
        let signer = &programs::ours(Watched::No)?.signer;
        let mut command = match program {
            "signer" => Command::new(signer),
            other => Command::new(other),
        };
        command
            .args(words)
            .current_dir(self.directory.path())
            .env("SOFTHSM2_CONF", self.directory.softhsm_configuration());
        let output = command.output().map_err(Failure::during(line))?;
        assert!(output.status.success(), "{line}: {output:?}");
        Ok(())
    }
}
