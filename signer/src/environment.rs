//! Owns the environment of this process: it begins anew with the variables that the PKCS#11 module reads, for none can be
//! set soundly in a process that runs (`std::env::set_var`).

use std::{env, ffi::OsStr, io, os::unix::process::CommandExt as _, process::Command};

use crate::config::Environment;

/// The program could not be begun anew.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot begin anew with [hsm.environment]: {0}; set these variables where the service is started"
)]
pub struct NotBegun(#[from] io::Error);

/// Replaces this program by itself with these variables (execve(2)): process id, arguments and open descriptors stay.
/// Returns at once when they are set so already. Nothing may be opened before, and no thread be started.
///
/// # Errors
/// The system does not do it.
pub fn begin_with(environment: &Environment) -> Result<(), NotBegun> {
    let is_set =
        |(name, value): (&str, &str)| env::var_os(name).as_deref() == Some(OsStr::new(value));
    if environment.variables().all(is_set) {
        return Ok(());
    }
    let mut command = Command::new(env::current_exe()?);
    let mut arguments = env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).envs(environment.variables());
    Err(command.exec().into())
}
