//! The processor time that a process has used: rates depend on who else uses the machine, this hardly does.

use std::{fs, time::Duration};

use e2e::failure::Failure;
use semopsctl::bench::cpu::{self, TICK};

/// The user and system time of a process with all its threads.
///
/// # Errors
/// There is no such process.
pub(crate) fn used(pid: u32) -> Result<Duration, Failure> {
    Ok(cpu::used(pid)?)
}

/// Of this process.
///
/// # Errors
/// There is no /proc.
pub(crate) fn of_this_process() -> Result<Duration, Failure> {
    Ok(cpu::of_this_process()?)
}

/// What all processors have done since the machine was started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Machine {
    /// Nothing, or waited for a disk.
    idle: f64,
    /// That and everything else, also what a hypervisor took away.
    all: f64,
}

impl Machine {
    /// As it stands now.
    ///
    /// # Errors
    /// There is no /proc.
    pub(crate) fn now() -> Result<Self, Failure> {
        let stat = fs::read_to_string("/proc/stat")?;
        // cpu user nice system idle iowait irq softirq steal; what guests had stands in user too.
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = first
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        Ok(Self {
            idle: ticks.iter().skip(3).take(2).sum(),
            all: ticks.iter().sum(),
        })
    }

    /// Since `before`: the share of the processors that was idle, and the share that others than `ours` took.
    pub(crate) fn since(self, before: Self, ours: Duration) -> (f64, f64) {
        let all = (self.all - before.all).max(1.0);
        let idle = (self.idle - before.idle) / all;
        let ours = ours.as_secs_f64() / TICK.as_secs_f64() / all;
        (idle, (1.0 - idle - ours).max(0.0))
    }
}
