//! The worker processes of a running service, as the system shows them.

use std::{collections::BTreeMap, fs, num::NonZeroI32, time::Duration};

use rustix::process::Pid;

use crate::{deployment::Deployment, failure::Failure, until::until};

/// What /proc shows of children is not whole while one of them ends (proc(5)).
const SHOWN: Duration = Duration::from_secs(30);

/// The worker processes of the process `service`, with the labels of their tokens: those of institutions' first tokens are
/// the institutions' names.
///
/// # Errors
/// There is no such process.
pub fn all(service: NonZeroI32) -> Result<Vec<(String, NonZeroI32)>, Failure> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{service}/task"))? {
        // A thread may end meanwhile, and a process too.
        let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        for pid in children.split_whitespace() {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&str> = line.split_terminator('\0').collect();
            if let ["signer", "hsm-worker", _, token] = words[..] {
                found.push(((*token).to_owned(), pid.parse()?));
            }
        }
    }
    Ok(found)
}

/// The same by token, where each has one.
///
/// # Errors
/// There is no such process.
pub fn of(service: NonZeroI32) -> Result<BTreeMap<String, NonZeroI32>, Failure> {
    Ok(all(service)?.into_iter().collect())
}

/// The one of `token`, as soon as the system shows it.
///
/// # Errors
/// There is none.
pub async fn worker(deployment: &mut Deployment, token: &str) -> Result<Pid, Failure> {
    let service = deployment.server()?.pid().as_raw_nonzero();
    let what = format!("a worker process of {token}");
    until(&what, SHOWN, async || {
        let pid = of(service)?.get(token).copied();
        Ok(pid.and_then(|pid| Pid::from_raw(pid.get())))
    })
    .await
}
