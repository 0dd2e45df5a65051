//! Owns the certification of a device anew, when the CA that certified it issues no more: the same device and the same key, by
//! the institution's CA that issues now. What was certified before is revoked as superseded.

use semops_pki::certificate::Certificate;

use crate::{
    authority::{
        Authority, Context, Refused,
        device::device_chain,
        enroll::{DeviceContent, enrolled, trimmed},
        failover::Failover,
    },
    clock::Timestamp,
    domain::{
        device::{Device, DeviceId},
        key::{KeyState, Purpose, SigningKey},
        keyring::Keyring,
        operation::{Kind, ReissueRecord},
        outcome::Outcome,
    },
    error::{Error, Reason},
    signing::{Draft, ReissueDraft, SigningError},
    store::{Refusal, ReissueRecall},
};

/// A device with its certificate in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reissued {
    /// Its id.
    pub device: DeviceId,
    /// DER: its certificate, then its issuing CA's.
    pub chain: Vec<Vec<u8>>,
}

impl Authority {
    /// Certifies a device of the caller's institution by the CA that issues now, if the one that did signs no more; else, and
    /// when it was done before, answers with what is in force.
    pub async fn reissue_device(&self, ctx: &Context, id: DeviceId) -> Result<Reissued, Error> {
        // 1 recall
        let ReissueRecall { generation, device } =
            self.store.recall_reissue(&ctx.institution, id).await?;
        ctx.still(generation)?;
        let (device, content) = device.ok_or(Error::NotFound(Reason::DeviceNotFound))?;
        let now = self.clock.now();
        let keyring = ctx.snapshot.keyring(&ctx.institution)?;

        // 2 decide
        if device.revoked.is_some() {
            return Err(Error::Precondition(Reason::DeviceRevoked));
        }
        if device.expired(now) {
            return Err(Error::Precondition(Reason::DeviceExpired));
        }
        if issues(keyring, &device, now) {
            let chain = device_chain(ctx, &device)?;
            return Ok(Reissued { device: id, chain });
        }

        // 3 freeze, 4 sign
        match self.certify_anew(ctx, keyring, &device, content).await? {
            Ok(outcome) => {
                // The next tick finds the CRL of the CA before due all the same.
                self.crl_due.notify_waiters();
                let enrolled = enrolled(keyring, outcome)?;
                Ok(Reissued {
                    device: enrolled.device,
                    chain: enrolled.chain,
                })
            }
            Err(refused) => {
                self.audit_reissue(ctx, id, &refused).await?;
                Err(refused.into())
            }
        }
    }

    /// Steps 3 and 4, again with a CA in another token if the first one fails, and with another CA if that one is worn out.
    async fn certify_anew(
        &self,
        ctx: &Context,
        keyring: &Keyring,
        device: &Device,
        content: [u8; 32],
    ) -> Result<Result<Outcome, SigningError>, Error> {
        let mut tokens = Failover::new(self, keyring, Purpose::DeviceCa);
        loop {
            let now = self.clock.now();
            let key = tokens.key(now)?;
            let draft = self.reissue_draft(ctx, device, content, &key, now).await?;
            let draft = Draft::reissue(&key, draft, now).map_err(Error::internal)?;
            let patience = tokens.patience(&key, ctx.deadline, now);
            match self.signer.sign_once(draft, keyring, patience).await {
                Ok(outcome)
                    if outcome.token_failed() && tokens.goes_on(&key, ctx.deadline, now) => {}
                Err(SigningError::Refused(Refusal::KeyWornOut))
                    if tokens.passes_over(&key, ctx.deadline, now) => {}
                Err(why) if self.is_succeeded(keyring, &key, &why) => return Err(Error::Stale),
                signed => return Ok(signed),
            }
        }
    }

    async fn reissue_draft(
        &self,
        ctx: &Context,
        device: &Device,
        content: [u8; 32],
        key: &SigningKey,
        now: Timestamp,
    ) -> Result<ReissueDraft, Error> {
        let certificate = Certificate::from_der(&device.certificate).map_err(Error::internal)?;
        let (_, serial) = self.device_ids(ctx).await?;
        let content_of = DeviceContent {
            device: device.id,
            serial,
            public_key: certificate.public_key(),
            // No longer than before: nothing was proven anew.
            not_after: device.not_after.min(key.record().not_after),
        };
        Ok(ReissueDraft {
            origin: ctx.origin.clone(),
            generation: ctx.snapshot.generation(),
            content,
            record: ReissueRecord {
                device: device.id,
                replaces: certificate.sha256(),
                serial: trimmed(serial),
                not_after: content_of.not_after,
                key_lifetime: ctx.policy()?.key_lifetime(Purpose::DeviceCa),
            },
            to_be_signed: self.device_certificate(key, &content_of, now)?,
        })
    }

    async fn audit_reissue(
        &self,
        ctx: &Context,
        device: DeviceId,
        refused: &SigningError,
    ) -> Result<(), Error> {
        let reason = match refused {
            SigningError::Refused(Refusal::DeviceRevoked) => Reason::DeviceRevoked,
            SigningError::Refused(Refusal::KeyNotActive) => Reason::KeyNotActive,
            _ => return Ok(()),
        };
        let refused = Refused {
            operation: Kind::DeviceCertificate.name(),
            object: None,
            device: Some(device),
            reason,
        };
        self.audit_refusal(ctx, refused).await
    }
}

/// Whether the CA that certified the device may issue now.
fn issues(keyring: &Keyring, device: &Device, now: Timestamp) -> bool {
    let ca = keyring.get(device.issuer_key);
    ca.is_some_and(|ca| ca.state(now) == KeyState::Active)
}
