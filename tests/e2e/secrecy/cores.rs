//! The memory of the process: closed to others of its own user, and not left behind in a core file.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, process::Process},
    failure::Failure,
    recheck::recheck,
    until::until,
    workers,
};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use softhsm_setup::scheme::{Role, Scheme};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A program without capabilities, in a folder of its own, with leave to dump a core of any size there.
fn plainly(program: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]);
    if geteuid().is_root() {
        command.args(["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
    }
    command
        .arg(program)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// The service and a process beside it that hides nothing, both of this user, each in a folder of its own.
struct Pair {
    deployment: Deployment,
    server: Process,
    other: Child,
    folders: [TempDir; 2],
}

impl Pair {
    async fn start() -> Result<Self, Failure> {
        let deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
        let signer = deployment.signer()?;
        let mut command = plainly(&signer.get_program().to_string_lossy(), folders[0].path());
        command.args(signer.get_args());
        for (name, value) in signer.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let mut server = Process::spawn(command, &deployment.log_path())?;
        until("the signer", PATIENCE, async || {
            server.still_runs()?;
            Ok(deployment.is_healthy().await.then_some(()))
        })
        .await?;
        let other = plainly("sleep", folders[1].path()).arg("300").spawn()?;
        let pair = Self {
            deployment,
            server,
            other,
            folders,
        };
        // Once it has given up what it may, another of its user can read it.
        until("what may be read", PATIENCE, async || {
            Ok(pair.readable(pair.other.id())?.then_some(()))
        })
        .await?;
        Ok(pair)
    }

    /// Whether a process of this user without capabilities can read the environment of that one: it needs the same leave
    /// as for its memory (ptrace(2), "Ptrace access mode checking").
    fn readable(&self, pid: u32) -> Result<bool, Failure> {
        let mut cat = plainly("cat", self.folders[1].path());
        let cat = cat.arg(format!("/proc/{pid}/environ"));
        Ok(cat
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?
            .success())
    }

    fn server_is_readable(&self) -> Result<bool, Failure> {
        self.readable(u32::try_from(self.server.pid().as_raw_nonzero().get())?)
    }

    /// The files in their folders: the service's, then the other's.
    fn left_behind(&self) -> Result<[usize; 2], Failure> {
        let count = |folder: &TempDir| -> Result<usize, Failure> {
            Ok(fs::read_dir(folder.path())?.count())
        };
        Ok([count(&self.folders[0])?, count(&self.folders[1])?])
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        let _ = self.other.kill();
        let _ = self.other.wait();
    }
}

fn aborted(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::ABORT.as_raw())
}

/// Not dumpable means: no core, and its memory and environment are closed to every process without capabilities, of the
/// same user as well. Root gives its own up first, on both sides.
#[tokio::test]
async fn others_of_the_same_user_cannot_read_the_process() -> Result<(), Failure> {
    let mut pair = Pair::start().await?;
    assert!(
        !pair.server_is_readable()?,
        "the signer's environment is open to its user"
    );
    let workers = workers::of(pair.server.pid().as_raw_nonzero())?;
    assert_eq!(workers.len(), 3);
    for (institution, pid) in workers {
        assert!(
            !pair.readable(u32::try_from(pid.get())?)?,
            "the worker process of {institution} is open to its user"
        );
    }
    pair.server.signal(Signal::TERM)?;
    assert!(pair.server.wait().await?.success());
    recheck(&mut pair.deployment).await.map(drop)
}

/// Both have leave to dump a core of any size and are ended by SIGABRT in the midst of work; the other one dumps, so that
/// the machine would have taken the service's core too.
#[tokio::test]
async fn a_crash_leaves_no_core_behind() -> Result<(), Failure> {
    let mut pair = Pair::start().await?;
    let customer = Customer::of_alfa(&pair.deployment).await?;
    let alfa = pair.deployment.client("alfa", Role::Payments).await?;
    alfa.cosign_order(customer.asks(&order("1.00", "CNY")?)?)
        .await?;
    let closed = !pair.server_is_readable()?;

    pair.server.signal(Signal::ABORT)?;
    let server = pair.server.wait().await?;
    let pid = Pid::from_raw(i32::try_from(pair.other.id())?).expect("a process id");
    kill_process(pid, Signal::ABORT)?;
    let other = pair.other.wait()?;
    assert!(aborted(server) && aborted(other), "{server} {other}");
    assert!(!server.core_dumped(), "{server}");
    assert_eq!(pair.left_behind()?[0], 0, "the service left a file behind");
    if other.core_dumped() {
        // Where core_pattern(5) names a plain file, it is there.
        let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
        let here = !pattern.starts_with(['|', '/']) && !pattern.contains('/');
        assert!(
            !here || pair.left_behind()?[1] == 1,
            "no core where {pattern} says"
        );
    } else {
        // A machine that takes no core from anybody: what keeps the service from dumping also closes its memory.
        assert!(closed, "the signer can be read by its user");
    }
    pair.deployment.start().await?;
    let checked = recheck(&mut pair.deployment).await?;
    assert_eq!(checked.authorizations, 1);
    Ok(())
}
