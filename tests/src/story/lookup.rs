//! What a verifier fetches: trust material before anything is signed, and the CRL after a revocation.

use std::time::Duration;

use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use semops_proto::{client::Client, v1};

use super::{Callers, Narrator};
use crate::{evidence::Trust, failure::Failure, phone::Phone, until::until};

/// How long a CRL may take after a revocation.
const CRL: Duration = Duration::from_secs(15);

/// What a verifier needs, taken before anything is signed: roots, chains, JWK Set, CRLs.
pub(super) async fn fetch_trust(callers: &Callers, narrator: &Narrator) -> Result<Trust, Failure> {
    narrator
        .step("beta fetches roots, chains, JWK Set and CRLs", async {
            let client = &callers.beta_payments;
            let bundle = client
                .get_trust_bundle(v1::GetTrustBundleRequest {})
                .await?;
            let alfa = bundle
                .institutions
                .iter()
                .find(|trusted| trusted.institution == "alfa");
            let alfa = alfa.ok_or_else(|| Failure::new("beta's trust bundle has no alfa"))?;
            let chain = alfa
                .chains
                .first()
                .map(|chain| chain.certificates.as_slice());
            let chain = chain
                .unwrap_or_default()
                .iter()
                .map(|der| Certificate::from_der(der));
            let trust = Trust {
                device_root: Certificate::from_der(&bundle.device_root)?,
                signing_root: Certificate::from_der(&bundle.signing_root)?,
                signing_chain: chain.collect::<Result<_, _>>()?,
                jwks: alfa.jwk_set.clone(),
                device_root_crl: crl(client, "", v1::Authority::DeviceRoot).await?,
                signing_root_crl: crl(client, "", v1::Authority::SigningRoot).await?,
                signing_ca_crl: crl(client, "alfa", v1::Authority::SigningCa).await?,
                crl_at_signing: crl(client, "mobilis", v1::Authority::DeviceCa).await?,
            };
            Ok((trust, format!("trust document version {}", bundle.version)))
        })
        .await
}

async fn crl(
    client: &Client,
    institution: &str,
    authority: v1::Authority,
) -> Result<Vec<u8>, Failure> {
    let ask = v1::GetCrlRequest {
        institution: institution.to_owned(),
        authority: authority.into(),
        key_id: String::new(),
    };
    Ok(client.get_crl(ask).await?.crl)
}

/// The CRL of mobilis in which the phone is listed, with what is to be said about it.
pub(super) async fn next_crl(
    callers: &Callers,
    phone: &Phone,
    before: &[u8],
) -> Result<(Vec<u8>, String), Failure> {
    let before = CertificateRevocationList::from_der(before)?;
    let serial = phone
        .chain()?
        .first()
        .map(Certificate::serial)
        .unwrap_or_default();
    let (der, after) = until("a CRL with the phone in it", CRL, async || {
        let der = crl(&callers.beta_payments, "mobilis", v1::Authority::DeviceCa).await?;
        let crl = CertificateRevocationList::from_der(&der)?;
        let listed = crl.number() > before.number() && crl.entry(serial).is_some();
        Ok(listed.then_some((der, crl)))
    })
    .await?;
    Ok((
        der,
        format!(
            "number {} after {}, the phone in it",
            after.number(),
            before.number()
        ),
    ))
}
