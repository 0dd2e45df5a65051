//! Whose keys may have signed: read from the scheme's directory, as the ceremonies left it, not from the record.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::jwk;
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList, profile::Oids};
use softhsm_setup::directory::Hierarchy;

use super::{Findings, Rule, record::Record};
use crate::{deployment::Deployment, failure::Failure};

/// id-kp-OCSPSigning (RFC 6960 s4.2.2.2).
const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";

/// A key in a token.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) institution: String,
    /// The word of its purpose.
    pub(super) purpose: &'static str,
    pub(super) certificate: Certificate,
    /// CRLNumber of the CRL that the ceremony made, of a CA.
    pub(super) first_crl: Option<u64>,
    /// Its certificate's file, for openssl.
    pub(super) file: PathBuf,
}

/// All keys, by id (RFC 7638 thumbprint), the roots' files, and how often the signer was started.
#[derive(Clone, Debug)]
pub struct Authorities {
    pub(super) keys: BTreeMap<Vec<u8>, Key>,
    pub(super) device_root: PathBuf,
    signing_root: PathBuf,
    pub(super) runs: usize,
    oids: Oids,
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
            signing_root: directory.root(Hierarchy::Signing),
            runs: deployment.runs(),
            oids: *deployment.scheme().oids(),
        })
    }

    /// Those with the keys that changes took up. Their certificates stand in the record; whoever issued them stands in the
    /// directory, or was taken up like them. They are written beside the record in `database`, for openssl.
    pub(super) fn and_taken_up(
        &self,
        record: &Record,
        database: &Path,
        findings: &mut Findings,
    ) -> Result<Self, Failure> {
        let mut all = self.clone();
        let mut certificates = Vec::new();
        for (id, der) in &record.certificates {
            certificates.push((id, Certificate::from_der(der)?));
        }
        // CAs come before what they have issued.
        certificates.sort_by_key(|(_, certificate)| !certificate.is_ca());
        for (id, certificate) in certificates {
            let own = jwk::thumbprint(certificate.public_key()).as_slice() == id;
            let purpose = all.issued(&certificate)?;
            let Some(purpose) = purpose.filter(|_| own) else {
                let key = URL_SAFE_NO_PAD.encode(id);
                findings.add(Rule::Signature, format!("key {key} is nobody's"));
                continue;
            };
            let institution = certificate.subject_organization().unwrap_or_default();
            let name = format!("key-{}.pem", URL_SAFE_NO_PAD.encode(id));
            let file = database.with_file_name(name);
            fs::write(&file, certificate.to_pem())?;
            let key = Key {
                institution: institution.to_owned(),
                purpose,
                first_crl: None,
                file,
                certificate,
            };
            all.keys.insert(id.clone(), key);
        }
        Ok(all)
    }

    /// What a certificate makes of its key, by who has issued it.
    fn issued(&self, certificate: &Certificate) -> Result<Option<&'static str>, Failure> {
        for (purpose, root) in [
            ("device-ca", &self.device_root),
            ("signing-ca", &self.signing_root),
        ] {
            let root = Certificate::from_pem(&fs::read_to_string(root)?)?;
            if certificate.is_ca() && certificate.verify_issued_by(&root).is_ok() {
                return Ok(Some(purpose));
            }
        }
        let Some((purpose, by)) = self.usage(certificate) else {
            return Ok(None);
        };
        let mut cas = self.keys.values().filter(|key| key.purpose == by);
        let issued = cas.any(|ca| certificate.verify_issued_by(&ca.certificate).is_ok());
        Ok(issued.then_some(purpose))
    }

    /// What the one extended key usage of a certificate lets its key sign, and whose keys may say so.
    pub(super) fn usage(&self, certificate: &Certificate) -> Option<(&'static str, &'static str)> {
        let usages = certificate.extended_key_usages();
        let only = |oid| usages == [oid];
        if only(self.oids.authorization_eku) {
            return Some(("authorization", "signing-ca"));
        }
        if self.oids.audit_eku.is_some_and(only) {
            return Some(("audit", "signing-ca"));
        }
        if self.oids.statement_eku.is_some_and(only) {
            return Some(("statement", "signing-ca"));
        }
        let [only] = usages else {
            return None;
        };
        (only.to_string() == OCSP_SIGNING).then_some(("ocsp", "device-ca"))
    }
}
