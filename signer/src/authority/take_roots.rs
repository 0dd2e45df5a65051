//! Owns the taking up of roots that the scheme's custodians have put in force, and of CRLs that roots have issued, while the
//! service serves: from then on keys and trust documents are judged by them.

use std::sync::Arc;

use crate::{
    authority::Authority,
    domain::scheme_roots::{SchemeRoots, UnfitRoots},
    error::Error,
};

/// Why roots are not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeRootsError {
    /// They do not follow those in use.
    #[error(transparent)]
    Unfit(#[from] UnfitRoots),
    /// What is in force could not be read; it is judged by the new roots with the next request that can.
    #[error("they are taken, and what is in force could not be read yet: {0}")]
    Unread(Error),
}

impl Authority {
    /// The roots in force.
    pub fn roots(&self) -> Arc<SchemeRoots> {
        Arc::clone(&self.roots.borrow())
    }

    /// Takes roots that follow those in use, and judges all that is in force by them.
    ///
    /// # Errors
    /// [`TakeRootsError`].
    pub async fn take_roots(&self, roots: SchemeRoots) -> Result<Arc<SchemeRoots>, TakeRootsError> {
        let following = roots.following(&self.roots.borrow())?;
        if let Some(roots) = following {
            self.roots.send_replace(Arc::new(roots));
        }
        self.current().await.map_err(TakeRootsError::Unread)?;
        Ok(self.roots())
    }
}
