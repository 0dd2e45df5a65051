//! Owns TrustService: public material, as messages.

use semops_objects::{
    institution::InstitutionId,
    jwk::{Jwk, JwkSet},
    trust::{TrustDocument, TrustedInstitution},
};
use semops_proto::v1::{self, trust_service_server::TrustService};
use tonic::{Request, Response, Status};

use crate::{
    authority::Ca,
    domain::{
        key::{KeyId, Purpose},
        published_roots::Hierarchy,
    },
    error::Error,
    rpc::{call::Desk, field},
};

/// Answers TrustService.
pub(crate) struct Trust(pub(crate) Desk);

#[tonic::async_trait]
impl TrustService for Trust {
    async fn get_trust_bundle(
        &self,
        request: Request<v1::GetTrustBundleRequest>,
    ) -> Result<Response<v1::GetTrustBundleResponse>, Status> {
        self.0
            .run(
                request,
                |_| Ok(()),
                |authority, ctx, ()| async move { Ok(bundle(authority.trust(&ctx)?)) },
            )
            .await
    }

    async fn get_crl(
        &self,
        request: Request<v1::GetCrlRequest>,
    ) -> Result<Response<v1::GetCrlResponse>, Status> {
        self.0
            .run(request, named_ca, |authority, _, named| async move {
                let published = authority.crl(named.ca()).await?;
                Ok(v1::GetCrlResponse {
                    crl: published.der,
                    crl_number: published.number,
                })
            })
            .await
    }
}

/// A CA by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamedCa {
    Root(Hierarchy, Option<KeyId>),
    Institution(InstitutionId, Purpose, Option<KeyId>),
}

impl NamedCa {
    fn ca(&self) -> Ca<'_> {
        match self {
            Self::Root(hierarchy, key) => Ca::Root(*hierarchy, *key),
            Self::Institution(institution, purpose, None) => Ca::Issuing(institution, *purpose),
            Self::Institution(institution, purpose, Some(key)) => {
                Ca::Key(institution, *purpose, *key)
            }
        }
    }
}

pub(super) fn named_ca(message: v1::GetCrlRequest) -> Result<NamedCa, Error> {
    use v1::Authority as A;
    let key = match message.key_id.as_str() {
        "" => None,
        key => Some(field::parsed("key_id", key)?),
    };
    let institution = |purpose| {
        let institution = field::institution(&message.institution)?;
        Ok(NamedCa::Institution(institution, purpose, key))
    };
    let root = |hierarchy| {
        if message.institution.is_empty() {
            return Ok(NamedCa::Root(hierarchy, key));
        }
        Err(field::invalid("institution", "must be empty for a root"))
    };
    match A::try_from(message.authority) {
        Ok(A::DeviceCa) => institution(Purpose::DeviceCa),
        Ok(A::SigningCa) => institution(Purpose::SigningCa),
        Ok(A::DeviceRoot) => root(Hierarchy::Device),
        Ok(A::SigningRoot) => root(Hierarchy::Signing),
        Ok(A::Unspecified) | Err(_) => Err(field::invalid(
            "authority",
            "must be one of Authority, not UNSPECIFIED",
        )),
    }
}

fn bundle(trust: &TrustDocument) -> v1::GetTrustBundleResponse {
    v1::GetTrustBundleResponse {
        version: trust.version(),
        sha256: trust.sha256().to_vec(),
        device_root: trust.device_root().der().to_vec(),
        signing_root: trust.signing_root().der().to_vec(),
        signing_root_crls: vec![trust.signing_root_crl().der().to_vec()],
        institutions: trust.trusted().iter().map(institution).collect(),
    }
}

fn institution(trusted: &TrustedInstitution) -> v1::TrustedInstitution {
    let leaves = || {
        let cas = trusted.signing_cas().iter();
        cas.flat_map(|ca| {
            ca.authorization_certificates()
                .iter()
                .map(move |leaf| (leaf, ca.certificate()))
        })
    };
    let chain = |leaf: &[u8], ca: &[u8]| v1::CertificateChain {
        certificates: vec![leaf.to_vec(), ca.to_vec()],
    };
    let keys: JwkSet = leaves()
        .map(|(leaf, ca)| Jwk::new(leaf.public_key(), leaf.der(), &[ca.der()]))
        .collect();
    v1::TrustedInstitution {
        institution: trusted.institution().to_string(),
        chains: leaves()
            .map(|(leaf, ca)| chain(leaf.der(), ca.der()))
            .collect(),
        crls: trusted
            .signing_cas()
            .iter()
            .map(|ca| ca.crl().der().to_vec())
            .collect(),
        jwk_set: keys.to_json(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ask(institution: &str, authority: v1::Authority) -> Result<NamedCa, Error> {
        ask_of(institution, authority, "")
    }

    fn ask_of(institution: &str, authority: v1::Authority, key_id: &str) -> Result<NamedCa, Error> {
        named_ca(v1::GetCrlRequest {
            institution: institution.into(),
            authority: authority.into(),
            key_id: key_id.into(),
        })
    }

    #[test]
    fn a_ca_is_named_by_institution_and_kind() {
        let alfa: InstitutionId = "alfa".parse().unwrap();
        let device_ca = ask("alfa", v1::Authority::DeviceCa).unwrap();
        let issuing = NamedCa::Institution(alfa.clone(), Purpose::DeviceCa, None);
        assert_eq!(device_ca, issuing);
        let key = KeyId::new([7; 32]);
        let of_key = ask_of("alfa", v1::Authority::SigningCa, &key.to_string()).unwrap();
        let named = NamedCa::Institution(alfa, Purpose::SigningCa, Some(key));
        assert_eq!(of_key, named);
        assert!(ask_of("alfa", v1::Authority::SigningCa, "no key").is_err());
        let root = |key: &str| ask_of("", v1::Authority::SigningRoot, key).unwrap();
        assert_eq!(root(""), NamedCa::Root(Hierarchy::Signing, None));
        let of_key = NamedCa::Root(Hierarchy::Signing, Some(key));
        assert_eq!(root(&key.to_string()), of_key);
        assert!(ask("alfa", v1::Authority::DeviceRoot).is_err());
        assert!(ask("", v1::Authority::SigningCa).is_err());
        assert!(ask("", v1::Authority::Unspecified).is_err());
    }
}
