//! The acts of the story, one function each.

use semops_objects::{Amount, InstitutionId, Order, Payee, emv::MerchantQr, offer};
use semops_proto::{client::Client, v1};
use tonic::Code;

use super::{Callers, Narrator, QR, lookup};
use crate::{
    evidence::Trust,
    failure::Failure,
    phone::{self, Phone},
    refusal,
};

/// A payment that was authorized.
#[derive(Clone, Debug)]
pub struct Payment {
    /// What the payer's bank asked: the order as the phone signed it.
    pub asked: v1::CosignOrderRequest,
    /// The order's members.
    pub order: Order,
    /// What it got.
    pub cosigned: v1::CosignOrderResponse,
}

/// The operator enrols the phone. Gives the certification request.
pub(super) async fn enrol(
    callers: &Callers,
    phone: &mut Phone,
    narrator: &Narrator,
) -> Result<Vec<u8>, Failure> {
    let request = phone.request()?;
    let ask = v1::EnrollDeviceRequest {
        certification_request: request.clone(),
        subscriber_reference: phone::pseudonym(),
    };
    narrator
        .step(
            "mobilis enrols a phone: PKCS#10 request in, certificate chain out",
            async {
                let answer = callers.mobilis_enrolment.enroll_device(ask).await?;
                phone.take_certificate(&answer)?;
                Ok(((), format!("device {}", answer.device_id)))
            },
        )
        .await?;
    Ok(request)
}

/// Both banks accept the phone for a customer of theirs: the order is for one of them alone all the same.
pub(super) async fn accept(
    callers: &Callers,
    phone: &Phone,
    narrator: &Narrator,
) -> Result<(), Failure> {
    let banks = [
        (
            "alfa accepts the device for its customer's account",
            &callers.alfa_enrolment,
        ),
        (
            "beta, where the same person banks too, accepts it as well",
            &callers.beta_enrolment,
        ),
    ];
    for (step, bank) in banks {
        let ask = v1::AcceptDeviceRequest {
            device_id: phone.device_id()?.to_owned(),
            account_reference: phone::pseudonym(),
        };
        narrator
            .step(step, async {
                let device = bank.accept_device(ask).await?.device.unwrap_or_default();
                let status = device
                    .status()
                    .as_str_name()
                    .trim_start_matches("DEVICE_STATUS_")
                    .to_owned();
                let assurance = device
                    .assurance()
                    .as_str_name()
                    .trim_start_matches("ASSURANCE_");
                Ok(((), format!("{status}, {assurance}")))
            })
            .await?;
    }
    Ok(())
}

/// The phone reads the merchant's code and orders; its bank has the order co-signed.
pub(super) async fn pay(
    callers: &Callers,
    phone: &Phone,
    narrator: &Narrator,
) -> Result<Payment, Failure> {
    let order = narrator
        .step("the phone reads the merchant's EMV QR code", async {
            read_offer()
        })
        .await?;
    let order_jws = narrator
        .step("the phone signs an order bound to its exact bytes", async {
            let jws = phone.sign(&order)?;
            Ok((jws.clone(), format!("{} octets", jws.len())))
        })
        .await?;
    let asked = v1::CosignOrderRequest {
        order_jws,
        end_to_end_id: None,
        uetr: None,
    };
    let cosigned = narrator
        .step(
            "alfa's backend has the order co-signed by its key in the HSM",
            async {
                let cosigned = callers.alfa_payments.cosign_order(asked.clone()).await?;
                Ok((cosigned, "AUTHORIZED".to_owned()))
            },
        )
        .await?;
    Ok(Payment {
        asked,
        order,
        cosigned,
    })
}

/// The demo knows one merchant: whoever shows this code banks at beta.
pub(super) fn read_offer() -> Result<(Order, String), Failure> {
    let qr = MerchantQr::parse(QR)?;
    let beta: InstitutionId = "beta".parse().map_err(Failure::during("beta"))?;
    let payee =
        Payee::new(beta, qr.merchant_id(), qr.merchant_name()).map_err(Failure::during("payee"))?;
    let amount = qr
        .amount()
        .ok_or_else(|| Failure::new("the code names no amount"))?;
    let said = format!(
        "{} {amount} to {} ({})",
        qr.currency(),
        payee.name(),
        payee.id()
    );
    let order = phone::order("alfa", amount, payee)?;
    let bound = Order {
        offer_sha256: Some(offer::sha256(QR)),
        ..order
    };
    Ok((bound, said))
}

/// The payee's bank verifies what it got.
pub(super) async fn verify(
    callers: &Callers,
    payment: &Payment,
    narrator: &Narrator,
) -> Result<(), Failure> {
    let ask = v1::VerifyAuthorizationRequest {
        authorization_jws: payment.cosigned.authorization_jws.clone(),
    };
    narrator
        .step("beta verifies the authorization", async {
            let answer = callers.beta_payments.verify_authorization(ask).await?;
            let said = answer.authorization.clone().unwrap_or_default();
            let amount = said.amount.unwrap_or_default();
            let as_ordered = amount.value == payment.order.amount.value()
                && said.iss == "alfa"
                && said.aud == "beta";
            if answer.verdict() != v1::Verdict::Valid || !as_ordered {
                return Err(Failure::new(format!("{answer:?}")));
            }
            let guaranteed = format!(
                "VALID: {} guarantees {} {}",
                said.iss, amount.currency, amount.value
            );
            Ok(((), guaranteed))
        })
        .await
}

/// The same order again, as it was and signed anew: the same bytes come back.
pub(super) async fn repeat(
    callers: &Callers,
    phone: &Phone,
    payment: &Payment,
    narrator: &Narrator,
) -> Result<(), Failure> {
    let signed_anew = phone.sign(&payment.order)?;
    let repeats = [
        (
            "alfa calls again with the same order",
            payment.asked.order_jws.clone(),
        ),
        (
            "alfa calls again, the phone having signed the same order anew",
            signed_anew,
        ),
    ];
    for (step, order_jws) in repeats {
        let ask = v1::CosignOrderRequest {
            order_jws,
            ..payment.asked.clone()
        };
        narrator
            .step(step, async {
                let again = callers.alfa_payments.cosign_order(ask).await?;
                if again != payment.cosigned {
                    return Err(Failure::new("other bytes came back"));
                }
                Ok(((), "the same bytes".to_owned()))
            })
            .await?;
    }
    Ok(())
}

/// What must be refused.
pub(super) async fn refusals(
    callers: &Callers,
    phone: &Phone,
    payment: &Payment,
    narrator: &Narrator,
) -> Result<(), Failure> {
    for (step, bank, order_jws, code, reason) in orders_to_refuse(callers, phone, payment)? {
        let ask = v1::CosignOrderRequest {
            order_jws,
            ..Default::default()
        };
        narrator
            .step(step, async {
                Ok((
                    (),
                    refusal::demand(bank.cosign_order(ask).await, code, reason)?,
                ))
            })
            .await?;
    }
    Ok(())
}

/// A step of the story: an order, the bank that brings it, and the code and reason with which it must be refused.
type OrderToRefuse<'a> = (&'static str, &'a Client, String, Code, &'static str);

/// One order altered under its id, one at the wrong bank, and one above the bank's policy.
fn orders_to_refuse<'a>(
    callers: &'a Callers,
    phone: &Phone,
    payment: &Payment,
) -> Result<[OrderToRefuse<'a>; 3], Failure> {
    let altered = Order {
        amount: Amount::parse("2.37", "CNY").map_err(Failure::during("amount"))?,
        ..payment.order.clone()
    };
    let dear = phone::order(
        "alfa",
        Amount::parse("500.01", "CNY").map_err(Failure::during("amount"))?,
        payment.order.payee.clone(),
    )?;
    let same = payment.asked.order_jws.clone();
    Ok([
        (
            "an altered order under the same id",
            &callers.alfa_payments,
            phone.sign(&altered)?,
            Code::AlreadyExists,
            "ORDER_CONFLICT",
        ),
        (
            "the same order at the other bank",
            &callers.beta_payments,
            same,
            Code::PermissionDenied,
            "ORDER_AUDIENCE",
        ),
        (
            "CNY 500.01, above alfa's policy",
            &callers.alfa_payments,
            phone.sign(&dear)?,
            Code::FailedPrecondition,
            "AMOUNT_OVER_POLICY",
        ),
    ])
}

/// The operator revokes the phone; its next order is refused, and the next CRL says so. Gives that CRL.
pub(super) async fn revoke(
    callers: &Callers,
    phone: &Phone,
    trust: &Trust,
    narrator: &Narrator,
) -> Result<Vec<u8>, Failure> {
    let ask = v1::RevokeDeviceRequest {
        device_id: phone.device_id()?.to_owned(),
        reason: v1::RevocationReason::KeyCompromise.into(),
    };
    narrator
        .step("mobilis revokes the phone: it was stolen", async {
            let device = callers
                .mobilis_enrolment
                .revoke_device(ask)
                .await?
                .device
                .unwrap_or_default();
            let status = device
                .status()
                .as_str_name()
                .trim_start_matches("DEVICE_STATUS_")
                .to_owned();
            Ok(((), status))
        })
        .await?;
    let (order, _) = read_offer()?;
    let next = v1::CosignOrderRequest {
        order_jws: phone.sign(&order)?,
        ..Default::default()
    };
    narrator
        .step("the phone's next order", async {
            let called = callers.alfa_payments.cosign_order(next).await;
            Ok((
                (),
                refusal::demand(called, Code::FailedPrecondition, "DEVICE_REVOKED")?,
            ))
        })
        .await?;
    narrator
        .step("beta fetches the next CRL of mobilis", async {
            lookup::next_crl(callers, phone, &trust.crl_at_signing).await
        })
        .await
}
