//! Whose keys may have signed: read from the scheme's directory, as the ceremonies left it, not from the record.

use std::{collections::BTreeMap, fs, path::PathBuf};

use semops_objects::jwk;
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use softhsm_setup::directory::Hierarchy;

use crate::{deployment::Deployment, failure::Failure};

/// A key in a token.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) institution: String,
    /// `device-ca`, `signing-ca` or `authorization`.
    pub(super) purpose: &'static str,
    pub(super) certificate: Certificate,
    /// CRLNumber of the CRL that the ceremony made; none for an authorization key.
    pub(super) first_crl: Option<u64>,
    /// Its certificate's file, for openssl.
    pub(super) file: PathBuf,
}

/// All keys, by id (RFC 7638 thumbprint), the roots' files, and how often the signer was started.
#[derive(Clone, Debug)]
pub struct Authorities {
    pub(super) keys: BTreeMap<Vec<u8>, Key>,
    pub(super) device_root: PathBuf,
    pub(super) runs: usize,
}

impl Authorities {
    /// Reads them.
    ///
    /// # Errors
    /// A file is missing or not what it should be.
    pub fn read(deployment: &Deployment) -> Result<Self, Failure> {
        let directory = deployment.directory();
        let mut keys = BTreeMap::new();
        for id in &deployment.institutions()? {
            let cas = [
                ("device-ca", Hierarchy::Device),
                ("signing-ca", Hierarchy::Signing),
            ];
            let mut files = vec![("authorization", directory.authorization_chain(id), None)];
            for (purpose, hierarchy) in cas {
                let crl = CertificateRevocationList::from_der(&fs::read(
                    directory.ca_crl(hierarchy, id),
                )?)?;
                files.push((purpose, directory.ca(hierarchy, id), Some(crl.number())));
            }
            for (purpose, file, first_crl) in files {
                let chain = Certificate::chain_from_pem(&fs::read_to_string(&file)?)?;
                let missing = || Failure::new(format!("{} holds no certificate", file.display()));
                let certificate = chain.into_iter().next().ok_or_else(missing)?;
                let key = Key {
                    institution: id.to_string(),
                    purpose,
                    first_crl,
                    file,
                    certificate,
                };
                keys.insert(jwk::thumbprint(key.certificate.public_key()).to_vec(), key);
            }
        }
        Ok(Self {
            keys,
            device_root: directory.root(Hierarchy::Device),
            runs: deployment.runs(),
        })
    }
}
