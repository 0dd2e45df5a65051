//! The harm that is done meanwhile: commands of the user's, one after the other, at equal intervals.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    process::Command,
    sync::watch,
    time::{sleep, timeout},
};

/// The longest that a command may take.
const LONGEST: Duration = Duration::from_secs(120);
/// Of what it says when it fails, so much is told.
const SHOWN: usize = 200;

/// One fault that was injected.
#[derive(Clone, Debug)]
pub struct Injected {
    /// Seconds since the load began.
    pub at: f64,
    /// What was run.
    pub command: String,
    /// How long it took, in seconds.
    pub took: f64,
    /// Why it failed, if it did.
    pub failed: Option<String>,
}

/// Runs the commands in turn, one each time that `every` has passed, until it is told to end.
pub async fn inject(
    commands: Vec<String>,
    every: Duration,
    told: watch::Sender<usize>,
    mut end: watch::Receiver<bool>,
) -> Vec<Injected> {
    let (started, mut injected) = (Instant::now(), Vec::new());
    for command in commands.into_iter().cycle() {
        tokio::select! {
            biased;
            _ = end.wait_for(|end| *end) => break,
            () = sleep(every) => {}
        }
        let at = started.elapsed();
        let failed = run(&command).await.err();
        injected.push(Injected {
            at: at.as_secs_f64(),
            took: started.elapsed().saturating_sub(at).as_secs_f64(),
            command,
            failed,
        });
        told.send_replace(injected.len());
    }
    injected
}

/// By the shell, as its user would type it.
async fn run(command: &str) -> Result<(), String> {
    let run = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(LONGEST, run)
        .await
        .map_err(|_| format!("did not end in {} s", LONGEST.as_secs()))?
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(SHOWN).collect();
    Err(format!("{}: {said}", output.status))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_command_is_the_shells_and_its_failure_is_told() {
        assert_eq!(run("test 1 -lt 2 && true").await, Ok(()));
        let failed = run("echo 'no such worker' >&2; exit 3").await.unwrap_err();
        assert!(failed.contains("no such worker"), "{failed}");
    }

    #[tokio::test]
    async fn commands_take_turns_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("said");
        let said = |word: &str| format!("echo {word} >>{}", file.display());
        let (tell, mut told) = watch::channel(0);
        let (end, ended) = watch::channel(false);
        let commands = vec![said("one"), said("two")];
        let every = Duration::from_millis(1);
        let injecting = tokio::spawn(inject(commands, every, tell, ended));
        told.wait_for(|injected| *injected >= 3).await.unwrap();
        end.send(true).unwrap();
        let injected = injecting.await.unwrap();
        assert!(injected.iter().all(|injected| injected.failed.is_none()));
        let lines = std::fs::read_to_string(&file).unwrap();
        assert!(lines.starts_with("one\ntwo\none\n"), "{lines}");
        assert_eq!(lines.lines().count(), injected.len());
    }
}
