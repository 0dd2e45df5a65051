//! A person who types `semopsctl`, with the profiles of a deployment.

use std::{ffi::OsString, path::PathBuf, process::Command, rc::Rc};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    terminal::{Said, Terminal},
};
use serde_json::Value;
use softhsm_setup::{directory::CallerFiles, scheme::Role};

/// Institution and role of a caller; none if a command needs no profile.
pub(super) type Caller = Option<(&'static str, Role)>;

pub(super) const MOBILIS: Caller = Some(("mobilis", Role::Enrolment));
pub(super) const ALFA_RA: Caller = Some(("alfa", Role::Enrolment));
pub(super) const ALFA: Caller = Some(("alfa", Role::Payments));
pub(super) const BETA: Caller = Some(("beta", Role::Payments));
pub(super) const ALFA_SECURITY: Caller = Some(("alfa", Role::Custodian));
pub(super) const ALFA_AUDIT: Caller = Some(("alfa", Role::Auditor));

/// A terminal of 80 columns.
const COLUMNS: usize = 80;

pub(super) struct Desk<'a> {
    deployment: &'a Deployment,
    pub(super) terminal: Rc<Terminal>,
    /// Instead of the caller's own.
    profile: Option<PathBuf>,
    variable: Option<(&'static str, OsString)>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(deployment: &'a Deployment) -> Result<Self, Failure> {
        Ok(Self {
            deployment,
            terminal: Rc::new(Terminal::new()?),
            profile: None,
            variable: None,
        })
    }

    /// The same desk, where every caller has this profile.
    pub(super) fn through(&self, profile: PathBuf) -> Self {
        Self {
            terminal: Rc::clone(&self.terminal),
            profile: Some(profile),
            variable: None,
            ..*self
        }
    }

    /// The same desk, where programs find this variable in their environment.
    pub(super) fn within(&self, name: &'static str, value: impl Into<OsString>) -> Self {
        Self {
            terminal: Rc::clone(&self.terminal),
            profile: None,
            variable: Some((name, value.into())),
            ..*self
        }
    }

    /// The files of a caller.
    pub(super) fn files(&self, caller: Caller) -> Result<Option<CallerFiles>, Failure> {
        let Some((institution, role)) = caller else {
            return Ok(None);
        };
        let name = match role {
            Role::Enrolment => "ra",
            Role::Payments => "backend",
            Role::Custodian => "security",
            Role::Auditor => "audit",
        };
        let id = institution.parse().map_err(Failure::during(institution))?;
        Ok(Some(self.deployment.directory().caller(&id, role, name)))
    }

    /// `semopsctl [--profile ...] LINE`, as this caller.
    pub(super) fn types(&self, caller: Caller, line: &str) -> Result<Said, Failure> {
        self.terminal.run(&mut self.command(caller, line)?)
    }

    /// The same where COLUMNS says how wide the terminal is.
    pub(super) fn types_within(
        &self,
        columns: usize,
        caller: Caller,
        line: &str,
    ) -> Result<Said, Failure> {
        let mut command = self.command(caller, line)?;
        self.terminal
            .run(command.env("COLUMNS", columns.to_string()))
    }

    fn command(&self, caller: Caller, line: &str) -> Result<Command, Failure> {
        let mut command = Command::new(&programs::ours(Watched::No)?.semopsctl);
        if let Some(files) = self.files(caller)? {
            let profile = self.profile.as_ref().unwrap_or(&files.profile);
            command.arg("--profile").arg(profile);
        }
        command.envs(self.variable.clone());
        command.args(line.split_whitespace()).env_remove("COLUMNS");
        Ok(command)
    }

    /// Its lines for people, demanding that it ends with `code` and that every line fits 80 columns, but for those that
    /// are there to be copied.
    pub(super) fn table(&self, caller: Caller, line: &str, code: i32) -> Result<String, Failure> {
        let said = self.types(caller, line)?;
        if said.code != Some(code) {
            return Err(Failure::new(format!("{line}: {said:?}, not {code}")));
        }
        assert_eq!(said.err, "", "{line}");
        fits(&said.out, COLUMNS);
        Ok(said.out)
    }

    /// With `--json`, demanding that it ends with `code`; gives the one object that it printed.
    pub(super) fn json(&self, caller: Caller, line: &str, code: i32) -> Result<Value, Failure> {
        let said = self.types(caller, &format!("{line} --json"))?;
        if said.code != Some(code) {
            return Err(Failure::new(format!(
                "{line}: {said:?}, must end with {code}"
            )));
        }
        let (object, silent) = match code {
            0 | 4 | 5 => (&said.out, &said.err),
            _ => (&said.err, &said.out),
        };
        assert_eq!(silent, "", "{line}");
        assert_eq!(object.lines().count(), 1, "{line}: {object}");
        Ok(serde_json::from_str(object)?)
    }

    /// Demands this exit code, kind and reason, a way out, and of a refusal a request id; for programs and for people.
    pub(super) fn refused(
        &self,
        caller: Caller,
        line: &str,
        code: i32,
        kind: &str,
        reason: &str,
    ) -> Result<Value, Failure> {
        let error = self.json(caller, line, code)?["error"].clone();
        assert_eq!(error["kind"], kind, "{line}: {error}");
        let text = |member: &str| error[member].as_str().unwrap_or_default();
        assert_eq!(text("reason"), reason, "{line}: {error}");
        assert_ne!(text("way_out"), "", "{line}: {error}");
        if kind == "refused" {
            assert_ne!(text("request_id"), "", "{line}: {error}");
        }
        let for_people = self.types(caller, line)?;
        assert_eq!(
            (for_people.code, for_people.out.as_str()),
            (Some(code), ""),
            "{line}"
        );
        assert!(for_people.err.starts_with("error: "), "{for_people:?}");
        let way_out = text("way_out");
        assert!(for_people.err.contains(way_out), "{for_people:?}");
        Ok(error)
    }
}

/// Demands that every line has at most so many characters, but for steps and paths.
pub(super) fn fits(out: &str, columns: usize) {
    let copied = |line: &&str| line.starts_with("next ") || line.starts_with("saved to ");
    for line in out.lines().filter(|line| !copied(line)) {
        let length = line.chars().count();
        assert!(length <= columns, "{length} characters: {line}");
    }
}
