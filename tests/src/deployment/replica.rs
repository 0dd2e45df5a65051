//! One more `signer` beside a deployment's own: the same record, tokens and certificates, other addresses.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use semops_proto::client::Client;
use semopsctl::{connection, profile::Profile};
use softhsm_setup::scheme::Role;

use crate::{
    cluster::Cluster,
    deployment::{Deployment, START, address, process::Process},
    failure::Failure,
    numbers::Numbers,
    programs::{self, Watched},
    until::until,
};

/// A running replica; killed when it is dropped.
#[derive(Debug)]
pub struct Replica {
    process: Process,
    endpoint: (String, String),
    admin: SocketAddr,
    config: PathBuf,
    log: PathBuf,
}

impl Deployment {
    /// Has a deployment that never ran keep its record in a new database of `cluster`, and starts it with a replica.
    ///
    /// # Errors
    /// A step failed.
    pub async fn doubled(mut self, cluster: &Cluster) -> Result<(Self, Replica), Failure> {
        self.keep_record_in(cluster).await?;
        self.start().await?;
        let replica = self.replica(|command| command).await?;
        Ok((self, replica))
    }

    /// Starts one and waits until it serves. `changed` changes its command.
    ///
    /// # Errors
    /// It ends instead, or does not serve in time.
    pub async fn replica(
        &mut self,
        changed: impl FnOnce(Command) -> Command,
    ) -> Result<Replica, Failure> {
        let mut replica = self.spawn_replica(changed)?;
        replica.serves(self).await?;
        Ok(replica)
    }

    fn spawn_replica(&self, changed: impl FnOnce(Command) -> Command) -> Result<Replica, Failure> {
        let addresses = address::draw()?;
        let folder = self.directory.path();
        let name = format!("signer-{}", addresses.grpc.ip());
        let (config, log) = (
            folder.join(format!("{name}.toml")),
            folder.join(format!("{name}.log")),
        );
        let own = self.scheme.clone();
        let mut text = fs::read_to_string(self.directory.config())?;
        for (from, to) in [
            (own.grpc(), addresses.grpc),
            (own.http(), addresses.http),
            (own.admin(), addresses.admin),
        ] {
            // What certificates say stays: only where it listens is another.
            text = text.replace(
                &format!("listen = \"{from}\""),
                &format!("listen = \"{to}\""),
            );
        }
        fs::write(&config, text)?;
        let command = run(&programs::ours(Watched::No)?.signer, &config);
        Ok(Replica {
            process: Process::spawn(changed(command), &log)?,
            endpoint: (own.grpc().to_string(), addresses.grpc.to_string()),
            admin: addresses.admin,
            config,
            log,
        })
    }
}

/// A `signer` with this configuration and nothing else.
pub(super) fn run(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(config)
        .env_remove("SOFTHSM2_CONF");
    command
}

impl Replica {
    async fn serves(&mut self, deployment: &mut Deployment) -> Result<(), Failure> {
        deployment.runs += 1;
        until("the replica's service", START, async || {
            self.process.still_runs()?;
            let asked = self.client(deployment, "alfa", Role::Payments).await;
            Ok(asked.is_ok().then_some(()))
        })
        .await
    }

    /// What runs `program` at its addresses.
    #[must_use]
    pub fn run_by(&self, program: &Path) -> Command {
        run(program, &self.config)
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// SIGTERM: drains, demands exit code 0, and leaves its place to another.
    ///
    /// # Errors
    /// It does not end well.
    pub async fn drain(&mut self) -> Result<(), Failure> {
        self.process.signal(Signal::TERM)?;
        let ended = self.process.wait().await?;
        if ended.success() {
            return Ok(());
        }
        Err(Failure::new(format!("the replica ended with {ended}")))
    }

    /// Runs this command where the process was that has ended, and waits until it serves.
    ///
    /// # Errors
    /// It ends instead, or does not serve in time.
    pub async fn start_again(
        &mut self,
        deployment: &mut Deployment,
        command: Command,
    ) -> Result<(), Failure> {
        self.process = Process::spawn(command, &self.log)?;
        self.serves(deployment).await
    }

    /// A client of it: the caller of `institution` with this role.
    ///
    /// # Errors
    /// No connection.
    pub async fn client(
        &self,
        deployment: &Deployment,
        institution: &str,
        role: Role,
    ) -> Result<Client, Failure> {
        let own = deployment.profile_file(institution, role)?;
        let (from, to) = &self.endpoint;
        // Beside the deployment's, for its paths are relative.
        let profile = own.with_extension(format!("{}.toml", to.replace(':', "-")));
        fs::write(&profile, fs::read_to_string(&own)?.replace(from, to))?;
        Ok(connection::client(&Profile::load(&profile)?).await?)
    }

    /// The same caller at the deployment's own service, and at this one.
    ///
    /// # Errors
    /// No connection.
    pub async fn both(
        &self,
        deployment: &Deployment,
        institution: &str,
        role: Role,
    ) -> Result<[Client; 2], Failure> {
        Ok([
            deployment.client(institution, role).await?,
            self.client(deployment, institution, role).await?,
        ])
    }

    /// What it measures now.
    ///
    /// # Errors
    /// It does not answer.
    pub fn numbers(&self) -> Result<Numbers, Failure> {
        Numbers::at(self.admin)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Everything that it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM: drains, and demands exit code 0.
    ///
    /// # Errors
    /// It does not end well.
    pub async fn stop(self) -> Result<(), Failure> {
        self.process.terminate().await
    }
}
