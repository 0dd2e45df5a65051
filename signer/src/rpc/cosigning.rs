//! Owns CosigningService: its messages to and from the use cases.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::{authorization::Authorization, order::OrderJws, trust::Verdict};
use semops_proto::v1::{self, cosigning_service_server::CosigningService};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    authority::{BankReferences, Cosign},
    domain::{
        device::DeviceId,
        outcome::{Outcome, State},
    },
    error::Error,
    rpc::{call::Desk, field},
};

/// Answers CosigningService.
pub(crate) struct Cosigning(pub(crate) Desk);

#[tonic::async_trait]
impl CosigningService for Cosigning {
    async fn cosign_order(
        &self,
        request: Request<v1::CosignOrderRequest>,
    ) -> Result<Response<v1::CosignOrderResponse>, Status> {
        self.0
            .run(request, cosign_request, |authority, ctx, ask| async move {
                let cosigned = authority.cosign(&ctx, ask).await?;
                Ok(v1::CosignOrderResponse {
                    device_id: cosigned.device.to_string(),
                    jti: cosigned.jti.to_string(),
                    order_jws: cosigned.order_jws,
                    authorization_jws: cosigned.authorization_jws,
                })
            })
            .await
    }

    async fn get_authorization(
        &self,
        request: Request<v1::GetAuthorizationRequest>,
    ) -> Result<Response<v1::GetAuthorizationResponse>, Status> {
        self.0
            .run(
                request,
                authorization_request,
                |authority, ctx, (device, jti)| async move {
                    state(authority.authorization(&ctx, device, jti).await?)
                },
            )
            .await
    }

    async fn verify_authorization(
        &self,
        request: Request<v1::VerifyAuthorizationRequest>,
    ) -> Result<Response<v1::VerifyAuthorizationResponse>, Status> {
        self.0
            .run(
                request,
                verify_request,
                |authority, ctx, jws: String| async move {
                    Ok(verdict(authority.verify(&ctx, &jws)?))
                },
            )
            .await
    }
}

pub(super) fn cosign_request(message: v1::CosignOrderRequest) -> Result<Cosign, Error> {
    let order = OrderJws::parse(&message.order_jws)
        .map_err(|error| field::invalid(format!("order_jws.{}", error.field()), error.rule()))?;
    let end_to_end_id = message
        .end_to_end_id
        .map(|text| field::parsed("end_to_end_id", &text))
        .transpose()?;
    let uetr = message
        .uetr
        .map(|text| field::parsed("uetr", &text))
        .transpose()?;
    Ok(Cosign {
        order,
        references: BankReferences {
            end_to_end_id,
            uetr,
        },
    })
}

pub(super) fn authorization_request(
    message: v1::GetAuthorizationRequest,
) -> Result<(DeviceId, Uuid), Error> {
    Ok((
        field::device_id(&message.device_id)?,
        field::jti(&message.jti)?,
    ))
}

pub(super) fn verify_request(message: v1::VerifyAuthorizationRequest) -> Result<String, Error> {
    Ok(message.authorization_jws)
}

fn state(outcome: Outcome) -> Result<v1::GetAuthorizationResponse, Error> {
    let state = match outcome.state {
        State::Pending => v1::OrderState::Pending,
        State::Authorized => v1::OrderState::Authorized,
        State::Denied => v1::OrderState::Denied,
        State::Expired => v1::OrderState::Expired,
        State::Failed => v1::OrderState::Failed,
    };
    let order_jws = outcome
        .order_jws
        .ok_or_else(|| Error::internal("a recorded order has no order"))?;
    let authorization_jws = outcome
        .artifact
        .map(String::from_utf8)
        .transpose()
        .map_err(Error::internal)?;
    Ok(v1::GetAuthorizationResponse {
        state: state.into(),
        order_jws,
        authorization_jws,
        reason: outcome.reason,
    })
}

fn verdict(verdict: Verdict) -> v1::VerifyAuthorizationResponse {
    let (verdict, reason, authorization) = match verdict {
        Verdict::Valid(authorization) => (v1::Verdict::Valid, None, Some(authorization)),
        Verdict::Expired(authorization) => (v1::Verdict::Expired, None, Some(authorization)),
        Verdict::Refused {
            reason,
            authorization,
        } => (
            v1::Verdict::Refused,
            Some(reason.name().to_owned()),
            authorization,
        ),
    };
    v1::VerifyAuthorizationResponse {
        verdict: verdict.into(),
        reason,
        authorization: authorization.map(members),
    }
}

fn members(authorization: Authorization) -> v1::Authorization {
    let base64url = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    // The objects' times have 12 digits at most.
    let seconds = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    v1::Authorization {
        jti: authorization.jti.to_string(),
        iat: seconds(authorization.iat),
        exp: seconds(authorization.exp),
        iss: authorization.iss.into(),
        aud: authorization.aud.into(),
        order_sha256: base64url(&authorization.order_sha256),
        kind: authorization.kind.as_str().to_owned(),
        channel: authorization.channel.as_str().to_owned(),
        amount: Some(v1::Amount {
            value: authorization.amount.value(),
            currency: authorization.amount.currency().code().to_owned(),
        }),
        payee: Some(v1::Payee {
            institution: authorization.payee.institution().to_string(),
            id: authorization.payee.id().to_owned(),
            name: authorization.payee.name().to_owned(),
        }),
        offer_sha256: authorization.offer_sha256.map(|digest| base64url(&digest)),
        payer: base64url(&authorization.payer),
        end_to_end_id: authorization.end_to_end_id.map(|id| id.as_str().to_owned()),
        uetr: authorization.uetr.map(|uetr| uetr.uuid().to_string()),
        policy: base64url(&authorization.policy),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_order_that_does_not_parse_names_where() {
        let message = v1::CosignOrderRequest {
            order_jws: "a.b".into(),
            ..Default::default()
        };
        let Err(Error::Invalid { violation, .. }) = cosign_request(message) else {
            unreachable!()
        };
        assert!(
            violation.field.starts_with("order_jws."),
            "{}",
            violation.field
        );
    }

    #[test]
    fn an_ended_order_keeps_its_reason() {
        let outcome = Outcome {
            state: State::Expired,
            device: None,
            order_jws: Some("a.b.c".into()),
            artifact: None,
            reason: Some("ORDER_EXPIRED".into()),
        };
        let shown = state(outcome.clone()).unwrap();
        assert_eq!(
            (shown.state(), shown.reason.as_deref()),
            (v1::OrderState::Expired, Some("ORDER_EXPIRED"))
        );
        assert!(shown.authorization_jws.is_none());
        assert!(
            state(Outcome {
                order_jws: None,
                ..outcome
            })
            .is_err()
        );
    }
}
