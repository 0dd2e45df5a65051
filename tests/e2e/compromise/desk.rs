//! Two custodians of alfa at their desks: one gives the command again and again, the other approves what it proposes.

use std::{
    fs,
    ops::ControlFlow,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use e2e::{
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs::{self, Watched},
    until::until,
};
use rustix::process::{Pid, Signal, kill_process};
use semops_objects::{InstitutionId, key::KeyId};
use semops_proto::v1::{self, KeyState};
use serde_json::Value;
use softhsm_setup::{Edge, certify, scheme::Role};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);
/// So many phones in a second, where all are waited for.
const FAST: &str = "40";
/// The same where something is killed meanwhile: on a busy machine it takes seconds to see how many there are.
const SLOWLY: &str = "10";

pub(super) struct Desk {
    directory: PathBuf,
    purpose: &'static str,
    folder: TempDir,
    keys: Vec<PathBuf>,
    profile: PathBuf,
}

/// Of each step, whether it is done.
pub(super) fn steps(said: &Value) -> Vec<&str> {
    let steps = said["steps"].as_array().map(Vec::as_slice);
    let states = steps.unwrap_or_default().iter();
    states
        .map(|step| step["state"].as_str().unwrap_or_default())
        .collect()
}

/// The command as it runs.
pub(super) struct Running(Child);

impl Running {
    /// Has it die at once.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        self.0.kill()?;
        Ok(self.0.wait().map(drop)?)
    }

    /// Ctrl-C: what it says as it ends.
    pub(super) fn interrupted(self) -> Result<Value, Failure> {
        kill_process(Pid::from_child(&self.0), Signal::INT)?;
        let said = self.0.wait_with_output()?;
        assert!(said.status.success(), "{said:?}");
        Ok(serde_json::from_slice(&said.stdout)?)
    }

    /// Whether it ends well.
    pub(super) fn ends(mut self) -> Result<bool, Failure> {
        Ok(self.0.wait()?.success())
    }
}

impl Desk {
    pub(super) fn new(deployment: &Deployment, purpose: &'static str) -> Result<Self, Failure> {
        let alfa: InstitutionId = "alfa".parse()?;
        let directory = deployment.directory();
        let persons = ["anna-berg", "boris-chan"].map(str::parse);
        let keys = persons.into_iter().map(|person| {
            let person = person.map_err(|_| Failure::new("no person"))?;
            Ok(directory.approval_key(&alfa, &person))
        });
        Ok(Self {
            directory: directory.path().to_owned(),
            purpose,
            folder: TempDir::new()?,
            keys: keys.collect::<Result<_, Failure>>()?,
            profile: directory.caller(&alfa, Role::Custodian, "security").profile,
        })
    }

    /// The key of this purpose that is active.
    pub(super) async fn key(deployment: &Deployment, purpose: &str) -> Result<KeyId, Failure> {
        let custodian = deployment.client("alfa", Role::Custodian).await?;
        let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
        let of = |key: &&v1::Key| {
            key.state() == KeyState::Active && key.purpose().as_str_name().ends_with(purpose)
        };
        let key = keys.iter().find(of);
        let key = key.ok_or_else(|| Failure::new("no key is active"))?;
        Ok(key.key_id.parse()?)
    }

    fn semopsctl(&self, words: &[&str], person: usize) -> Result<Command, Failure> {
        let mut command = Command::new(&programs::ours(Watched::No)?.semopsctl);
        command.arg("--json").arg("--profile").arg(&self.profile);
        command.args(words).arg("--yes").arg("--approval-key");
        command.arg(&self.keys[person]);
        Ok(command)
    }

    fn compromise(&self, per_second: &str) -> Result<Command, Failure> {
        let words = ["keys", "compromise", self.purpose, "--since", "1h"];
        let mut command = self.semopsctl(&words, 0)?;
        command.args(["--per-second", per_second, "--out"]);
        command.arg(self.folder.path());
        Ok(command)
    }

    /// The command, to its end with this code; what it says.
    pub(super) fn goes_on(&self, code: i32) -> Result<Value, Failure> {
        let said = self.compromise(FAST)?.output()?;
        if said.status.code() != Some(code) {
            return Err(Failure::new(format!("{said:?}, not {code}")));
        }
        Ok(serde_json::from_slice(&said.stdout)?)
    }

    /// The command again and again, until this step is done: the moment of a rotation has to come.
    pub(super) async fn until_done(&self, step: &str) -> Result<Value, Failure> {
        until(step, SOON, async || {
            let said = self.goes_on(0)?;
            let all = said["steps"].as_array().map(Vec::as_slice);
            let mut all = all.unwrap_or_default().iter();
            let done = all.any(|one| one["step"] == step && one["state"] == "done");
            Ok(done.then_some(said))
        })
        .await
    }

    /// The command, which goes on meanwhile.
    pub(super) fn begins(&self) -> Result<Running, Failure> {
        let mut command = self.compromise(SLOWLY)?;
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Running(command.spawn()?))
    }

    /// The other custodian does what is next.
    pub(super) fn approves(&self, said: &Value) -> Result<(), Failure> {
        let steps = said["steps"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let next = steps.iter().find(|step| step["state"] == "next");
        let who = next
            .and_then(|step| step["who"].as_str())
            .unwrap_or_default();
        let id = who
            .split("approve ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let id = id.ok_or_else(|| Failure::new(format!("nobody approves: {who}")))?;
        let said = self.semopsctl(&["change", "approve", id], 1)?.output()?;
        let answer: Value = serde_json::from_slice(&said.stdout)?;
        assert_eq!(answer["state"], "EXECUTED", "{said:?}");
        Ok(())
    }

    /// The root certifies the next key, and its certificate comes back.
    pub(super) fn certified(&self) -> Result<(), Failure> {
        let edge = Edge {
            program: programs::ours(Watched::No)?.softhsm_setup.clone(),
            signer: None,
            now: unix_now()?,
        };
        let next = self.folder.path().join("next");
        let request = next.join("request.pem");
        let made = certify(&self.directory, &request, &edge, &mut |_| {
            ControlFlow::Continue(())
        })?;
        fs::copy(&made.path, next.join("certificate.pem"))?;
        Ok(())
    }

    /// A file of the case.
    pub(super) fn saved(&self, name: &str) -> Result<String, Failure> {
        Ok(fs::read_to_string(self.folder.path().join(name))?)
    }
}
