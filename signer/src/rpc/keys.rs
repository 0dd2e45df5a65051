//! Owns KeyService: its messages from the use cases.

use semops_proto::v1::{self, key_service_server::KeyService};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    authority::KeyShown,
    clock::Timestamp,
    domain::key::{KeyId, KeyState, Purpose},
    error::Error,
    rpc::{call::Desk, field},
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
                |authority, ctx, (purpose, request)| async move {
                    let key = authority.create_key(&ctx, purpose, request).await?;
                    Ok(v1::CreateKeyResponse {
                        key: Some(shown(key)),
                    })
                },
            )
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

pub(super) fn create_request(message: v1::CreateKeyRequest) -> Result<(Purpose, Uuid), Error> {
    let purpose = match message.purpose() {
        v1::KeyPurpose::DeviceCa => Purpose::DeviceCa,
        v1::KeyPurpose::SigningCa => Purpose::SigningCa,
        v1::KeyPurpose::Authorization => Purpose::Authorization,
        v1::KeyPurpose::Unspecified => {
            return Err(field::invalid("purpose", "must be one of KeyPurpose"));
        }
    };
    Ok((purpose, field::uuid("request_id", &message.request_id)?))
}

pub(super) fn key_request(message: v1::GetKeyRequest) -> Result<KeyId, Error> {
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
    }
}

fn purpose(purpose: Purpose) -> v1::KeyPurpose {
    match purpose {
        Purpose::DeviceCa => v1::KeyPurpose::DeviceCa,
        Purpose::SigningCa => v1::KeyPurpose::SigningCa,
        Purpose::Authorization => v1::KeyPurpose::Authorization,
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
