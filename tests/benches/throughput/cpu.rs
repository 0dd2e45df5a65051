//! The processor time that a process has used: rates depend on who else uses the machine, this hardly does.

use std::{fs, time::Duration};

use e2e::failure::Failure;

/// One tick of /proc's times: USER_HZ is 100 on Linux (proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// The user and system time of a process with all its threads.
///
/// # Errors
/// There is no such process.
pub(crate) fn used(pid: u32) -> Result<Duration, Failure> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(Failure::during(&path))?;
    // The name, in parentheses, may hold anything; utime and stime are the fields 14 and 15, the name is 2.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
    let ticks: Vec<u32> = fields
        .into_iter()
        .flat_map(str::split_whitespace)
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    match ticks.as_slice() {
        [user, system] => Ok(TICK.saturating_mul(user.saturating_add(*system))),
        _ => Err(Failure::new(format!("{path} says no times: {stat}"))),
    }
}

/// Of this process.
///
/// # Errors
/// There is no /proc.
pub(crate) fn of_this_process() -> Result<Duration, Failure> {
    used(std::process::id())
}
