//! A phone: its key never leaves it, it asks for a certificate, and it signs orders.

use std::time::SystemTime;

use semops_objects::{Amount, Channel, Kind, Order, Payee, jws, payment::DEFAULT_LIFETIME};
use semops_pki::{certificate::Certificate, local_key::LocalKey};
use semops_proto::{client::Client, v1};
use uuid::Uuid;

use crate::failure::Failure;

/// A phone with a new key.
#[derive(Debug)]
pub struct Phone {
    key: LocalKey,
    enrolled: Option<Enrolled>,
}

#[derive(Debug)]
struct Enrolled {
    device_id: String,
    chain: Vec<Certificate>,
}

impl Phone {
    /// A phone that nobody knows yet.
    ///
    /// # Errors
    /// No random source.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            key: LocalKey::generate()?,
            enrolled: None,
        })
    }

    /// A phone that `issuer`, an enrolment caller, has enrolled and `bank`, another, has accepted.
    ///
    /// # Errors
    /// Either refused.
    pub async fn of_customer(issuer: &Client, bank: &Client) -> Result<Self, Failure> {
        let mut phone = Self::new()?;
        let ask = v1::EnrollDeviceRequest {
            certification_request: phone.request()?,
            subscriber_reference: pseudonym(),
        };
        phone.take_certificate(&issuer.enroll_device(ask).await?)?;
        let ask = v1::AcceptDeviceRequest {
            device_id: phone.device_id()?.to_owned(),
            account_reference: pseudonym(),
        };
        bank.accept_device(ask).await?;
        Ok(phone)
    }

    /// Its certification request (RFC 2986), DER.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn request(&self) -> Result<Vec<u8>, Failure> {
        Ok(self.key.certification_request("phone")?)
    }

    /// Takes its certificate, once it is seen to be for its own key.
    ///
    /// # Errors
    /// It certifies another key, or is no certificate.
    pub fn take_certificate(&mut self, answer: &v1::EnrollDeviceResponse) -> Result<(), Failure> {
        let chain = answer
            .certificate_chain
            .iter()
            .map(|der| Certificate::from_der(der));
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        if chain.first().map(Certificate::public_key) != Some(self.key.public_key()) {
            return Err(Failure::new(
                "the certificate is for another key than the phone's",
            ));
        }
        self.enrolled = Some(Enrolled {
            device_id: answer.device_id.clone(),
            chain,
        });
        Ok(())
    }

    /// Its device id, as it shows it to its user.
    ///
    /// # Errors
    /// It is not enrolled.
    pub fn device_id(&self) -> Result<&str, Failure> {
        Ok(&self.enrolled()?.device_id)
    }

    /// Its certificate and that of the CA.
    ///
    /// # Errors
    /// It is not enrolled.
    pub fn chain(&self) -> Result<&[Certificate], Failure> {
        Ok(&self.enrolled()?.chain)
    }

    /// The `kid` of its orders: x5t#S256 of its certificate.
    ///
    /// # Errors
    /// It is not enrolled.
    pub fn kid(&self) -> Result<[u8; 32], Failure> {
        let certificate = self.chain()?.first();
        Ok(certificate.map(Certificate::sha256).unwrap_or_default())
    }

    /// The compact JWS of an order. Each call gives another signature over the same bytes: ES256 is randomised.
    ///
    /// # Errors
    /// It is not enrolled.
    pub fn sign(&self, order: &Order) -> Result<String, Failure> {
        let input = order.signing_input(&self.kid()?);
        Ok(jws::compact(&input, &self.sign_raw(input.as_bytes())?))
    }

    /// `r || s` over anything: for objects that no honest phone makes.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn sign_raw(&self, message: &[u8]) -> Result<[u8; 64], Failure> {
        Ok(self.key.sign_raw(message)?)
    }

    fn enrolled(&self) -> Result<&Enrolled, Failure> {
        self.enrolled
            .as_ref()
            .ok_or_else(|| Failure::new("the phone is not enrolled"))
    }
}

/// A new order at a till, made now, to the payer's institution `to`; its members may be changed before it is signed.
///
/// # Errors
/// A member breaks its rule.
pub fn order(to: &str, amount: Amount, payee: Payee) -> Result<Order, Failure> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs();
    Ok(Order {
        jti: Uuid::now_v7(),
        iat: now,
        exp: now.saturating_add(DEFAULT_LIFETIME),
        aud: to.parse().map_err(Failure::during(to))?,
        kind: Kind::Payment,
        channel: Channel::RealPos,
        amount,
        payee,
        offer_sha256: None,
    })
}

/// A pseudonym as institutions make them for subscribers and accounts: here a random UUID.
#[must_use]
pub fn pseudonym() -> String {
    Uuid::new_v4().to_string()
}
