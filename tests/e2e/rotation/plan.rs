//! A rotation of alfa's: a key made in the token, its certificate, and the change that takes it up.

use std::time::Duration;

use e2e::{
    custodian::Motion,
    deployment::{Deployment, unix_now},
    failure::Failure,
    until::until,
};
use semops_objects::{
    change::{Attachment, AttachmentKind, Operation, Rotation},
    key::{KeyId, Purpose},
};
use semops_pki::certificate::Certificate;
use semops_proto::{client::Client, v1};
use uuid::Uuid;

use super::SOON;

/// The word of the RPC for a purpose.
pub(super) fn purpose(purpose: Purpose) -> v1::KeyPurpose {
    match purpose {
        Purpose::DeviceCa => v1::KeyPurpose::DeviceCa,
        Purpose::SigningCa => v1::KeyPurpose::SigningCa,
        Purpose::Authorization => v1::KeyPurpose::Authorization,
    }
}

/// The key of the purpose that is shown as active.
pub(super) async fn signing_key(custodian: &Client, of: Purpose) -> Result<KeyId, Failure> {
    let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
    let mut active = keys
        .into_iter()
        .filter(|key| key.purpose() == purpose(of) && key.state() == v1::KeyState::Active);
    let key = active
        .next()
        .ok_or_else(|| Failure::new("no key is active"))?;
    Ok(key.key_id.parse()?)
}

/// A key that nothing uses yet.
pub(super) struct NewKey {
    pub(super) id: KeyId,
    pub(super) certificate: Certificate,
}

impl NewKey {
    /// Made in the token, with the certificate that it has got there.
    pub(super) async fn certified(custodian: &Client, of: Purpose) -> Result<Self, Failure> {
        let request = Uuid::new_v4();
        Self::asked(custodian, of, request).await
    }

    /// The same for a request that may have been made before.
    pub(super) async fn asked(
        custodian: &Client,
        of: Purpose,
        request: Uuid,
    ) -> Result<Self, Failure> {
        let ask = v1::CreateKeyRequest {
            purpose: purpose(of).into(),
            request_id: request.to_string(),
        };
        let key = custodian.create_key(ask).await?.key.unwrap_or_default();
        assert_eq!(key.state(), v1::KeyState::PreActivation);
        Ok(Self {
            id: key.key_id.parse()?,
            certificate: Certificate::from_der(&key.certificate_chain[0])?,
        })
    }
}

/// From which key to which, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) from: KeyId,
    pub(super) to: KeyId,
    pub(super) activate_at: u64,
    pub(super) retire_at: u64,
}

impl Plan {
    /// The new key begins after `lead`, and the old one ends after `overlap` more.
    pub(super) fn of(
        from: KeyId,
        new: &NewKey,
        lead: Duration,
        overlap: Duration,
    ) -> Result<Self, Failure> {
        let activate_at = u64::try_from(unix_now()?)? + lead.as_secs();
        Ok(Self {
            from,
            to: new.id,
            activate_at,
            retire_at: activate_at + overlap.as_secs(),
        })
    }

    /// The change.
    pub(super) fn motion(&self, deployment: &Deployment, new: &NewKey) -> Result<Motion, Failure> {
        let rotation = Rotation {
            from: self.from,
            to: self.to,
            certificate: new.certificate.sha256(),
            activate_at: self.activate_at,
            retire_at: self.retire_at,
        };
        let mut motion = deployment.motion("alfa", Operation::RotateKey(rotation))?;
        motion.attachments.push(Attachment {
            kind: AttachmentKind::Certificate,
            content: new.certificate.to_pem(),
        });
        Ok(motion)
    }

    /// Has two custodians approve it, beside the running services.
    pub(super) fn execute(&self, deployment: &Deployment, new: &NewKey) -> Result<(), Failure> {
        let motion = self.motion(deployment, new)?;
        deployment.bring(&motion).map(drop)
    }

    /// Waits until the old key has ended.
    pub(super) async fn retired(&self) -> Result<(), Failure> {
        until("the end of the old key", SOON, async || {
            let over = u64::try_from(unix_now()?)? > self.retire_at;
            Ok(over.then_some(()))
        })
        .await
    }
}
