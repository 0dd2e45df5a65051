//! The life of one phone: enrolled, accepted, its orders co-signed and asked for again, some revoked; each answer checked
//! when it comes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use semops_objects::AuthorizationJws;
use semops_pki::certificate::Certificate;
use semops_proto::v1::{CosignOrderRequest, RevocationReason, RevokeDeviceRequest};

use super::{
    calls::Calls,
    lane::Lane,
    ledger::{Cosigned, Enrolled, Ledger},
};
use crate::{
    bench::{
        order::Placed,
        phone::{NewPhone, Phone},
    },
    failure::Failure,
};

/// Why the orders of a phone that lives end without an authorization: the service was away for too long.
const TOO_LATE: [&str; 2] = ["ORDER_EXPIRED", "TOO_LATE"];

/// How phones live.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Orders of each.
    pub orders: u32,
    /// Of so many phones one is revoked.
    pub revoke_every: u64,
    /// A call without a final answer for so long is a finding.
    pub patience: Duration,
    /// The phones'.
    pub clock: fn() -> SystemTime,
}

/// A life under way.
pub struct Life<'a> {
    lane: &'a Lane,
    ledger: &'a Ledger,
    habits: Habits,
    calls: Calls<'a>,
}

impl<'a> Life<'a> {
    /// One that is to be lived.
    #[must_use]
    pub fn new(lane: &'a Lane, ledger: &'a Ledger, habits: Habits) -> Self {
        let patience = habits.patience;
        Self {
            lane,
            ledger,
            habits,
            calls: Calls { ledger, patience },
        }
    }

    /// Lives it; it is phone `number`.
    ///
    /// # Errors
    /// No random source.
    pub async fn live(&self, number: u64) -> Result<(), Failure> {
        let Some((phone, serial)) = self.enrolled().await? else {
            return Ok(());
        };
        if !self.accepted(&phone).await {
            return Ok(());
        }
        let mut first = None;
        for _ in 0..self.habits.orders {
            let cosigned = self.cosigned(&phone).await?;
            first = first.or(cosigned);
        }
        if let Some(first) = first {
            self.again(&first).await;
        }
        if number.is_multiple_of(self.habits.revoke_every) {
            self.revoked(&phone, serial).await?;
        }
        Ok(())
    }

    async fn enrolled(&self) -> Result<Option<(Phone, Vec<u8>)>, Failure> {
        let (new, ask) = NewPhone::make()?;
        let client = self.lane.issuer.enrolment.next();
        let call = || client.enroll_device(ask.clone());
        let Ok(answer) = self.calls.persist("EnrollDevice", call).await else {
            return Ok(None);
        };
        let phone = match new.enrolled(&answer) {
            Ok(phone) => phone,
            Err(wrong) => {
                self.ledger.finding(wrong);
                return Ok(None);
            }
        };
        let read = answer
            .certificate_chain
            .iter()
            .map(|der| Certificate::from_der(der));
        let read: Result<Vec<_>, _> = read.collect();
        let Ok([certificate, ca]) = read.as_deref() else {
            self.ledger
                .finding("EnrollDevice: the chain is not a certificate and its CA's");
            return Ok(None);
        };
        let serial = certificate.serial().to_vec();
        let lane = self.lane.clone();
        let enrolled = Enrolled {
            lane,
            ask,
            answer: answer.clone(),
        };
        self.ledger.enrolled(enrolled, certificate, ca.clone());
        Ok(Some((phone, serial)))
    }

    async fn accepted(&self, phone: &Phone) -> bool {
        let ask = phone.acceptance();
        let client = self.lane.payer.acceptance.next();
        let call = || client.accept_device(ask.clone());
        let Ok(answer) = self.calls.persist("AcceptDevice", call).await else {
            return false;
        };
        let said = answer.device.map(|device| device.device_id);
        if said.as_deref() != Some(phone.device_id()) {
            self.ledger
                .finding("AcceptDevice: another device came back");
            return false;
        }
        self.ledger.count(|counts| &mut counts.accepted);
        true
    }

    fn order(&self, phone: &Phone) -> Result<Placed, Failure> {
        let now = (self.habits.clock)().duration_since(UNIX_EPOCH);
        phone.sign(&self.lane.payer.terms.order(now.unwrap_or_default()))
    }

    async fn cosigned(&self, phone: &Phone) -> Result<Option<Cosigned>, Failure> {
        let payer = &self.lane.payer;
        let placed = self.order(phone)?;
        let ask = CosignOrderRequest {
            order_jws: placed.jws.clone(),
            ..CosignOrderRequest::default()
        };
        let client = payer.payments.next();
        let call = || client.cosign_order(ask.clone());
        let Ok(answer) = self.calls.persist("CosignOrder", call).await else {
            return Ok(None);
        };
        let checked = payer
            .authorities
            .check(&payer.terms, &placed, &answer, true);
        let parsed = AuthorizationJws::parse(&answer.authorization_jws);
        let (Ok(()), Ok(authorization)) = (&checked, parsed) else {
            self.ledger.finding(checked.err().unwrap_or_default());
            return Ok(None);
        };
        let lane = self.lane.clone();
        let cosigned = Cosigned { lane, ask, answer };
        self.ledger.authorized(cosigned.clone(), &authorization);
        Ok(Some(cosigned))
    }

    /// Asked for again, it is the same.
    async fn again(&self, cosigned: &Cosigned) {
        let Cosigned { lane, ask, answer } = cosigned;
        let client = lane.payer.payments.next();
        let call = || client.cosign_order(ask.clone());
        match self.calls.persist("CosignOrder again", call).await {
            Ok(again) if again == *answer => self.ledger.count(|counts| &mut counts.same),
            Ok(_) => self
                .ledger
                .finding("CosignOrder: asked again, another answer came"),
            Err(Some(reason)) => self.ledger.finding(format!(
                "CosignOrder: what was answered is refused: {reason}"
            )),
            Err(None) => {}
        }
    }

    /// From the answer on, no order of it is begun.
    async fn revoked(&self, phone: &Phone, serial: Vec<u8>) -> Result<(), Failure> {
        let issuer = &self.lane.issuer;
        let ask = RevokeDeviceRequest {
            device_id: phone.device_id().to_owned(),
            reason: RevocationReason::KeyCompromise.into(),
        };
        let client = issuer.enrolment.next();
        let call = || client.revoke_device(ask.clone());
        if self.calls.persist("RevokeDevice", call).await.is_err() {
            return Ok(());
        }
        self.ledger.revoked(&issuer.institution, serial);
        let ask = CosignOrderRequest {
            order_jws: self.order(phone)?.jws,
            ..CosignOrderRequest::default()
        };
        let client = self.lane.payer.payments.next();
        let call = || client.cosign_order(ask.clone());
        match self.calls.persist("CosignOrder", call).await {
            Ok(_) => self
                .ledger
                .finding("CosignOrder: an order of a revoked phone was co-signed"),
            Err(Some(reason)) if reason == "DEVICE_REVOKED" => {
                self.ledger
                    .count(|counts| &mut counts.refused_after_revocation);
            }
            Err(Some(reason)) if !TOO_LATE.contains(&reason.as_str()) => self.ledger.finding(
                format!("CosignOrder: a revoked phone is refused with {reason}"),
            ),
            Err(_) => {}
        }
        Ok(())
    }
}
