//! Owns the CRLs that the roots issue after the ceremony: the next one of each year, and the one by which a root revokes a CA.
//! The entries of a root's CRL stay as long as the root does: they are few, and RFC 5280 s3.3 says only for how long they must.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use semops_pki::certificate::{Certificate, rfc3339};
use semops_pki::crl::{CertificateRevocationList, Reason, Revoked};
use semops_pki::issuer::RevokedEntry;

use crate::add::{check_owner, lock};
use crate::authority::Lifetime;
use crate::ceremony::{Edge, Progress};
use crate::directory::{Directory, Hierarchy};
use crate::error::SetupError;
use crate::files::{content, read_certificate_or_der, read_crl, replace};
use crate::roots::Root;
use crate::standing::Standing;

const HIERARCHIES: [Hierarchy; 3] = [Hierarchy::Device, Hierarchy::Signing, Hierarchy::Tls];

/// Why a root revokes a CA: a CRLReason of RFC 5280 s5.3.1 that a CA's certificate can have for good. An offline root puts
/// nothing on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaReason(Reason);

impl CaReason {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self(Reason::KeyCompromise),
        Self(Reason::CaCompromise),
        Self(Reason::AffiliationChanged),
        Self(Reason::Superseded),
        Self(Reason::CessationOfOperation),
        Self(Reason::PrivilegeWithdrawn),
    ];

    /// The name that RFC 5280 gives it.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

impl fmt::Display for CaReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no such reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is none of {}", CaReason::ALL.map(CaReason::name).join(", "))]
pub struct NoCaReason;

impl FromStr for CaReason {
    type Err = NoCaReason;

    fn from_str(text: &str) -> Result<Self, NoCaReason> {
        let mut all = Self::ALL.into_iter();
        all.find(|reason| reason.name() == text).ok_or(NoCaReason)
    }
}

/// The CRL of a root that is in force now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCrl {
    /// Whose it is.
    pub hierarchy: Hierarchy,
    /// Where it is (DER).
    pub path: PathBuf,
    /// Its CRLNumber.
    pub number: u64,
    /// Its nextUpdate, in unix seconds.
    pub next_update: i64,
    /// How many certificates it lists.
    pub entries: usize,
    /// Whether it was made now; not if the certificate to revoke is listed already.
    pub is_new: bool,
}

/// Issues the next CRL of every root whose key is back in `offline` of the directory at `path`.
///
/// # Errors
/// [`SetupError`]; every CRL is then as it was, unless it was the writing of one that failed.
pub fn next_root_crls(
    path: &Path,
    edge: &Edge,
    progress: &mut Progress<'_>,
) -> Result<Vec<RootCrl>, SetupError> {
    let (standing, _locked) = open(path)?;
    let back = HIERARCHIES.map(|hierarchy| standing.directory.root_key(hierarchy));
    if !back.iter().any(|key| key.is_file()) {
        return Err(SetupError::NoRootKeys(back.into()));
    }
    let mut next = Vec::new();
    for hierarchy in HIERARCHIES {
        if standing.directory.root_key(hierarchy).is_file() {
            next.push(Next::read(&standing, hierarchy)?.issue(None, edge)?);
        }
    }
    finish(next, progress)
}

/// Has the root that issued the CA certificate at `certificate` (PEM or DER) revoke it: its key must be back in `offline`.
///
/// # Errors
/// [`SetupError`]: no root of the directory issued it, or it is revoked for another reason.
pub fn revoke_ca(
    path: &Path,
    certificate: &Path,
    reason: CaReason,
    edge: &Edge,
    progress: &mut Progress<'_>,
) -> Result<RootCrl, SetupError> {
    let (standing, _locked) = open(path)?;
    let revoked = read_certificate_or_der(certificate)?;
    let hierarchy = issuer_of(&standing, &revoked)?.ok_or_else(|| {
        let what = "is not a CA's certificate by a root of this directory";
        content(certificate, &what)
    })?;
    let next = Next::read(&standing, hierarchy)?;
    match next.former.entry(revoked.serial()) {
        Some(entry) if entry.reason == reason.0 => Ok(next.in_force()),
        Some(entry) => Err(content(certificate, &is_revoked(entry))),
        None => {
            let made = next.issue(Some((&revoked, reason)), edge)?;
            let crl = made.crl.clone();
            finish(vec![made], progress)?;
            Ok(crl)
        }
    }
}

fn open(path: &Path) -> Result<(Standing, File), SetupError> {
    let directory = Directory::open(path)?;
    check_owner(directory.path())?;
    let locked = lock(&directory)?;
    Ok((Standing::read(path)?, locked))
}

/// The hierarchy whose root issued a CA's certificate. A root's own is not one: nobody believes its word about itself.
fn issuer_of(
    standing: &Standing,
    certificate: &Certificate,
) -> Result<Option<Hierarchy>, SetupError> {
    for hierarchy in HIERARCHIES {
        let root = standing.certificate_of_root(hierarchy)?;
        let itself = certificate.subject_der() == root.subject_der();
        if !itself && certificate.is_ca() && certificate.verify_issued_by(&root).is_ok() {
            return Ok(Some(hierarchy));
        }
    }
    Ok(None)
}

fn is_revoked(entry: Revoked) -> String {
    format!(
        "is revoked since {} for another reason, {}: what relying parties have read is not changed",
        rfc3339(entry.at),
        entry.reason
    )
}

/// A root with the CRL that its next one follows.
struct Next {
    root: Root,
    path: PathBuf,
    former: CertificateRevocationList,
}

/// A CRL to be written.
struct Made {
    crl: RootCrl,
    der: Vec<u8>,
}

impl Next {
    fn read(standing: &Standing, hierarchy: Hierarchy) -> Result<Self, SetupError> {
        let root = standing.root_of(hierarchy)?;
        let path = standing.root_crl(hierarchy);
        let former = read_crl(&path)?;
        former
            .verify_issued_by(root.certificate())
            .map_err(|error| content(&path, &error))?;
        Ok(Self { root, path, former })
    }

    fn in_force(self) -> RootCrl {
        RootCrl {
            hierarchy: self.root.hierarchy(),
            number: self.former.number(),
            next_update: self.former.next_update(),
            entries: self.former.entries().len(),
            path: self.path,
            is_new: false,
        }
    }

    fn issue(
        mut self,
        revoked: Option<(&Certificate, CaReason)>,
        edge: &Edge,
    ) -> Result<Made, SetupError> {
        let (this_update, next_update) = Lifetime::RootCrl.around(edge.now);
        let former = self.former.this_update();
        if edge.now < former {
            let what = format!(
                "was made at {}, which this machine's clock has not reached: set it",
                rfc3339(former)
            );
            return Err(content(&self.path, &what));
        }
        // Not before the one that it replaces: whoever has that by its date has all that it says.
        let this_update = this_update.max(former);
        let mut entries: Vec<RevokedEntry> = self.former.entries().map(kept).collect();
        entries.extend(revoked.map(|(certificate, reason)| RevokedEntry {
            serial: certificate.serial().to_vec(),
            at: this_update,
            reason: reason.0,
        }));
        let number = self.former.number().saturating_add(1);
        let crl = self.root.crl(number, this_update, next_update, &entries)?;
        let told = RootCrl {
            hierarchy: self.root.hierarchy(),
            path: self.path,
            number,
            next_update,
            entries: crl.entries().len(),
            is_new: true,
        };
        Ok(Made {
            crl: told,
            der: crl.der().to_vec(),
        })
    }
}

fn kept((serial, revoked): (&[u8], Revoked)) -> RevokedEntry {
    RevokedEntry {
        serial: serial.to_vec(),
        at: revoked.at,
        reason: revoked.reason,
    }
}

/// Tells what was signed, and puts each CRL in the place of the one before.
fn finish(made: Vec<Made>, progress: &mut Progress<'_>) -> Result<Vec<RootCrl>, SetupError> {
    for Made { crl, .. } in &made {
        let said = format!(
            "{} root: CRL {}, which lists {}, until {}",
            crl.hierarchy.as_str(),
            crl.number,
            crl.entries,
            rfc3339(crl.next_update)
        );
        if progress(&said).is_break() {
            return Err(SetupError::Interrupted);
        }
    }
    let put = |made: Made| {
        replace(&made.crl.path, &made.der)?;
        Ok(made.crl)
    };
    made.into_iter().map(put).collect()
}
