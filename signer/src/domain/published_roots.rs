//! Owns the offline roots whose certificates and CRLs are published here, and what they say of the CAs that they certified.

use std::fmt;

use semops_pki::{
    certificate::Certificate,
    crl::{CertificateRevocationList, Reason, Revoked},
};

use crate::domain::key::KeyId;

/// A hierarchy whose roots are published here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// Phones.
    Device,
    /// Authorization keys.
    Signing,
}

impl Hierarchy {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Device, Self::Signing];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Signing => "signing",
        }
    }

    /// The name under which its first root publishes.
    pub const fn root_name(self) -> &'static str {
        match self {
            Self::Device => "device-root",
            Self::Signing => "signing-root",
        }
    }
}

/// A root with its CRL.
#[derive(Clone, Debug)]
pub struct PublishedRoot {
    certificate: Certificate,
    crl: CertificateRevocationList,
}

impl PublishedRoot {
    /// A root, with a CRL that it issued.
    pub fn new(certificate: Certificate, crl: CertificateRevocationList) -> Self {
        Self { certificate, crl }
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its CRL.
    pub fn crl(&self) -> &CertificateRevocationList {
        &self.crl
    }

    /// The id of its key.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.certificate.public_key())
    }

    /// Whether a CA names it as its issuer; that it is, was checked when the CA's key was taken up.
    fn is_named_by(&self, ca: &Certificate) -> bool {
        let identifier = self.certificate.subject_key_identifier();
        ca.issuer_der() == self.certificate.subject_der()
            && ca.authority_key_identifier() == identifier
    }
}

impl PartialEq for PublishedRoot {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.crl.der() == other.crl.der()
    }
}

/// Why a CRL does not take the place of the one that a root had before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitCrl {
    /// Its number is not higher.
    #[error("CRL {found} of the {hierarchy} root {root} does not follow CRL {held}")]
    GoneBack {
        /// `device` or `signing`.
        hierarchy: &'static str,
        /// The root's key.
        root: KeyId,
        /// The number of the one in use.
        held: u64,
        /// Its own.
        found: u64,
    },
    /// It lists less, or otherwise.
    #[error("CRL {found} of the {hierarchy} root {root} does not list what the one before did")]
    Forgets {
        /// `device` or `signing`.
        hierarchy: &'static str,
        /// The root's key.
        root: KeyId,
        /// Its number.
        found: u64,
    },
}

/// The roots that are published here, of each hierarchy at least one, the one of the ceremony first.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedRoots {
    device: Vec<PublishedRoot>,
    signing: Vec<PublishedRoot>,
}

impl PublishedRoots {
    /// The first root of each hierarchy.
    pub fn new(device: PublishedRoot, signing: PublishedRoot) -> Self {
        Self {
            device: vec![device],
            signing: vec![signing],
        }
    }

    /// One more root, beside the first one.
    pub fn add(&mut self, hierarchy: Hierarchy, root: PublishedRoot) {
        match hierarchy {
            Hierarchy::Device => self.device.push(root),
            Hierarchy::Signing => self.signing.push(root),
        }
    }

    /// The root of a hierarchy that publishes under the hierarchy's name alone, or the one with this key.
    pub fn named(&self, hierarchy: Hierarchy, key: Option<KeyId>) -> Option<&PublishedRoot> {
        let mut roots = self.of(hierarchy).iter();
        roots.find(|root| key.is_none_or(|key| root.id() == key))
    }

    /// Those of a hierarchy.
    pub fn of(&self, hierarchy: Hierarchy) -> &[PublishedRoot] {
        match hierarchy {
            Hierarchy::Device => &self.device,
            Hierarchy::Signing => &self.signing,
        }
    }

    /// Every one.
    pub fn all(&self) -> impl Iterator<Item = (Hierarchy, &PublishedRoot)> {
        let of = |hierarchy| self.of(hierarchy).iter().map(move |root| (hierarchy, root));
        Hierarchy::ALL.into_iter().flat_map(of)
    }

    /// What its root says of a CA, if it is revoked (RFC 5280 s3.3).
    pub fn revocation(&self, ca: &Certificate) -> Option<Revoked> {
        let mut roots = self.all().map(|(_, root)| root);
        let root = roots.find(|root| root.is_named_by(ca))?;
        root.crl.entry(ca.serial())
    }

    /// Whether each root that both have says at least what it said in `held`.
    ///
    /// # Errors
    /// [`UnfitCrl`].
    pub fn check_after(&self, held: &Self) -> Result<(), UnfitCrl> {
        for (hierarchy, root) in self.all() {
            let mut before = held.of(hierarchy).iter();
            match before.find(|before| before.certificate == root.certificate) {
                Some(before) => root.check_after(before, hierarchy.name())?,
                None => continue,
            }
        }
        Ok(())
    }
}

impl PublishedRoot {
    fn check_after(&self, held: &Self, hierarchy: &'static str) -> Result<(), UnfitCrl> {
        let (root, found) = (self.id(), self.crl.number());
        if self.crl.der() == held.crl.der() {
            return Ok(());
        }
        if found <= held.crl.number() {
            return Err(UnfitCrl::GoneBack {
                hierarchy,
                root,
                held: held.crl.number(),
                found,
            });
        }
        let mut listed = held.crl.entries();
        if listed.any(|(serial, revoked)| self.crl.entry(serial) != Some(revoked)) {
            return Err(UnfitCrl::Forgets {
                hierarchy,
                root,
                found,
            });
        }
        Ok(())
    }
}

/// A CA that its root has revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedCa(pub Reason);

impl fmt::Display for RevokedCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its root has revoked the CA ({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_pki::issuer::{RevokedEntry, Subject};

    use super::*;
    use crate::specimen::{Certified, NOW};

    const CA: Subject<'_> = Subject::InstitutionCa {
        common_name: "device-ca",
    };

    fn list(root: &Certified, number: u64, revoked: &[(&Certified, Reason)]) -> PublishedRoot {
        let entry = |(ca, reason): &(&Certified, Reason)| RevokedEntry {
            serial: ca.certificate.serial().to_vec(),
            at: NOW.seconds(),
            reason: *reason,
        };
        let entries: Vec<_> = revoked.iter().map(entry).collect();
        let crl = root.crl(number, &entries);
        PublishedRoot::new(root.certificate.clone(), crl)
    }

    #[test]
    fn a_root_speaks_of_its_own_cas() {
        let (root, other) = (Certified::root(), Certified::root());
        let (ca, second) = (root.issue("alfa", CA, 300), root.issue("beta", CA, 300));
        let lists = list(&root, 2, &[(&ca, Reason::Superseded)]);
        // The other root lists that serial number too: it is another certificate there.
        let others = list(&other, 2, &[(&second, Reason::KeyCompromise)]);
        let roots = PublishedRoots::new(lists, others);
        let revoked = roots.revocation(&ca.certificate).unwrap();
        assert_eq!(revoked.reason, Reason::Superseded);
        assert_eq!(roots.revocation(&second.certificate), None);
        assert_eq!(roots.revocation(&root.certificate), None);
    }

    #[test]
    fn what_a_root_has_said_it_says_for_ever() {
        let (root, other) = (Certified::root(), Certified::root());
        let (ca, second) = (root.issue("alfa", CA, 300), root.issue("beta", CA, 300));
        let others = list(&other, 1, &[]);
        let of = |number, revoked: &[(&Certified, Reason)]| {
            PublishedRoots::new(others.clone(), list(&root, number, revoked))
        };
        let (one, two) = ((&ca, Reason::Superseded), (&second, Reason::CaCompromise));
        let held = of(5, &[one]);
        assert_eq!(held.check_after(&held), Ok(()));
        assert_eq!(of(6, &[one]).check_after(&held), Ok(()));
        assert_eq!(of(9, &[two, one]).check_after(&held), Ok(()));
        for number in [1, 4, 5] {
            let gone = of(number, &[one, two]).check_after(&held);
            assert!(matches!(gone, Err(UnfitCrl::GoneBack { found, .. }) if found == number));
        }
        let otherwise = (&ca, Reason::KeyCompromise);
        for revoked in [&[][..], &[two], &[otherwise], &[two, otherwise]] {
            let forgets = of(6, revoked).check_after(&held);
            assert!(matches!(forgets, Err(UnfitCrl::Forgets { found: 6, .. })));
        }
        // Another root in the place is another root.
        let third = Certified::root();
        let other = PublishedRoots::new(others.clone(), list(&third, 1, &[]));
        assert_eq!(other.check_after(&held), Ok(()));
    }
}
