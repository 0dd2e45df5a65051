//! Owns EnrollmentService: its messages to and from the use cases.

use semops_pki::crl;
use semops_proto::v1::{self, enrollment_service_server::EnrollmentService};
use tonic::{Request, Response, Status};

use crate::{
    authority::{self, DeviceShown},
    domain::device::{self, DeviceId, Reference},
    error::{Error, Reason},
    rpc::{
        call::Desk,
        device_pages::{self, PageAsked},
        field,
    },
};

/// The longest CertificationRequest, octets.
const MAX_REQUEST: usize = 8_192;

/// Answers EnrollmentService.
pub(crate) struct Enrollment(pub(crate) Desk);

#[tonic::async_trait]
impl EnrollmentService for Enrollment {
    async fn enroll_device(
        &self,
        request: Request<v1::EnrollDeviceRequest>,
    ) -> Result<Response<v1::EnrollDeviceResponse>, Status> {
        self.0
            .run(
                request,
                enroll_request,
                |authority, ctx, (csr, subscriber): (Vec<u8>, Reference)| async move {
                    let enrolled = authority.enroll(&ctx, &csr, subscriber).await?;
                    Ok(v1::EnrollDeviceResponse {
                        device_id: enrolled.device.to_string(),
                        certificate_chain: enrolled.chain,
                    })
                },
            )
            .await
    }

    async fn accept_device(
        &self,
        request: Request<v1::AcceptDeviceRequest>,
    ) -> Result<Response<v1::AcceptDeviceResponse>, Status> {
        self.0
            .run(
                request,
                accept_request,
                |authority, ctx, (id, account)| async move {
                    let device = shown(authority.accept(&ctx, id, account).await?);
                    Ok(v1::AcceptDeviceResponse {
                        device: Some(device),
                    })
                },
            )
            .await
    }

    async fn release_device(
        &self,
        request: Request<v1::ReleaseDeviceRequest>,
    ) -> Result<Response<v1::ReleaseDeviceResponse>, Status> {
        self.0
            .run(request, release_request, |authority, ctx, id| async move {
                authority.release(&ctx, id).await?;
                Ok(v1::ReleaseDeviceResponse {})
            })
            .await
    }

    async fn revoke_device(
        &self,
        request: Request<v1::RevokeDeviceRequest>,
    ) -> Result<Response<v1::RevokeDeviceResponse>, Status> {
        self.0
            .run(
                request,
                revoke_request,
                |authority, ctx, (id, reason)| async move {
                    let device = shown(authority.revoke(&ctx, id, reason).await?);
                    Ok(v1::RevokeDeviceResponse {
                        device: Some(device),
                    })
                },
            )
            .await
    }

    async fn get_device(
        &self,
        request: Request<v1::GetDeviceRequest>,
    ) -> Result<Response<v1::GetDeviceResponse>, Status> {
        self.0
            .run(request, device_request, |authority, ctx, id| async move {
                let device = shown(authority.device(&ctx, id).await?);
                Ok(v1::GetDeviceResponse {
                    device: Some(device),
                })
            })
            .await
    }

    async fn list_devices(
        &self,
        request: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        self.0
            .run(
                request,
                device_pages::asked,
                |authority, ctx, asked| async move {
                    let PageAsked {
                        filter,
                        after,
                        at_most,
                    } = asked;
                    let page = authority
                        .devices(&ctx, filter.clone(), after, at_most)
                        .await?;
                    let token = |last| device_pages::token(&filter, last);
                    Ok(v1::ListDevicesResponse {
                        next_page_token: page.next.map_or_else(String::new, token),
                        devices: page.devices.into_iter().map(shown).collect(),
                    })
                },
            )
            .await
    }
}

pub(super) fn enroll_request(
    message: v1::EnrollDeviceRequest,
) -> Result<(Vec<u8>, Reference), Error> {
    let csr = message.certification_request;
    if csr.is_empty() || csr.len() > MAX_REQUEST {
        let description =
            "must be the DER of a CertificationRequest (RFC 2986), 8192 octets at most";
        return Err(Error::invalid(
            Reason::RequestNotAcceptable,
            "certification_request",
            description,
        ));
    }
    Ok((
        csr,
        field::reference("subscriber_reference", &message.subscriber_reference)?,
    ))
}

pub(super) fn accept_request(
    message: v1::AcceptDeviceRequest,
) -> Result<(DeviceId, Reference), Error> {
    Ok((
        field::device_id(&message.device_id)?,
        field::reference("account_reference", &message.account_reference)?,
    ))
}

pub(super) fn release_request(message: v1::ReleaseDeviceRequest) -> Result<DeviceId, Error> {
    field::device_id(&message.device_id)
}

pub(super) fn revoke_request(
    message: v1::RevokeDeviceRequest,
) -> Result<(DeviceId, crl::Reason), Error> {
    Ok((
        field::device_id(&message.device_id)?,
        revocation_reason(message.reason)?,
    ))
}

pub(super) fn device_request(message: v1::GetDeviceRequest) -> Result<DeviceId, Error> {
    field::device_id(&message.device_id)
}

fn revocation_reason(code: i32) -> Result<crl::Reason, Error> {
    use v1::RevocationReason as R;
    match R::try_from(code) {
        Ok(R::Unspecified) => Ok(crl::Reason::Unspecified),
        Ok(R::KeyCompromise) => Ok(crl::Reason::KeyCompromise),
        Ok(R::AffiliationChanged) => Ok(crl::Reason::AffiliationChanged),
        Ok(R::Superseded) => Ok(crl::Reason::Superseded),
        Ok(R::CessationOfOperation) => Ok(crl::Reason::CessationOfOperation),
        Ok(R::PrivilegeWithdrawn) => Ok(crl::Reason::PrivilegeWithdrawn),
        Err(_) => Err(field::invalid("reason", "must be one of RevocationReason")),
    }
}

fn shown(device: DeviceShown) -> v1::Device {
    v1::Device {
        device_id: device.id.to_string(),
        status: status(device.status).into(),
        assurance: v1::Assurance::SoftwareKeyUnattested.into(),
        issued: device.issued.map(issued),
        acceptance: device.acceptance.map(acceptance),
    }
}

fn status(status: device::Status) -> v1::DeviceStatus {
    match status {
        device::Status::Active => v1::DeviceStatus::Active,
        device::Status::Revoked => v1::DeviceStatus::Revoked,
        device::Status::Expired => v1::DeviceStatus::Expired,
    }
}

fn issued(issued: authority::Issued) -> v1::IssuedDevice {
    v1::IssuedDevice {
        subscriber_reference: issued.subscriber.as_str().to_owned(),
        certificate_chain: issued.chain,
        serial_number: issued
            .serial
            .iter()
            .map(|octet| format!("{octet:02X}"))
            .collect(),
        not_before: issued.not_before,
        not_after: issued.not_after,
        revoked_at: issued.revoked.map(|revocation| revocation.at.seconds()),
        // The codes of the message are those of RFC 5280 s5.3.1.
        revocation_reason: issued
            .revoked
            .map(|revocation| revocation.reason.code().into()),
    }
}

fn acceptance(acceptance: device::Acceptance) -> v1::Acceptance {
    v1::Acceptance {
        account_reference: acceptance.account.as_str().to_owned(),
        accepted_at: acceptance.accepted_at.seconds(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_reason_keeps_its_code() {
        for code in 0..=10 {
            match revocation_reason(code) {
                Ok(reason) => assert_eq!(i32::from(reason.code()), code),
                // CA and hold reasons, 7, removeFromCRL and aACompromise are not for a caller to give.
                Err(_) => assert!([2, 6, 7, 8, 10].contains(&code), "{code}"),
            }
        }
        assert!(revocation_reason(11).is_err() && revocation_reason(-1).is_err());
    }

    #[test]
    fn an_empty_or_long_request_names_its_field() {
        for length in [0, MAX_REQUEST + 1] {
            let message = v1::EnrollDeviceRequest {
                certification_request: vec![0; length],
                subscriber_reference: "AbCdEfGhIjKlMnOpQrStUv".into(),
            };
            let error = enroll_request(message).unwrap_err();
            let Error::Invalid { violation, .. } = error else {
                unreachable!("{error}")
            };
            assert_eq!(violation.field, "certification_request");
        }
    }
}
