//! Owns a ceremony under way: what it works on, what it has made, what it tells.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::authority::Terms;
use crate::directory::Directory;
use crate::error::SetupError;
use crate::made::{Access, Made};
use crate::scheme::Ground;

/// What a ceremony takes from outside.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The `softhsm-setup` executable, which holds each token in a process of its own.
    pub program: PathBuf,
    /// The `signer` executable, which makes the record and loads ceremonies; without it that is left to the operator.
    pub signer: Option<PathBuf>,
    /// The time, in unix seconds.
    pub now: i64,
}

/// Whom a ceremony tells its steps. At the answer [`ControlFlow::Break`] it ends and takes back what it has made.
pub type Progress<'a> = dyn FnMut(&str) -> ControlFlow<()> + 'a;

/// A ceremony under way.
pub(crate) struct Ceremony<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) directory: &'a Directory,
    pub(crate) edge: &'a Edge,
    progress: &'a mut Progress<'a>,
    made: Made,
}

impl<'a> Ceremony<'a> {
    /// One that has made nothing yet.
    pub(crate) fn new(
        ground: &'a Ground,
        directory: &'a Directory,
        edge: &'a Edge,
        progress: &'a mut Progress<'a>,
    ) -> Result<Self, SetupError> {
        if !ground.module.is_file() {
            return Err(SetupError::NoModule(ground.module.clone()));
        }
        let made = Made::nothing(directory.tokens())?;
        Ok(Self {
            ground,
            directory,
            edge,
            progress,
            made,
        })
    }

    /// Takes back what was made, and gives the reason, with what could not be removed.
    pub(crate) fn fail(self, source: SetupError) -> SetupError {
        let left = self.made.take_back();
        if left.is_empty() {
            return source;
        }
        let source = Box::new(source);
        SetupError::Left { source, left }
    }

    /// Makes a folder that is not there yet.
    pub(crate) fn folder(&mut self, path: &Path) -> Result<(), SetupError> {
        self.made.folder(path)
    }

    /// Writes a file that is not there yet.
    pub(crate) fn write(
        &mut self,
        path: &Path,
        access: Access,
        content: &[u8],
    ) -> Result<(), SetupError> {
        self.made.file(path, access, content)
    }

    /// Removes a file that was needed for a while only.
    pub(crate) fn remove(&mut self, path: &Path) -> Result<(), SetupError> {
        self.made.remove(path)
    }

    /// Tells a step that is done.
    ///
    /// # Errors
    /// [`SetupError::Interrupted`].
    pub(crate) fn say(&mut self, step: &str) -> Result<(), SetupError> {
        match (self.progress)(step) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SetupError::Interrupted),
        }
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms {
            now: self.edge.now,
            oids: &self.ground.oids,
        }
    }
}
