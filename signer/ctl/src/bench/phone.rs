//! The phones of the load: as `phone new` and `phone order` make them, in memory.

use semops_objects::{Order, jws};
use semops_pki::{algorithm::sha256, certificate::Certificate, local_key::LocalKey};
use semops_proto::v1::{AcceptDeviceRequest, EnrollDeviceRequest, EnrollDeviceResponse};
use uuid::Uuid;

use super::order::Placed;
use crate::failure::Failure;

/// A phone without a certificate.
#[derive(Debug)]
pub struct NewPhone {
    key: LocalKey,
}

/// An enrolled phone.
#[derive(Debug)]
pub struct Phone {
    key: LocalKey,
    /// x5t#S256 of its certificate.
    kid: [u8; 32],
    device_id: String,
}

impl NewPhone {
    /// A phone with a new key, and its request to be enrolled for a subscriber of its own.
    ///
    /// # Errors
    /// No random source.
    pub fn make() -> Result<(Self, EnrollDeviceRequest), Failure> {
        let key = LocalKey::generate().map_err(failed)?;
        let request = EnrollDeviceRequest {
            certification_request: key.certification_request("phone").map_err(failed)?,
            subscriber_reference: pseudonym(),
        };
        Ok((Self { key }, request))
    }

    /// The phone with the certificate in `answer`.
    ///
    /// # Errors
    /// Why the answer is not what was asked for.
    pub fn enrolled(self, answer: &EnrollDeviceResponse) -> Result<Phone, String> {
        let der = answer.certificate_chain.first();
        let der = der.ok_or("EnrollDevice: the certificate chain is empty")?;
        let certificate = Certificate::from_der(der)
            .map_err(|error| format!("EnrollDevice: the certificate: {error}"))?;
        if certificate.public_key() != self.key.public_key() {
            return Err("EnrollDevice: the certificate is for another key".to_owned());
        }
        if certificate.subject_common_name() != Some(answer.device_id.as_str()) {
            return Err("EnrollDevice: the certificate is for another device".to_owned());
        }
        Ok(Phone {
            kid: certificate.sha256(),
            key: self.key,
            device_id: answer.device_id.clone(),
        })
    }
}

impl Phone {
    /// Its id.
    #[must_use]
    pub fn device_id(&self) -> &str {
        &self.device_id
    }

    /// The request to accept it for an account of its own.
    #[must_use]
    pub fn acceptance(&self) -> AcceptDeviceRequest {
        AcceptDeviceRequest {
            device_id: self.device_id.clone(),
            account_reference: pseudonym(),
        }
    }

    /// Signs an order.
    ///
    /// # Errors
    /// No random source.
    pub fn sign(&self, order: &Order) -> Result<Placed, Failure> {
        let input = order.signing_input(&self.kid);
        let signature = self.key.sign_raw(input.as_bytes()).map_err(failed)?;
        let jws = jws::compact(&input, &signature);
        Ok(Placed {
            sha256: sha256(jws.as_bytes()),
            jws,
        })
    }
}

/// A new one, for a subscriber or an account.
fn pseudonym() -> String {
    Uuid::new_v4().to_string()
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::usage(error, "this should not happen: try again")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use semops_objects::{Amount, Channel, OrderJws, Payee};
    use semops_pki::request::CertificationRequest;

    use super::{super::order::Terms, *};

    fn phone() -> Phone {
        Phone {
            key: LocalKey::generate().unwrap(),
            kid: [7; 32],
            device_id: "0190".to_owned(),
        }
    }

    fn terms() -> Terms {
        let payee = Payee::new("beta".parse().unwrap(), "bench", "Bench").unwrap();
        Terms {
            payer: "alfa".parse().unwrap(),
            amount: Amount::parse("1.00", "EUR").unwrap(),
            channel: Channel::RealPos,
            payee,
        }
    }

    #[test]
    fn requests_prove_possession_and_no_two_are_alike() {
        let (one, first) = NewPhone::make().unwrap();
        let (_, second) = NewPhone::make().unwrap();
        let request = CertificationRequest::parse_pem_or_der(&first.certification_request).unwrap();
        assert_eq!(request.public_key(), one.key.public_key());
        assert_ne!(first.subscriber_reference, second.subscriber_reference);
        assert_ne!(first.certification_request, second.certification_request);
    }

    #[test]
    fn an_empty_or_foreign_answer_is_none() {
        let (phone, _) = NewPhone::make().unwrap();
        let answer = EnrollDeviceResponse::default();
        assert!(phone.enrolled(&answer).unwrap_err().contains("empty"));
        let (phone, _) = NewPhone::make().unwrap();
        let answer = EnrollDeviceResponse {
            certificate_chain: vec![vec![0x30, 0]],
            ..EnrollDeviceResponse::default()
        };
        assert!(phone.enrolled(&answer).is_err());
    }

    #[test]
    fn orders_are_what_the_service_takes() {
        let (phone, terms) = (phone(), terms());
        let order = terms.order(Duration::new(1_790_000_000, 5));
        let placed = phone.sign(&order).unwrap();
        let read = OrderJws::parse(&placed.jws).unwrap();
        assert_eq!(read.order(), &order);
        assert_eq!((read.sha256(), read.kid()), (placed.sha256, [7; 32]));
        assert!(read.verify(phone.key.public_key()).is_ok());
        assert_ne!(terms.order(Duration::new(1_790_000_000, 5)).jti, order.jti);
    }
}
