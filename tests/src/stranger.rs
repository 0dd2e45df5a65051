//! The lines with which a stranger verifies the evidence: openssl, and Python with a JOSE library that is not ours. They
//! stand in one file, which the demo runs and prints and the README shows, so that what is shown is what was run.

use std::{ffi::OsString, path::Path, process::Command};

use crate::{failure::Failure, programs};

/// Names and values that are added to the environment of the shell.
pub type Environment = [(&'static str, OsString)];

/// The lines, ready to paste into bash in the evidence folder. A paragraph is a step: why, the command, and after `#>`
/// what it says; `...` at the end of such a line stands for what differs from run to run.
pub const LINES: &str = include_str!("stranger/lines.sh");

const SAID: &str = "#> ";
/// Between two steps' outputs; no command prints it.
const BETWEEN: &str = "-- end of step, exit code";

/// One paragraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Why: its comment.
    pub why: String,
    /// The command.
    pub command: String,
    /// What it must say.
    pub says: Vec<String>,
}

/// What came of a step.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The step.
    pub step: Step,
    /// Its exit code, `None` when it was not reached.
    pub code: Option<i32>,
    /// What it said on standard output and error.
    pub said: Vec<String>,
}

impl Outcome {
    /// Whether the step came out as it must: exit code 0 and these lines, no more.
    #[must_use]
    pub fn as_expected(&self) -> bool {
        let same = |(said, expected): (&String, &String)| match expected.strip_suffix("...") {
            Some(prefix) => said.len() > prefix.len() && said.starts_with(prefix),
            None => said == expected,
        };
        self.code == Some(0)
            && self.said.len() == self.step.says.len()
            && self.said.iter().zip(&self.step.says).all(same)
    }
}

/// Takes lines of this form apart.
#[must_use]
pub fn steps(lines: &str) -> Vec<Step> {
    let paragraphs = lines
        .split("\n\n")
        .map(str::trim_end)
        .filter(|text| !text.is_empty());
    paragraphs.map(step).collect()
}

fn step(paragraph: &str) -> Step {
    let mut lines = paragraph.lines().peekable();
    let mut why = Vec::new();
    while let Some(line) = lines.next_if(|line| line.starts_with("# ")) {
        why.push(line);
    }
    let (says, command): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with(SAID));
    Step {
        why: why.join("\n"),
        command: command.join("\n"),
        says: says
            .iter()
            .filter_map(|line| line.strip_prefix(SAID))
            .map(str::to_owned)
            .collect(),
    }
}

/// Runs such lines with bash in `folder`, one after the other in one shell.
///
/// # Errors
/// bash, openssl or Python is missing.
pub fn run(lines: &str, folder: &Path) -> Result<Vec<Outcome>, Failure> {
    run_in(lines, folder, &[])
}

/// The same with these variables in the shell's environment.
///
/// # Errors
/// bash, openssl or Python is missing.
pub fn run_in(
    lines: &str,
    folder: &Path,
    environment: &Environment,
) -> Result<Vec<Outcome>, Failure> {
    programs::openssl()?;
    programs::python()?;
    let steps = steps(lines);
    let script: String = steps
        .iter()
        .map(|step| {
            format!(
                "{{\n{}\n}} 2>&1\nprintf '%s %d\\n' '{BETWEEN}' $?\n",
                step.command
            )
        })
        .collect();
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .map_err(Failure::during("bash"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(outcomes(steps, &text))
}

fn outcomes(steps: Vec<Step>, text: &str) -> Vec<Outcome> {
    let mut lines = text.lines();
    let outcome = |step| {
        let mut said = Vec::new();
        let mut code = None;
        for line in lines.by_ref() {
            if let Some(rest) = line.strip_prefix(BETWEEN) {
                code = rest.trim().parse().ok();
                break;
            }
            said.push(line.to_owned());
        }
        Outcome { step, code, said }
    };
    steps.into_iter().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    const SAMPLE: &str = "# Why.\n# More.\nA=1\n\n# Say it.\necho $A\n#> 1\n\n# Fails.\nfalse\n\necho abc\n#> a...\n";

    #[test]
    fn a_paragraph_is_a_step() {
        let steps = steps(SAMPLE);
        assert_eq!(steps.len(), 4);
        assert_eq!(steps[0].why, "# Why.\n# More.");
        assert_eq!(
            (steps[1].command.as_str(), steps[1].says.as_slice()),
            ("echo $A", &["1".to_owned()][..])
        );
    }

    #[test]
    fn a_step_that_fails_or_says_something_else_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let good: Vec<bool> = run(SAMPLE, folder.path())
            .unwrap()
            .iter()
            .map(Outcome::as_expected)
            .collect();
        assert_eq!(good, [true, true, false, true]);
        let other = SAMPLE
            .replace("#> 1", "#> 2")
            .replace("echo abc", "echo b; exit 0");
        let bad: Vec<bool> = run(&other, folder.path())
            .unwrap()
            .iter()
            .map(Outcome::as_expected)
            .collect();
        assert_eq!(bad, [true, false, false, false]);
    }
}
