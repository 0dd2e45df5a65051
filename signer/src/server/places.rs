//! Owns the places for connections: so many altogether, and of these so many for each institution that none takes all
//! from the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use semops_objects::institution::InstitutionId;

use crate::metrics::Turned;

/// The places.
pub(super) struct Places {
    all: usize,
    /// The most of one institution.
    share: usize,
    /// The most of those who have a good certificate and are no callers.
    strangers: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: BTreeMap<Option<InstitutionId>, usize>,
}

/// A place, given back when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    holder: Option<InstitutionId>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("there are as many connections as grpc.max_connections allows")]
    All,
    #[error("its institution has its share of grpc.max_connections")]
    Share,
    #[error("those who are no callers have their share of grpc.max_connections")]
    Strangers,
}

impl From<Full> for Turned {
    fn from(full: Full) -> Self {
        match full {
            Full::All => Self::Full,
            Full::Share | Full::Strangers => Self::Share,
        }
    }
}

impl Places {
    /// So many places; one institution of several has half of them at most.
    pub(super) fn new(all: usize, institutions: usize) -> Self {
        let share = if institutions > 1 { all / 2 } else { all };
        Self {
            all,
            share: share.max(1),
            strangers: (all / 8).max(1),
            taken: Mutex::default(),
        }
    }

    /// A place for a connection of this institution's caller, or of nobody's.
    pub(super) fn take(self: &Arc<Self>, holder: Option<InstitutionId>) -> Result<Place, Full> {
        let (most, full) = match &holder {
            Some(_) => (self.share, Full::Share),
            None => (self.strangers, Full::Strangers),
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.all {
            return Err(Full::All);
        }
        let by = taken.by.entry(holder.clone()).or_default();
        if *by >= most {
            return Err(full);
        }
        *by += 1;
        taken.all += 1;
        Ok(Place {
            places: Arc::clone(self),
            holder,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.places.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(by) = taken.by.get_mut(&self.holder) {
            *by = by.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn of(name: &str) -> Option<InstitutionId> {
        Some(name.parse().unwrap())
    }

    fn take(places: &Arc<Places>, holder: Option<InstitutionId>) -> (Vec<Place>, Full) {
        let mut taken = Vec::new();
        loop {
            match places.take(holder.clone()) {
                Ok(place) => taken.push(place),
                Err(full) => return (taken, full),
            }
        }
    }

    #[test]
    fn nobody_takes_all_from_the_others() {
        let places = Arc::new(Places::new(16, 3));
        let (nobodys, full) = take(&places, None);
        assert_eq!((nobodys.len(), full), (2, Full::Strangers));
        let (alfas, full) = take(&places, of("alfa"));
        assert_eq!((alfas.len(), full), (8, Full::Share));
        let (betas, full) = take(&places, of("beta"));
        assert_eq!((betas.len(), full), (6, Full::All));
        // What is given back is there again, for whoever has not had his share.
        drop(nobodys);
        assert_eq!(take(&places, of("alfa")).0.len(), 0);
        let (more, full) = take(&places, of("beta"));
        assert_eq!((more.len(), full), (2, Full::All));
        drop((alfas, betas, more));
        assert_eq!(take(&places, of("alfa")).0.len(), 8);
    }

    #[test]
    fn an_institution_alone_has_all_and_the_smallest_share_is_one() {
        assert_eq!(take(&Arc::new(Places::new(4, 1)), of("alfa")).0.len(), 4);
        let one = Arc::new(Places::new(1, 2));
        assert_eq!(take(&one, of("alfa")).0.len(), 1);
        assert_eq!(take(&one, None).0.len(), 1);
    }
}
