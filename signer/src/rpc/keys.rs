//! Owns KeyService: its messages from the use cases.

use semops_proto::v1::{self, key_service_server::KeyService};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    authority::{KeyShown, SignedShown},
    clock::Timestamp,
    domain::{
        device::DeviceId,
        key::{KeyId, KeyState, Purpose},
        operation::Kind,
    },
    error::Error,
    rpc::{call::Desk, field, signed_pages},
};

/// Answers KeyService.
pub(crate) struct Keys(pub(crate) Desk);

#[tonic::async_trait]
impl KeyService for Keys {
    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        self.0
            .run(
                request,
                |_| Ok(()),
                |authority, ctx, ()| async move {
                    let keys = authority.list_keys(&ctx).await?;
                    Ok(v1::ListKeysResponse {
                        keys: keys.into_iter().map(shown).collect(),
                    })
                },
            )
            .await
    }

    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        self.0
            .run(
                request,
                create_request,
                |authority, ctx, (purpose, request, token)| async move {
                    let key = authority
                        .create_key(&ctx, purpose, request, token.as_deref())
                        .await?;
                    Ok(v1::CreateKeyResponse {
                        key: Some(shown(key)),
                    })
                },
            )
            .await
    }

    async fn discard_key(
        &self,
        request: Request<v1::DiscardKeyRequest>,
    ) -> Result<Response<v1::DiscardKeyResponse>, Status> {
        self.0
            .run(request, discard_request, |authority, ctx, id| async move {
                authority.discard_key(&ctx, id).await?;
                Ok(v1::DiscardKeyResponse {})
            })
            .await
    }

    async fn list_signed(
        &self,
        request: Request<v1::ListSignedRequest>,
    ) -> Result<Response<v1::ListSignedResponse>, Status> {
        self.0
            .run(
                request,
                signed_pages::asked,
                |authority, ctx, asked| async move {
                    let list = (asked.key, asked.since);
                    let page = authority
                        .list_signed(&ctx, list, asked.after, asked.at_most)
                        .await?;
                    let next = page.next.map(|last| signed_pages::token(&asked, last));
                    Ok(v1::ListSignedResponse {
                        objects: page.objects.into_iter().map(signed).collect(),
                        next_page_token: next.unwrap_or_default(),
                        complete: page.complete,
                        under_way: page.under_way,
                        not_kept: page.not_kept,
                    })
                },
            )
            .await
    }

    async fn reissue_device(
        &self,
        request: Request<v1::ReissueDeviceRequest>,
    ) -> Result<Response<v1::ReissueDeviceResponse>, Status> {
        self.0
            .run(request, reissue_request, |authority, ctx, id| async move {
                let reissued = authority.reissue_device(&ctx, id).await?;
                Ok(v1::ReissueDeviceResponse {
                    device_id: reissued.device.to_string(),
                    certificate_chain: reissued.chain,
                })
            })
            .await
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        self.0
            .run(request, key_request, |authority, ctx, id| async move {
                let key = shown(authority.key(&ctx, id).await?);
                Ok(v1::GetKeyResponse { key: Some(key) })
            })
            .await
    }
}

/// What is asked for: its purpose, by which request, and in which token if not in the first.
type Creation = (Purpose, Uuid, Option<String>);

pub(super) fn create_request(message: v1::CreateKeyRequest) -> Result<Creation, Error> {
    let purpose = match message.purpose() {
        v1::KeyPurpose::DeviceCa => Purpose::DeviceCa,
        v1::KeyPurpose::SigningCa => Purpose::SigningCa,
        v1::KeyPurpose::Authorization => Purpose::Authorization,
        v1::KeyPurpose::Ocsp => Purpose::Ocsp,
        v1::KeyPurpose::Audit => Purpose::Audit,
        v1::KeyPurpose::Statement => Purpose::Statement,
        v1::KeyPurpose::Unspecified => {
            return Err(field::invalid("purpose", "must be one of KeyPurpose"));
        }
    };
    let request = field::uuid("request_id", &message.request_id)?;
    Ok((
        purpose,
        request,
        Some(message.token).filter(|label| !label.is_empty()),
    ))
}

pub(super) fn reissue_request(message: v1::ReissueDeviceRequest) -> Result<DeviceId, Error> {
    field::device_id(&message.device_id)
}

pub(super) fn key_request(message: v1::GetKeyRequest) -> Result<KeyId, Error> {
    field::parsed("key_id", &message.key_id)
}

pub(super) fn discard_request(message: v1::DiscardKeyRequest) -> Result<KeyId, Error> {
    field::parsed("key_id", &message.key_id)
}

fn shown(key: KeyShown) -> v1::Key {
    let record = &key.record;
    // Without a certificate it has no cryptoperiod yet.
    let certified = |at: Timestamp| record.chain.first().map_or(0, |_| at.seconds());
    v1::Key {
        key_id: record.id.to_string(),
        purpose: purpose(record.purpose).into(),
        state: state(key.state).into(),
        active_since: certified(record.not_before),
        active_until: certified(record.not_after),
        registered_at: key.registered_at.map(|at| at.seconds()),
        signatures: key.signatures,
        public_key: record.public.spki_der().to_vec(),
        certificate_chain: record.chain.iter().map(|c| c.der().to_vec()).collect(),
        certification_request: key.certification_request.unwrap_or_default(),
        attributes: key.attributes.into_iter().map(attribute).collect(),
        lifetime_signatures: key.lifetime,
        activates_at: key.activates_at.map(seconds),
        retires_at: key.retires_at.map(seconds),
        destruction_at: key.destruction_at.map(seconds),
        token: key.token.unwrap_or_default(),
        signs_until: record.chain.first().map(|_| record.signs_until.seconds()),
    }
}

fn seconds(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn signed(object: SignedShown) -> v1::SignedObject {
    let kind = match object.kind {
        Kind::Authorization => v1::SignedKind::Authorization,
        Kind::DeviceCertificate => v1::SignedKind::DeviceCertificate,
        Kind::Crl => v1::SignedKind::Crl,
        Kind::AuthorizationCertificate => v1::SignedKind::AuthorizationCertificate,
        Kind::KeyCertificate => v1::SignedKind::KeyCertificate,
        Kind::CertificationRequest => v1::SignedKind::CertificationRequest,
    };
    let device = object.device.map(|device| device.to_string());
    v1::SignedObject {
        kind: kind.into(),
        id: object.id,
        audit_object: object.audit_object,
        device_id: device.unwrap_or_default(),
        signed_at: object.at.seconds(),
        expires_at: object.expires_at.map_or(0, Timestamp::seconds),
        sha256: object.sha256.to_vec(),
        in_force: object.in_force,
    }
}

fn purpose(purpose: Purpose) -> v1::KeyPurpose {
    match purpose {
        Purpose::DeviceCa => v1::KeyPurpose::DeviceCa,
        Purpose::SigningCa => v1::KeyPurpose::SigningCa,
        Purpose::Authorization => v1::KeyPurpose::Authorization,
        Purpose::Ocsp => v1::KeyPurpose::Ocsp,
        Purpose::Audit => v1::KeyPurpose::Audit,
        Purpose::Statement => v1::KeyPurpose::Statement,
    }
}

fn state(state: KeyState) -> v1::KeyState {
    match state {
        KeyState::PreActivation => v1::KeyState::PreActivation,
        KeyState::Active => v1::KeyState::Active,
        KeyState::Suspended => v1::KeyState::Suspended,
        KeyState::Deactivated => v1::KeyState::Deactivated,
        KeyState::Compromised => v1::KeyState::Compromised,
        KeyState::Destroyed => v1::KeyState::Destroyed,
    }
}

fn attribute((name, value): (String, Option<bool>)) -> v1::KeyAttribute {
    v1::KeyAttribute { name, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_in_the_order_of_their_purposes_numbers() {
        let numbers = Purpose::ALL.map(|one| i32::from(purpose(one)));
        assert!(numbers.is_sorted() && !numbers.contains(&0), "{numbers:?}");
    }
}
