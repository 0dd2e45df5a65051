//! Owns reading back what a ceremony wrote: keys, certificates, chains and CRLs; and putting what is newer in its place.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use semops_pki::local_key::LocalKey;
use zeroize::Zeroizing;

use crate::directory::at;
use crate::error::SetupError;

pub(crate) fn read_key(path: &Path) -> Result<LocalKey, SetupError> {
    let pem = Zeroizing::new(fs::read_to_string(path).map_err(at(path))?);
    LocalKey::from_pkcs8_pem(&pem).map_err(|error| content(path, &error))
}

pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, SetupError> {
    let pem = fs::read_to_string(path).map_err(at(path))?;
    Certificate::from_pem(&pem).map_err(|error| content(path, &error))
}

/// The one certificate, in PEM or DER.
pub(crate) fn read_certificate_or_der(path: &Path) -> Result<Certificate, SetupError> {
    let read = fs::read(path).map_err(at(path))?;
    let certificate = match str::from_utf8(&read) {
        Ok(pem) => Certificate::from_pem(pem),
        Err(_) => Certificate::from_der(&read),
    };
    certificate.map_err(|error| content(path, &error))
}

/// The first certificate of a chain.
pub(crate) fn read_leaf(path: &Path) -> Result<Certificate, SetupError> {
    let pem = fs::read_to_string(path).map_err(at(path))?;
    let chain = Certificate::chain_from_pem(&pem).map_err(|error| content(path, &error))?;
    let first = chain.into_iter().next();
    first.ok_or_else(|| content(path, &"holds no certificate"))
}

pub(crate) fn read_crl(path: &Path) -> Result<CertificateRevocationList, SetupError> {
    let der = fs::read(path).map_err(at(path))?;
    CertificateRevocationList::from_der(&der).map_err(|error| content(path, &error))
}

/// What is wrong with a file.
pub(crate) fn content(path: &Path, what: &dyn Display) -> SetupError {
    SetupError::Content {
        path: path.to_owned(),
        what: what.to_string(),
    }
}

/// Whoever reads the file has the old content or the new one, whole.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), SetupError> {
    let mut next = OsString::from(path);
    next.push(".next");
    let next = PathBuf::from(next);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    let mut file = options.open(&next).map_err(at(&next))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(at(&next))?;
    fs::rename(&next, path).map_err(at(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(folder))
}
