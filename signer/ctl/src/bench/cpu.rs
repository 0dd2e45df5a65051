//! The processor time that a process has used: a load takes its share of the machine, which is the service's as well more
//! often than not.

use std::{fs, io, time::Duration};

/// One tick of /proc's times: USER_HZ is 100 on Linux (proc(5)).
pub const TICK: Duration = Duration::from_millis(10);

/// The user and system time of a process with all its threads.
///
/// # Errors
/// There is no such process, or no /proc.
pub fn used(pid: u32) -> io::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path)?;
    read(&stat).ok_or_else(|| io::Error::other(format!("{path} says no times: {stat}")))
}

/// Of this process.
///
/// # Errors
/// There is no /proc.
pub fn of_this_process() -> io::Result<Duration> {
    used(std::process::id())
}

/// The name, in parentheses, may hold anything; utime and stime are the fields 14 and 15, the name is 2.
fn read(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK.saturating_mul(user.saturating_add(system)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 8 9 20 0 3 0 99";
        assert_eq!(read(stat), Some(Duration::from_secs(3)));
        assert_eq!(read("7 (x) S 1"), None);
    }

    #[test]
    fn this_process_has_a_time() {
        assert!(of_this_process().is_ok());
    }
}
