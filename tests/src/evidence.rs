//! What the story leaves for a stranger: files that are verified without a line of our code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use semops_pki::certificate::Certificate;

use crate::failure::Failure;

/// The files of an evidence folder, and no others.
pub const FILES: [&str; 16] = [
    "device-root.pem",
    "device-chain.pem",
    "device.csr",
    "signing-root.pem",
    "signing-chain.pem",
    "offer.bin",
    "order.jws",
    "authorization.jws",
    "jwks.json",
    "device-root-crl.der",
    "crl-at-signing.der",
    "crl-after-revocation.der",
    "signing-root-crl.der",
    "signing-ca-crl.der",
    "rotated-signing-chain.pem",
    "rotated-authorization.jws",
];

/// What a verifier fetched before anything was signed.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The root of all device CAs.
    pub device_root: Certificate,
    /// The root of all signing CAs.
    pub signing_root: Certificate,
    /// alfa's authorization certificate and signing CA.
    pub signing_chain: Vec<Certificate>,
    /// alfa's JWK Set.
    pub jwks: String,
    /// The device root's CRL, DER.
    pub device_root_crl: Vec<u8>,
    /// The signing root's CRL, DER.
    pub signing_root_crl: Vec<u8>,
    /// The CRL of alfa's signing CA, DER.
    pub signing_ca_crl: Vec<u8>,
    /// The CRL of mobilis' device CA as it was when the authorization was signed, DER.
    pub crl_at_signing: Vec<u8>,
}

/// What alfa's next key signed, after its rotation.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// Its certificate and alfa's signing CA.
    pub chain: Vec<Certificate>,
    /// An authorization by it, compact.
    pub authorization_jws: String,
}

/// All that the story leaves.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The phone's certificate and mobilis' device CA.
    pub device_chain: Vec<Certificate>,
    /// The phone's certification request, DER.
    pub device_csr: Vec<u8>,
    /// The merchant's offer, exact bytes.
    pub offer: Vec<u8>,
    /// The order, compact.
    pub order_jws: String,
    /// The authorization, compact.
    pub authorization_jws: String,
    /// What a verifier trusts, and what it looked up.
    pub trust: Trust,
    /// What the next key signed.
    pub rotated: Rotated,
    /// The CRL that lists the phone, DER.
    pub crl_after_revocation: Vec<u8>,
}

impl Evidence {
    /// Writes the files into `folder`, which is made or must hold such files only.
    ///
    /// # Errors
    /// The folder holds something else, or cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        clear(folder)?;
        for (name, content) in FILES.into_iter().zip(self.contents()) {
            fs::write(folder.join(name), content).map_err(Failure::during(name))?;
        }
        Ok(())
    }

    /// In the order of [`FILES`].
    fn contents(&self) -> [Vec<u8>; FILES.len()] {
        let trust = &self.trust;
        let pem = |chain: &[Certificate]| {
            chain
                .iter()
                .map(Certificate::to_pem)
                .collect::<String>()
                .into_bytes()
        };
        [
            trust.device_root.to_pem().into_bytes(),
            pem(&self.device_chain),
            self.device_csr.clone(),
            trust.signing_root.to_pem().into_bytes(),
            pem(&trust.signing_chain),
            self.offer.clone(),
            self.order_jws.clone().into_bytes(),
            self.authorization_jws.clone().into_bytes(),
            trust.jwks.clone().into_bytes(),
            trust.device_root_crl.clone(),
            trust.crl_at_signing.clone(),
            self.crl_after_revocation.clone(),
            trust.signing_root_crl.clone(),
            trust.signing_ca_crl.clone(),
            pem(&self.rotated.chain),
            self.rotated.authorization_jws.clone().into_bytes(),
        ]
    }
}

/// Makes the folder, or empties one that holds nothing but earlier evidence.
fn clear(folder: &Path) -> Result<(), Failure> {
    for path in earlier(folder)? {
        fs::remove_file(&path).map_err(Failure::during(path.display()))?;
    }
    Ok(())
}

/// The files of earlier evidence in `folder`, which is made if it is missing.
///
/// # Errors
/// It holds something else, or cannot be made.
pub fn earlier(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    fs::create_dir_all(folder).map_err(Failure::during(folder.display()))?;
    let known = BTreeSet::from(FILES);
    let mut earlier = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| known.contains(name)) {
            let what = format!("{} holds {name:?}, which is no evidence", folder.display());
            return Err(Failure::new(what).way_out("move it away, or remove the folder"));
        }
        earlier.push(entry.path());
    }
    Ok(earlier)
}
