//! The running `signer`: a child process whose output goes to a log file. It never outlives its owner.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{failure::Failure, until::until};

/// How long a drain may take: the configuration's 15 s and some.
const DRAIN: Duration = Duration::from_secs(25);

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Runs `command` with both outputs appended to the file `log`.
    ///
    /// # Errors
    /// The log cannot be opened, or the program does not start.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Self, Failure> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Fails if it has ended, with the end of its log.
    ///
    /// # Errors
    /// It has ended.
    pub fn still_runs(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }

    /// Sends SIGTERM, lets it drain, and demands that it ends well.
    ///
    /// # Errors
    /// It does not end in time, or not with exit code 0.
    pub async fn terminate(mut self) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        let status = self.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(self.ended(status))
        }
    }

    /// Sends a signal and goes on.
    ///
    /// # Errors
    /// There is no such process any more.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn wait(&mut self) -> Result<ExitStatus, Failure> {
        let child = &mut self.child;
        until("the signer's end", DRAIN, async || Ok(child.try_wait()?)).await
    }

    fn ended(&self, status: ExitStatus) -> Failure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or(&[]);
        Failure::new(format!(
            "the signer has ended with {status}\n{}",
            last.join("\n")
        ))
        .way_out(format!("its whole log is {}", self.log.display()))
    }
}

/// SIGKILL, by its process id.
impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
