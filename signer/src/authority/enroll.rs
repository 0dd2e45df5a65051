//! Owns the enrolment of a device: a certification request becomes a device certificate of the caller's institution.

use semops_pki::{
    algorithm::PublicKey,
    certificate::Certificate,
    error::RequestError,
    issuer::{Addresses, Content, Issuer, Subject},
    request::CertificationRequest,
    signed::ToBeSigned,
};

use crate::{
    authority::{
        Authority, Context, Refused, ca_address, crl_address, device::device_chain,
        failover::Failover,
    },
    clock::Timestamp,
    domain::{
        device::{DeviceId, Reference},
        key::{Purpose, SigningKey},
        keyring::Keyring,
        operation::Kind,
        outcome::{Outcome, State},
    },
    error::{Error, Reason},
    fault::{self, Point},
    metrics::Stage,
    policy::{Approved, DevicesPerSubscriber},
    signing::{CertificateDraft, Draft, SigningError, enrollment_content},
    store::{EnrollmentRecall, Refusal},
};

/// How far before now a certificate's validity begins, seconds: phones and verifiers have clocks of their own.
const BACKDATED_SECONDS: i64 = 60;
const SECONDS_PER_DAY: i64 = 86_400;

/// An enrolled device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its id.
    pub device: DeviceId,
    /// DER: its certificate, then its issuing CA's.
    pub chain: Vec<Vec<u8>>,
}

/// What a device certificate says of its device.
pub(super) struct DeviceContent<'a> {
    pub(super) device: DeviceId,
    pub(super) serial: [u8; 16],
    pub(super) public_key: &'a PublicKey,
    pub(super) not_after: Timestamp,
}

/// The octets of a positive INTEGER.
pub(super) fn trimmed(serial: [u8; 16]) -> Vec<u8> {
    let octets = serial.into_iter();
    octets.skip_while(|octet| *octet == 0).collect()
}

impl Authority {
    /// Certifies the key in a certification request (DER, at most 8 KiB), or recalls its certificate.
    pub async fn enroll(
        &self,
        ctx: &Context,
        request: &[u8],
        subscriber: Reference,
    ) -> Result<Enrolled, Error> {
        let flow = self.metrics.flow(Kind::DeviceCertificate, &ctx.institution);

        // 1 possession of the key is proven by parsing
        let parsed = flow.step(Stage::Prove, || CertificationRequest::parse(request));
        let request = match parsed {
            Ok(request) => request,
            Err(mistake) => {
                let reason = match mistake {
                    RequestError::Key(_) => Reason::KeyNotAcceptable,
                    _ => Reason::RequestNotAcceptable,
                };
                self.audit_enrollment(ctx, reason).await?;
                return Err(Error::invalid(reason, "certification_request", mistake));
            }
        };
        fault::point(Point::EnrollProven);
        let content = enrollment_content(&request, &subscriber);

        // 2 recall
        let info = request.info_sha256();
        let recalled = self.store.recall_enrollment(&ctx.institution, info);
        let recall = flow.stage(Stage::Recall, recalled).await?;
        fault::point(Point::EnrollRecalled);
        ctx.still(recall.generation)?;
        match &recall.earlier {
            Some(earlier) if earlier.content != content => {
                self.audit_enrollment(ctx, Reason::RequestConflict).await?;
                return Err(Error::Conflict(Reason::RequestConflict));
            }
            Some(earlier) if earlier.outcome.state == State::Authorized => {
                return certified(ctx, recall);
            }
            _ => {}
        }

        // 5 decide
        let policy = ctx.policy()?;
        let approved = flow.step(Stage::Decide, || policy.approve_enrollment(request));

        // 6 freeze, 7 sign
        let (keyring, signed) = self.sign_device(ctx, &approved, &subscriber).await?;
        match signed {
            Ok(outcome) => enrolled(keyring, outcome),
            Err(SigningError::Conflict) => Err(Error::Conflict(Reason::RequestConflict)),
            Err(refused) => {
                if let Some(reason) = audited(&refused) {
                    self.audit_enrollment(ctx, reason).await?;
                }
                Err(refused.into())
            }
        }
    }

    /// Steps 6 and 7, again with a CA in another token if the first one fails, and with another CA if that one is worn out: the
    /// certificate is by whoever signs it.
    async fn sign_device<'k>(
        &self,
        ctx: &'k Context,
        approved: &Approved<CertificationRequest, DevicesPerSubscriber>,
        subscriber: &Reference,
    ) -> Result<(&'k Keyring, Result<Outcome, SigningError>), Error> {
        let keyring = ctx.snapshot.keyring(&ctx.institution)?;
        let mut tokens = Failover::new(self, keyring, Purpose::DeviceCa);
        loop {
            // 6 freeze
            let now = self.clock.now();
            let key = tokens.key(now)?;
            let draft = self.device_draft(ctx, approved, subscriber, &key, now);
            let draft = Draft::device_certificate(approved, &key, draft.await?, now);
            let draft = draft.map_err(Error::internal)?;
            fault::point(Point::EnrollFrozen);

            // 7 sign
            let patience = tokens.patience(&key, ctx.deadline, now);
            match self.signer.sign_once(draft, keyring, patience).await {
                Ok(outcome)
                    if outcome.token_failed() && tokens.goes_on(&key, ctx.deadline, now) => {}
                Err(SigningError::Refused(Refusal::KeyWornOut))
                    if tokens.passes_over(&key, ctx.deadline, now) => {}
                Err(why) if self.is_succeeded(keyring, &key, &why) => return Err(Error::Stale),
                signed => return Ok((keyring, signed)),
            }
        }
    }

    async fn device_draft(
        &self,
        ctx: &Context,
        approved: &Approved<CertificationRequest, DevicesPerSubscriber>,
        subscriber: &Reference,
        key: &SigningKey,
        now: Timestamp,
    ) -> Result<CertificateDraft, Error> {
        let (device, serial) = self.device_ids(ctx).await?;
        let not_after = self.not_after(key, now);
        Ok(CertificateDraft {
            origin: ctx.origin.clone(),
            generation: ctx.snapshot.generation(),
            device,
            subscriber: subscriber.clone(),
            serial: trimmed(serial),
            not_after,
            to_be_signed: self.device_certificate(
                key,
                &DeviceContent {
                    device,
                    serial,
                    public_key: approved.subject().public_key(),
                    not_after,
                },
                now,
            )?,
        })
    }

    /// A device id and a serial number, of 128 random bits each.
    pub(super) async fn device_ids(&self, ctx: &Context) -> Result<(DeviceId, [u8; 16]), Error> {
        // Drawn together: the way to the token and back costs more than the draw.
        let octets = self
            .tokens
            .keys
            .random::<32>(&ctx.institution, ctx.deadline)
            .await?;
        let ([device, serial], []) = octets.as_chunks::<16>() else {
            return Err(Error::internal("32 octets are not twice 16"));
        };
        Ok((DeviceId::from_random(*device), *serial))
    }

    /// The profile's days, but never beyond the CA's own certificate. Both ends count (RFC 5280 s4.1.2.5), so that the last
    /// second is the one before.
    fn not_after(&self, key: &SigningKey, now: Timestamp) -> Timestamp {
        let days = i64::from(self.setup.device_validity_days).saturating_mul(SECONDS_PER_DAY);
        let profile = Timestamp::from_seconds(now.seconds())
            .plus_seconds(days.saturating_sub(BACKDATED_SECONDS + 1));
        profile.min(key.record().not_after)
    }

    /// The bytes of a device certificate by `key`.
    pub(super) fn device_certificate(
        &self,
        key: &SigningKey,
        content: &DeviceContent<'_>,
        now: Timestamp,
    ) -> Result<ToBeSigned, Error> {
        let record = key.record();
        let ca = record
            .chain
            .first()
            .ok_or_else(|| Error::internal("a CA key has no certificate"))?;
        let base = &self.setup.public_base_url;
        let (institution, device) = (record.institution.as_str(), content.device.to_string());
        let not_before = now
            .seconds()
            .saturating_sub(BACKDATED_SECONDS)
            .max(record.not_before.seconds());
        Issuer::new(ca.clone())
            .and_then(|issuer| {
                issuer.certificate(
                    &Content {
                        organization: institution,
                        public_key: content.public_key,
                        serial: content.serial,
                        not_before,
                        not_after: content.not_after.seconds(),
                    },
                    Subject::Device { device_id: &device },
                    Some(Addresses {
                        crl: &crl_address(base, record),
                        ca_certificate: &ca_address(base, record),
                    }),
                    &self.setup.oids,
                )
            })
            .map_err(Error::internal)
    }

    async fn audit_enrollment(&self, ctx: &Context, reason: Reason) -> Result<(), Error> {
        let refused = Refused {
            operation: Kind::DeviceCertificate.name(),
            object: None,
            device: None,
            reason,
        };
        self.audit_refusal(ctx, refused).await
    }
}

fn certified(ctx: &Context, recall: EnrollmentRecall) -> Result<Enrolled, Error> {
    let device = recall
        .device
        .ok_or_else(|| Error::internal("a certified request has no device"))?;
    if device.revoked.is_some() {
        return Err(Error::Precondition(Reason::DeviceRevoked));
    }
    Ok(Enrolled {
        device: device.id,
        chain: device_chain(ctx, &device)?,
    })
}

/// An enrolment that was begun before may have ended with a certificate of an earlier CA.
pub(super) fn enrolled(keyring: &Keyring, outcome: Outcome) -> Result<Enrolled, Error> {
    match (outcome.state, outcome.device, outcome.artifact) {
        (State::Authorized, Some(device), Some(der)) => {
            let certificate = Certificate::from_der(&der).map_err(Error::internal)?;
            let ca = keyring
                .cas()
                .filter_map(|ca| ca.chain.first())
                .find(|ca| ca.subject_key_identifier() == certificate.authority_key_identifier())
                .ok_or_else(|| Error::internal("the CA that issued a device is not here"))?;
            Ok(Enrolled {
                device,
                chain: vec![der, ca.der().to_vec()],
            })
        }
        _ => {
            let reason = outcome
                .reason
                .as_deref()
                .and_then(Reason::named)
                .unwrap_or(Reason::Overdue);
            Err(Error::Unavailable {
                reason,
                cause: "the enrolment ended without a certificate".into(),
            })
        }
    }
}

fn audited(error: &SigningError) -> Option<Reason> {
    match error {
        SigningError::OverLimit(limit) => Some((*limit).into()),
        SigningError::Refused(Refusal::PublicKeyTaken) => Some(Reason::KeyNotAcceptable),
        SigningError::Refused(Refusal::KeyNotActive) => Some(Reason::KeyNotActive),
        SigningError::Refused(Refusal::KeyWornOut) => Some(Reason::KeyWornOut),
        _ => None,
    }
}
