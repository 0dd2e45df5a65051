//! A bank's customer with a phone: enrolled by its issuer, accepted by the bank.

use semops_objects::{Amount, Order, Payee};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tonic::Status;

use crate::{
    deployment::Deployment,
    failure::Failure,
    phone::{self, Phone, pseudonym},
};

/// A phone with the pseudonyms under which institutions know its owner.
#[derive(Debug)]
pub struct Customer {
    /// The phone.
    pub phone: Phone,
    /// Its issuer's pseudonym.
    pub subscriber: String,
    /// Its banks' pseudonym.
    pub account: String,
}

impl Customer {
    /// A new phone, enrolled by `issuer` (role enrolment).
    ///
    /// # Errors
    /// It is refused.
    pub async fn enrolled_by(issuer: &Client) -> Result<Self, Failure> {
        let mut customer = Self {
            phone: Phone::new()?,
            subscriber: pseudonym(),
            account: pseudonym(),
        };
        let ask = enrolment(&customer.phone, &customer.subscriber)?;
        let answer = issuer.enroll_device(ask).await?;
        customer.phone.take_certificate(&answer)?;
        Ok(customer)
    }

    /// A new phone, enrolled by `mobilis` and accepted by `alfa`.
    ///
    /// # Errors
    /// Either is refused.
    pub async fn of_alfa(deployment: &Deployment) -> Result<Self, Failure> {
        let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
        let customer = Self::enrolled_by(&mobilis).await?;
        let alfa = deployment.client("alfa", Role::Enrolment).await?;
        customer.accepted_by(&alfa).await?;
        Ok(customer)
    }

    /// Has `bank` (role enrolment) accept the phone for the account.
    ///
    /// # Errors
    /// It is refused.
    pub async fn accepted_by(&self, bank: &Client) -> Result<v1::Device, Status> {
        let ask = v1::AcceptDeviceRequest {
            device_id: self.device_id(),
            account_reference: self.account.clone(),
        };
        Ok(bank.accept_device(ask).await?.device.unwrap_or_default())
    }

    /// Has `issuer` (role enrolment) revoke the phone.
    ///
    /// # Errors
    /// It is refused.
    pub async fn revoked_by(
        &self,
        issuer: &Client,
        reason: v1::RevocationReason,
    ) -> Result<v1::Device, Status> {
        let ask = v1::RevokeDeviceRequest {
            device_id: self.device_id(),
            reason: reason.into(),
        };
        Ok(issuer.revoke_device(ask).await?.device.unwrap_or_default())
    }

    /// The phone's device id.
    #[must_use]
    pub fn device_id(&self) -> String {
        self.phone.device_id().unwrap_or_default().to_owned()
    }

    /// What a bank is asked with: `order` signed by the phone, and no references.
    ///
    /// # Errors
    /// The phone is not enrolled.
    pub fn asks(&self, order: &Order) -> Result<v1::CosignOrderRequest, Failure> {
        Ok(v1::CosignOrderRequest {
            order_jws: self.phone.sign(order)?,
            end_to_end_id: None,
            uetr: None,
        })
    }
    /// Where an order stands at `bank` (role payments).
    ///
    /// # Errors
    /// It is refused.
    pub async fn standing(
        &self,
        bank: &Client,
        order: &Order,
    ) -> Result<v1::GetAuthorizationResponse, Status> {
        let ask = v1::GetAuthorizationRequest {
            device_id: self.device_id(),
            jti: order.jti.to_string(),
        };
        bank.get_authorization(ask).await
    }
}

/// What an institution asks with to enrol a phone for a subscriber.
///
/// # Errors
/// The phone's key cannot sign.
pub fn enrolment(phone: &Phone, subscriber: &str) -> Result<v1::EnrollDeviceRequest, Failure> {
    Ok(v1::EnrollDeviceRequest {
        certification_request: phone.request()?,
        subscriber_reference: subscriber.to_owned(),
    })
}

/// A new order of a customer of `alfa` to a merchant that banks at `beta`.
///
/// # Errors
/// It is no amount.
pub fn order(value: &str, currency: &str) -> Result<Order, Failure> {
    order_from("alfa", value, currency)
}

/// The same of a customer of `bank`.
///
/// # Errors
/// It is no amount.
pub fn order_from(bank: &str, value: &str, currency: &str) -> Result<Order, Failure> {
    let amount = Amount::parse(value, currency).map_err(Failure::during(value))?;
    let beta = "beta".parse().map_err(Failure::during("beta"))?;
    let payee = Payee::new(beta, "M-17", "Kiosk").map_err(Failure::during("payee"))?;
    phone::order(bank, amount, payee)
}
