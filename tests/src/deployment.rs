//! One deployment of the whole service: a scheme made on SoftHSM in a folder and on addresses of its own, with its record
//! and first documents, the real `signer` serving it.
//!
//! A scheme is made for each deployment: its certificates carry its addresses, so that no two can share one.

pub mod address;
pub mod changes;
pub mod limits;
mod postgres;
pub mod process;
pub mod replica;

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use semops_objects::InstitutionId;
use semops_proto::client::Client;
use semopsctl::{connection, profile::Profile};
use serde::Deserialize;
use softhsm_setup::{
    Edge,
    directory::Directory,
    init,
    scheme::{Role, Scheme},
};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    deployment::process::Process,
    failure::Failure,
    programs::{self, Watched},
    until::until,
};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// A deployment; the server is killed and the folder removed when it is dropped.
#[derive(Debug)]
pub struct Deployment {
    scheme: Scheme,
    directory: Directory,
    // Before the folder: fields are dropped in this order.
    server: Option<Process>,
    runs: usize,
    /// Where its record is, if that is not the file in its directory.
    database: Option<postgres::Database>,
    folder: Option<TempDir>,
}

impl Deployment {
    /// The default scheme (banks `alfa` and `beta`, mobile network operator `mobilis`), running; with rate limits that are
    /// not met.
    ///
    /// # Errors
    /// A step failed; it says which.
    pub async fn new() -> Result<Self, Failure> {
        Self::of(Scheme::EXAMPLE).await
    }

    /// The scheme of this `scheme.toml`, running; its addresses are replaced by drawn ones, its rate limits by such as are
    /// not met.
    ///
    /// # Errors
    /// A step failed; it says which.
    pub async fn of(scheme: &str) -> Result<Self, Failure> {
        let mut deployment = Self::prepare(scheme, &mut |_| {})?;
        deployment.start().await?;
        Ok(deployment)
    }

    /// The scheme of this `scheme.toml`, running, with its own rate limits.
    ///
    /// # Errors
    /// A step failed; it says which.
    pub async fn limited(scheme: &str) -> Result<Self, Failure> {
        let mut deployment = Self::prepare_limited(scheme, &mut |_| {})?;
        deployment.start().await?;
        Ok(deployment)
    }

    /// The same as [`Deployment::of`], not running yet. Steps are told to `progress`.
    ///
    /// # Errors
    /// A step failed; it says which.
    pub fn prepare(scheme: &str, progress: &mut dyn FnMut(&str)) -> Result<Self, Failure> {
        Self::prepare_limited(&limits::limited(scheme, None, &[])?, progress)
    }

    /// Makes a scheme with its record and first documents, its own rate limits among them. It does not run yet. Steps are told
    /// to `progress`.
    ///
    /// # Errors
    /// A step failed; it says which.
    pub fn prepare_limited(scheme: &str, progress: &mut dyn FnMut(&str)) -> Result<Self, Failure> {
        let programs = programs::ours(Watched::No)?;
        let addresses = address::draw()?;
        let scheme =
            Scheme::parse(scheme)?.listening(addresses.grpc, addresses.http, addresses.admin);
        let folder = tempfile::Builder::new().prefix("semops-").tempdir()?;
        let edge = Edge {
            program: programs.softhsm_setup.clone(),
            signer: Some(programs.signer.clone()),
            now: unix_now()?,
        };
        let mut progress = |step: &str| {
            progress(step);
            ControlFlow::Continue(())
        };
        let directory = init(&scheme, &folder.path().join("scheme"), &edge, &mut progress)?;
        Ok(Self::of_directory(scheme, directory, folder))
    }

    /// What others have set up in `directory`, which is in `folder`. It does not run yet.
    #[must_use]
    pub fn of_directory(scheme: Scheme, directory: Directory, folder: TempDir) -> Self {
        Self {
            scheme,
            directory,
            server: None,
            runs: 0,
            database: None,
            folder: Some(folder),
        }
    }

    /// Starts the server and waits until it is healthy.
    ///
    /// # Errors
    /// It ends instead, or is not healthy in time.
    pub async fn start(&mut self) -> Result<(), Failure> {
        self.start_with(self.signer()?).await
    }

    /// The same with this command: the `signer`, run in another way.
    ///
    /// # Errors
    /// It ends instead, or is not healthy in time.
    pub async fn start_with(&mut self, command: Command) -> Result<(), Failure> {
        let mut process = self.spawn(command)?;
        self.runs += 1;
        until("the signer's health", START, async || {
            process.still_runs()?;
            Ok(self.is_healthy().await.then_some(()))
        })
        .await?;
        self.server = Some(process);
        Ok(())
    }

    /// Runs this command with its outputs in the log, and lets the caller see what becomes of it.
    ///
    /// # Errors
    /// It does not start.
    pub fn spawn(&self, command: Command) -> Result<Process, Failure> {
        Process::spawn(command, &self.log_path())
    }

    /// Whether the server answers SERVING, asked as an auditor of the last institution.
    pub async fn is_healthy(&self) -> bool {
        let Some(last) = self.scheme.institutions().last() else {
            return false;
        };
        let Ok(channel) = self.channel(last.id().as_str(), Role::Auditor).await else {
            return false;
        };
        let asked = HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await;
        asked.is_ok_and(|reply| reply.into_inner().status() == ServingStatus::Serving)
    }

    /// SIGTERM: drains, and demands exit code 0.
    ///
    /// # Errors
    /// It was not running, or does not end well.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        self.take_server()?.terminate().await
    }

    /// SIGKILL: what was under way is cut off.
    ///
    /// # Errors
    /// It was not running.
    pub fn kill(&mut self) -> Result<(), Failure> {
        drop(self.take_server()?);
        Ok(())
    }

    /// Stops it and starts it again.
    ///
    /// # Errors
    /// Either fails.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.stop().await?;
        self.start().await
    }

    /// How often the server was started.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// The running server.
    ///
    /// # Errors
    /// It is not running.
    pub fn server(&mut self) -> Result<&mut Process, Failure> {
        self.server.as_mut().ok_or_else(not_running)
    }

    fn take_server(&mut self) -> Result<Process, Failure> {
        self.server.take().ok_or_else(not_running)
    }

    /// The `signer` with this deployment's configuration and nothing else; arguments may follow.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn signer(&self) -> Result<Command, Failure> {
        Ok(self.run_by(&programs::ours(Watched::No)?.signer))
    }

    /// The same with another version of the `signer`.
    #[must_use]
    pub fn run_by(&self, program: &Path) -> Command {
        replica::run(program, &self.directory.config())
    }

    /// Runs the `signer` with these arguments to its end and gives its standard output.
    ///
    /// # Errors
    /// It ends with another exit code than 0; what it said is in the failure.
    pub fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.signer()?.args(arguments).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Failure::new(format!(
            "signer {}: {}\n{}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )))
    }

    /// Changes the server's configuration for its next start: `from` stands there once and becomes `to`.
    ///
    /// # Errors
    /// It stands there never, or more than once.
    pub fn configure(&self, from: &str, to: &str) -> Result<(), Failure> {
        let text = fs::read_to_string(self.directory.config())?;
        if text.matches(from).count() != 1 {
            return Err(Failure::new(format!(
                "signer.toml does not say `{from}` once"
            )));
        }
        Ok(fs::write(
            self.directory.config(),
            text.replacen(from, to, 1),
        )?)
    }

    /// A client of the service: the caller of `institution` with this role, as the default scheme names it.
    ///
    /// # Errors
    /// No connection.
    pub async fn client(&self, institution: &str, role: Role) -> Result<Client, Failure> {
        Ok(connection::client(&self.profile(institution, role)?).await?)
    }

    /// The same as a bare channel.
    ///
    /// # Errors
    /// No connection.
    pub async fn channel(&self, institution: &str, role: Role) -> Result<Channel, Failure> {
        Ok(connection::connect(&self.profile(institution, role)?).await?)
    }

    /// The connection profile of that caller.
    ///
    /// # Errors
    /// There is no such caller.
    pub fn profile(&self, institution: &str, role: Role) -> Result<Profile, Failure> {
        Ok(Profile::load(&self.profile_file(institution, role)?)?)
    }

    fn profile_file(&self, institution: &str, role: Role) -> Result<PathBuf, Failure> {
        let id: InstitutionId = institution.parse().map_err(Failure::during(institution))?;
        let name = match role {
            Role::Enrolment => "ra",
            Role::Payments => "backend",
            Role::Custodian => "security",
            Role::Auditor => "audit",
        };
        Ok(self.directory.caller(&id, role, name).profile)
    }

    /// The institutions that stand in the configuration now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn institutions(&self) -> Result<Vec<InstitutionId>, Failure> {
        let file = self.directory.config();
        let config: Institutions = toml::from_str(&fs::read_to_string(&file)?)?;
        Ok(config
            .institution
            .into_iter()
            .map(|table| table.id)
            .collect())
    }

    /// The scheme, with the drawn addresses.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The scheme's directory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The store.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.directory.path().join("signer.db")
    }

    /// Everything that the server has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The file with all that.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("signer.log")
    }

    /// Leaves the folder where it is when this is dropped, and tells where that is.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.take().map(TempDir::keep);
        self.directory.path().to_owned()
    }
}

/// What the configuration says of them.
#[derive(Deserialize)]
struct Institutions {
    institution: Vec<Institution>,
}

#[derive(Deserialize)]
struct Institution {
    id: InstitutionId,
}

fn not_running() -> Failure {
    Failure::new("the signer is not running")
}

/// The time, in unix seconds.
///
/// # Errors
/// The clock stands before 1970.
pub fn unix_now() -> Result<i64, Failure> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}
