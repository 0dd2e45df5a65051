//! A disk under the record that becomes read-only while the service runs, as ext4 does by itself after an error
//! (`errors=remount-ro`). No mount is needed for it, so no privilege: strace stands between the service and its disk, and
//! answers what is written into the record's files with EROFS while their folder has another name.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{deployment::Deployment, failure::Failure, programs};

/// What changes a file that is open, or makes it longer.
const WRITES: &str = "write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate";

/// The folder of a deployment that does not run yet, on such a disk. Dropped, it is as it was.
#[derive(Debug)]
pub struct Disk {
    /// What everybody knows it by: a link to where it is.
    link: PathBuf,
    /// Where it is while it can be written, and while it cannot.
    names: [PathBuf; 2],
    /// What was answered with EROFS, a line each.
    refused: PathBuf,
}

impl Disk {
    /// Puts the deployment's folder on it.
    ///
    /// # Errors
    /// The folder cannot be moved.
    pub fn under(deployment: &Deployment) -> Result<Self, Failure> {
        let link = deployment.directory().path().to_owned();
        let named = |end| link.with_extension(end);
        let disk = Self {
            names: [named("rw"), named("ro")],
            refused: named("refused"),
            link,
        };
        let [writable, _] = &disk.names;
        fs::rename(&disk.link, writable)?;
        symlink(writable, &disk.link)?;
        Ok(disk)
    }

    /// The same command as a process on it; the record is in this file and its log.
    ///
    /// # Errors
    /// strace is not there.
    pub fn of(&self, command: &Command, record: &Path) -> Result<Command, Failure> {
        let [_, read_only] = &self.names;
        let name = record.file_name().unwrap_or_default().to_string_lossy();
        let mut traced = programs::strace()?;
        // As a grandchild, so that the service keeps its process id; stopping at these calls alone.
        traced.args(["-D", "-f", "--seccomp-bpf", "-qqq"]);
        traced.arg("-o").arg(&self.refused);
        for file in [name.to_string(), format!("{name}-wal")] {
            traced.arg("-P").arg(read_only.join(file));
        }
        traced.args(["-e", &format!("trace={WRITES}")]);
        traced.args(["-e", &format!("inject={WRITES}:error=EROFS")]);
        traced.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            traced.env(name, value.unwrap_or_default());
        }
        Ok(traced)
    }

    /// From now on nothing can be written.
    ///
    /// # Errors
    /// The folder cannot be moved.
    pub fn is_read_only(&self) -> Result<(), Failure> {
        let [writable, read_only] = &self.names;
        self.moves(writable, read_only)
    }

    /// From now on it can again.
    ///
    /// # Errors
    /// The folder cannot be moved.
    pub fn is_writable(&self) -> Result<(), Failure> {
        let [writable, read_only] = &self.names;
        self.moves(read_only, writable)
    }

    /// How many writes were refused.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn refused(&self) -> Result<usize, Failure> {
        let refused = fs::read_to_string(&self.refused)?;
        let lines = refused.lines().filter(|line| line.contains("EROFS"));
        Ok(lines.count())
    }

    fn moves(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        let next = self.link.with_extension("next");
        symlink(to, &next)?;
        fs::rename(from, to)?;
        fs::rename(&next, &self.link)?;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Best effort: the folder that all of it is in is removed anyway.
        let [writable, read_only] = &self.names;
        let place = if read_only.exists() {
            read_only
        } else {
            writable
        };
        let _ = fs::remove_file(&self.link).and_then(|()| fs::rename(place, &self.link));
    }
}
