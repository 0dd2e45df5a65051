//! Owns the arming of a point, and the end. Not in a release.

use std::{
    env, fs,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rustix::process::{Signal, getpid, kill_process};

use super::{Point, VARIABLE};

/// The file is looked for at each point, so that a process that serves already can be armed.
static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// How often the armed point was reached. Once per process: whoever arms another waits for the end of this one.
static REACHED: AtomicU64 = AtomicU64::new(0);

pub(super) fn reached(point: Point) {
    let file = FILE.get_or_init(|| env::var_os(VARIABLE).map(PathBuf::from));
    let Some(armed) = file.as_ref().and_then(|file| fs::read_to_string(file).ok()) else {
        return;
    };
    if let Some(times) = times(&armed, point)
        && REACHED.fetch_add(1, Ordering::SeqCst).saturating_add(1) == times
    {
        let _ended = kill_process(getpid(), Signal::KILL);
        // The system may let this thread run on for an instant.
        loop {
            thread::park();
        }
    }
}

/// The how-manieth time is the end, if it is this point that is armed.
pub(super) fn times(armed: &str, point: Point) -> Option<u64> {
    let (name, times) = armed.trim_end().split_once(' ')?;
    (name == point.name()).then(|| times.parse().ok())?
}
