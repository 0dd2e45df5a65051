//! Owns reading back what a ceremony wrote: keys, certificates, chains and CRLs.

use std::fmt::Display;
use std::fs;
use std::path::Path;

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
