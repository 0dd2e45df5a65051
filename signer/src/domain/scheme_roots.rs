//! Owns on which offline roots the institutions of a deployment stand: those that the scheme's custodians put in force; or,
//! where the configuration names no history of the scheme, those that it names itself, which nobody approved. With them stands
//! what is published of roots here: what a root revokes, is revoked from when its CRL is taken.

use std::fmt;

use semops_objects::{
    change::{ChangeId, ChangeRefusal, SchemeStanding},
    trust::TrustDocument,
};
use semops_pki::{certificate::Certificate, crl::Revoked};

use crate::domain::{
    key::KeyRecord,
    published_roots::{Hierarchy, PublishedRoots, UnfitCrl},
};

/// The roots in force.
#[derive(Clone, Debug)]
pub struct SchemeRoots {
    source: Source,
    published: PublishedRoots,
    revision: u64,
}

#[derive(Clone, Debug)]
enum Source {
    Configured {
        device: Vec<Certificate>,
        signing: Vec<Certificate>,
    },
    Approved(Box<SchemeStanding>),
}

/// A root by the SHA-256 of its certificate, hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootId([u8; 32]);

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Why roots are not those of this deployment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitRoots {
    /// A root that the configuration names was approved by nobody, or is not in force any more.
    #[error(
        "the {hierarchy} root {root} is none of those in force by change {sequence} of the scheme"
    )]
    NotInForce {
        /// `device` or `signing`.
        hierarchy: &'static str,
        /// The root.
        root: RootId,
        /// The last change.
        sequence: u64,
    },
    /// What was verified before is not there any more.
    #[error("change {sequence} of the scheme was {held}, and is not in the files any more")]
    GoneBack {
        /// Which.
        sequence: usize,
        /// What it was.
        held: ChangeId,
    },
    /// A root's CRL takes something back.
    #[error(transparent)]
    Crl(#[from] UnfitCrl),
}

impl SchemeRoots {
    /// Those that the configuration names, without a history of the scheme.
    pub fn configured(published: PublishedRoots) -> Self {
        let certificates = |hierarchy| {
            let roots = published.of(hierarchy).iter();
            roots.map(|root| root.certificate().clone()).collect()
        };
        let source = Source::Configured {
            device: certificates(Hierarchy::Device),
            signing: certificates(Hierarchy::Signing),
        };
        Self {
            source,
            published,
            revision: 0,
        }
    }

    /// Those in force by the scheme's history, if all that are published here are among them.
    ///
    /// # Errors
    /// [`UnfitRoots::NotInForce`].
    pub fn approved(
        standing: SchemeStanding,
        published: PublishedRoots,
    ) -> Result<Self, UnfitRoots> {
        let roots = standing.roots();
        for (hierarchy, root) in published.all() {
            let approved = match hierarchy {
                Hierarchy::Device => roots.device(),
                Hierarchy::Signing => roots.signing(),
            };
            if !approved.contains(root.certificate()) {
                return Err(UnfitRoots::NotInForce {
                    hierarchy: hierarchy.name(),
                    root: RootId(root.certificate().sha256()),
                    sequence: standing.sequence(),
                });
            }
        }
        Ok(Self {
            source: Source::Approved(Box::new(standing)),
            published,
            revision: 0,
        })
    }

    /// These as what follows `held`; nothing if they are the same. Refused is what leaves out a change or an entry of a
    /// CRL that `held` has, or has another in its place.
    ///
    /// # Errors
    /// [`UnfitRoots::GoneBack`] or [`UnfitRoots::Crl`].
    pub fn following(mut self, held: &Self) -> Result<Option<Self>, UnfitRoots> {
        self.check_after(held)?;
        self.published.check_after(&held.published)?;
        self.revision = held.revision.saturating_add(1);
        let same = self.changes() == held.changes() && self.published == held.published;
        Ok((!same).then_some(self))
    }

    /// How often others were taken since the start of the service.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What is published of roots here.
    pub fn published(&self) -> &PublishedRoots {
        &self.published
    }

    /// What a root says of a key's CA, or of the CA that the key is, if it has revoked it.
    pub fn revocation(&self, key: &KeyRecord) -> Option<Revoked> {
        let mut chain = key.chain.iter();
        chain.find_map(|certificate| self.published.revocation(certificate))
    }

    fn check_after(&self, held: &Self) -> Result<(), UnfitRoots> {
        let (ours, theirs) = (self.changes(), held.changes());
        let lost = theirs
            .iter()
            .enumerate()
            .find(|(at, id)| ours.get(*at) != Some(*id));
        match lost {
            Some((at, held)) => Err(UnfitRoots::GoneBack {
                sequence: at.saturating_add(1),
                held: *held,
            }),
            None => Ok(()),
        }
    }

    /// The history by which they are in force, if there is one.
    pub fn standing(&self) -> Option<&SchemeStanding> {
        match &self.source {
            Source::Configured { .. } => None,
            Source::Approved(standing) => Some(standing),
        }
    }

    /// The number of the change by which they are in force; 0 if nobody approved them.
    pub fn sequence(&self) -> u64 {
        self.standing().map_or(0, SchemeStanding::sequence)
    }

    /// The change by which they are in force, with its number, if they are approved.
    pub fn last_change(&self) -> Option<(u64, ChangeId)> {
        let last = self.changes().last()?;
        Some((self.sequence(), *last))
    }

    fn changes(&self) -> &[ChangeId] {
        self.standing().map_or(&[], SchemeStanding::changes)
    }

    /// The roots of the device hierarchy.
    pub fn device(&self) -> &[Certificate] {
        match &self.source {
            Source::Configured { device, .. } => device,
            Source::Approved(standing) => standing.roots().device(),
        }
    }

    /// The roots of the signing hierarchy.
    pub fn signing(&self) -> &[Certificate] {
        match &self.source {
            Source::Configured { signing, .. } => signing,
            Source::Approved(standing) => standing.roots().signing(),
        }
    }

    /// Refuses a trust document with a root that the scheme's custodians did not put in force. Where there are none, an
    /// institution's own decide.
    ///
    /// # Errors
    /// `ROOT_NOT_APPROVED`.
    pub fn check_trust(&self, trust: &TrustDocument) -> Result<(), ChangeRefusal> {
        let standing = self.standing();
        standing.map_or(Ok(()), |standing| standing.roots().check_trust(trust))
    }
}
